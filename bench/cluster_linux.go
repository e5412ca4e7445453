package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"turnhub/bench/hub"
	"turnhub/bench/load"
)

// Several nodes beside one. All servers run on the same processor, as in every row, and the
// processor time of all of them, NATS with them, is counted.

// natsServer is where nodes meet: the one that is installed, or that the variable names.
var natsServer = &rival{
	name: "nats", address: mustAddr("127.12.2.100"), streamPort: 4222,
	command: func(r *rival, e *environment, _ []int) []string {
		return []string{natsProgram(), "--addr", r.address.String(), "--port", "4222", "--jetstream", "--store_dir", e.path("nats")}
	},
	version: func(*environment) string { return output(natsProgram(), "--version") },
}

func natsProgram() string {
	program, err := exec.LookPath(cmp.Or(os.Getenv("TURNHUB_NATS_SERVER"), "nats-server"))
	if err != nil {
		return "/usr/sbin/nats-server"
	}
	return program
}

func natsURL() string { return fmt.Sprintf("nats://%s:%d", natsServer.address, natsServer.streamPort) }

// node is the i-th of turnhub's nodes.
func node(i int) *rival {
	return &rival{
		name: fmt.Sprintf("node%d", i), address: mustAddr(fmt.Sprintf("127.12.2.%d", 1+i)), tlsPort: plainPort,
		command: turnhub, nats: natsURL(), version: rivalNamed("turnhub").version,
	}
}

// centrifugoNode is the i-th of Centrifugo's.
func centrifugoNode(i int) *rival {
	return &rival{
		name: fmt.Sprintf("centrifugo%d", i), address: mustAddr(fmt.Sprintf("127.12.2.%d", 51+i)), streamPort: centrifugo.streamPort,
		command: centrifugo.command, nats: natsURL(), version: centrifugo.version,
	}
}

// A setup is servers that are one.
type setup struct {
	name, dialect string
	all           []*process // those that clients connect to first, NATS last
	nodes         int
}

// raise starts servers, and waits until turnhub's nodes know each other.
func (b *bench) raise(ctx context.Context, name, dialect string, servers ...*rival) (s *setup, err error) {
	s = &setup{name: name, dialect: dialect, nodes: len(servers)}
	if servers[0].nats != "" {
		// Nothing is left of what was before.
		if err := os.RemoveAll(b.env.path("nats")); err != nil {
			return nil, err
		}
		p, err := natsServer.start(ctx, b.env, b.env.cpu.server)
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, p)
	}
	for i, v := range servers {
		if err := os.RemoveAll(b.env.path("state-" + v.name)); err != nil {
			s.stop()
			return nil, err
		}
		p, err := v.start(ctx, b.env, b.env.cpu.server)
		if err != nil {
			s.stop()
			return nil, err
		}
		s.all = append(s.all[:i], append([]*process{p}, s.all[i:]...)...)
	}
	if servers[0].nats != "" && dialect == "turnhub" {
		for _, v := range servers {
			if err := knows(ctx, v, len(servers)); err != nil {
				s.stop()
				return nil, err
			}
		}
	}
	return s, nil
}

var aliveNodes = regexp.MustCompile(`(?m)^turnhub_cluster_nodes\{state="alive"\} (\d+)$`)

// knows waits until a node knows so many, itself with them.
func knows(ctx context.Context, v *rival, nodes int) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		text, err := fetch(ctx, fmt.Sprintf("http://%s:9478/metrics", v.address))
		if found := aliveNodes.FindStringSubmatch(text); err == nil && found != nil && found[1] == strconv.Itoa(nodes) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not know %d nodes", v.name, nodes)
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	return string(text), err
}

func (s *setup) stop() {
	for _, p := range s.all {
		p.stop()
	}
}

// server is where the clients of one node connect.
func (s *setup) server(i int) string {
	p := s.all[i]
	return fmt.Sprintf("%s:%d", p.address, max(p.streamPort, p.tlsPort))
}

// hubload is the generator against the setup, with the first node as its server.
func (b *bench) hubload(ctx context.Context, s *setup, first int, args []string) *exec.Cmd {
	words := []string{
		"-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "hubload"), args[0], "-tls", "-dialect", s.dialect,
		"-server", s.server(first), "-pid", strconv.Itoa(s.all[first].pid()),
	}
	if s.dialect == "turnhub" {
		words = append(words, "-collect", fmt.Sprintf("http://%s:9478/debug/pprof/heap?gc=1", s.all[first].address))
	}
	cmd := exec.CommandContext(ctx, "taskset", append(words, args[1:]...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// together are hubload's options where its clients come to all nodes.
func (s *setup) together() (args []string) {
	var servers, pids []string
	for i, p := range s.all[1:] {
		if i+1 < s.nodes {
			servers = append(servers, s.server(i+1))
		}
		pids = append(pids, strconv.Itoa(p.pid()))
	}
	if len(servers) > 0 {
		args = []string{"-others", strings.Join(servers, ",")}
	}
	if len(pids) > 0 {
		args = append(args, "-pids", strings.Join(pids, ","), "-nats", natsURL())
	}
	return args
}

const (
	oneNode       = "turnhub"
	twoNodes      = "turnhub-two"
	twoCentrifugo = "centrifugo-two"
	threeNodes    = "turnhub-three"
	natsOfThree   = "nats"

	idleEach = 15000 // sessions for each node; a process may have 20,000 descriptors here
)

// clusterRelays are messages between pairs, one of each on either node: few at a time, and so
// many that every server always has something to do.
var clusterRelays = []hubRow{
	{name: "cluster-relay", title: "300 B between 100 pairs, 200 in flight", args: []string{"relay", "-clients", "200", "-duration", "3s"}, rounds: 5},
	{name: "cluster-relay-2k", title: "2.5 KB between 100 pairs, 200 in flight", args: []string{"relay", "-clients", "200", "-duration", "3s", "-size", "2500"}, rounds: 5},
	{name: "cluster-relay-full", title: "300 B between 500 pairs, 4,000 in flight", args: []string{"relay", "-clients", "1000", "-window", "4000", "-duration", "3s"}, rounds: 5},
}

func (b *bench) measureCluster(ctx context.Context, wanted func(string) bool) error {
	b.env.plain = false
	b.Versions[natsServer.name] = natsServer.version(b.env)
	for _, r := range clusterRelays {
		if !wanted(r.name) {
			continue
		}
		begun, busy := time.Now(), loadAverage()
		if err := b.clusterRelay(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		b.describeCluster(r.name, begun, busy, r.rounds)
		fmt.Print(b.clusterRelayLine(r))
	}
	for _, r := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cluster-idle", b.clusterIdle}, {"cluster-presence", b.clusterPresence}, {"cluster-death", b.clusterDeath},
	} {
		if !wanted(r.name) {
			continue
		}
		begun, busy := time.Now(), loadAverage()
		if err := r.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		b.describeCluster(r.name, begun, busy, 1)
	}
	return nil
}

// describeCluster notes when a row was measured, and in how many rounds.
func (b *bench) describeCluster(name string, begun time.Time, busy string, rounds int) {
	b.describeRow(name, begun, busy)
	p := b.Rows[name]
	p.Rounds, p.Duration = rounds, "3s"
	b.Rows[name] = p
}

// clusterRelay has one node, two nodes and two of Centrifugo's carry the same messages, in
// alternating rounds, each with processes of its own.
func (b *bench) clusterRelay(ctx context.Context, r hubRow) error {
	if err := prepareCentrifugo(ctx, b.env); err != nil {
		return err
	}
	b.Versions[centrifugo.name] = centrifugo.version(b.env)
	by := map[string]*figure{oneNode: {}, twoNodes: {}, twoCentrifugo: {}}
	setups := []func() (*setup, error){
		func() (*setup, error) { return b.raise(ctx, oneNode, "turnhub", rivalNamed("turnhub")) },
		func() (*setup, error) { return b.raise(ctx, twoNodes, "turnhub", node(0), node(1)) },
		func() (*setup, error) {
			return b.raise(ctx, twoCentrifugo, "centrifugo", centrifugoNode(0), centrifugoNode(1))
		},
	}
	for round := range r.rounds {
		for i := range setups {
			s, err := setups[(i+round)%len(setups)]()
			if err != nil {
				return err
			}
			text, err := b.hubload(ctx, s, 0, append(append([]string{r.args[0]}, s.together()...), r.args[1:]...)).Output()
			s.stop()
			if err == nil {
				err = appendJSON(&by[s.name].Hub, text)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	b.figures[r.name] = by
	return nil
}

// clusterIdle weighs as many idle sessions on each of three nodes as on one without a cluster.
func (b *bench) clusterIdle(ctx context.Context) error {
	by := map[string]*figure{oneNode: {}, threeNodes: {}, natsOfThree: {}}
	args := []string{"idle", "-clients", strconv.Itoa(idleEach), "-duration", "8s"}
	one, err := b.raise(ctx, oneNode, "turnhub", rivalNamed("turnhub"))
	if err != nil {
		return err
	}
	text, err := b.hubload(ctx, one, 0, args).Output()
	one.stop()
	if err == nil {
		err = appendJSON(&by[oneNode].Hub, text)
	}
	if err != nil {
		return err
	}
	three, err := b.raise(ctx, threeNodes, "turnhub", node(0), node(1), node(2))
	if err != nil {
		return err
	}
	defer three.stop()
	meeting := three.all[three.nodes].pid()
	before, err := load.RSS(meeting)
	if err != nil {
		return err
	}
	texts, errs := make([][]byte, three.nodes), make([]error, three.nodes)
	done := make(chan struct{})
	for i := range three.nodes { // a process may not have the descriptors for all
		go func() {
			texts[i], errs[i] = b.hubload(ctx, three, i, args).Output()
			done <- struct{}{}
		}()
	}
	for range three.nodes {
		<-done
	}
	after, err := load.RSS(meeting)
	if err = errors.Join(append(errs, err)...); err != nil {
		return err
	}
	for _, text := range texts {
		if err := appendJSON(&by[threeNodes].Hub, text); err != nil {
			return err
		}
	}
	all := three.nodes * idleEach
	by[natsOfThree].Hub = []hub.Result{{Clients: all, RSSBefore: before, RSS: after, PerConnection: float64(after-before) / float64(all)}}
	b.figures["cluster-idle"] = by
	fmt.Print(b.clusterIdleLine())
	return nil
}

// clusterPresence counts what it costs that somebody comes and goes, with three nodes and six.
func (b *bench) clusterPresence(ctx context.Context) error {
	by := make(map[string]*figure)
	for _, n := range []int{3, 6} {
		nodes := make([]*rival, n)
		for i := range nodes {
			nodes[i] = node(i)
		}
		s, err := b.raise(ctx, "", "turnhub", nodes...)
		if err != nil {
			return err
		}
		f := new(figure)
		text, err := b.hubload(ctx, s, 0, append([]string{"presence", "-rooms", "50"}, s.together()...)).Output()
		s.stop()
		if err == nil {
			err = json.Unmarshal(text, &f.Presence)
		}
		if err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
		by[strconv.Itoa(n)] = f
	}
	b.figures["cluster-presence"] = by
	fmt.Print(b.clusterPresenceLine())
	return nil
}

// clusterDeath counts what the death of a node costs that has rooms with people on another.
func (b *bench) clusterDeath(ctx context.Context) error {
	f := new(figure)
	for _, rooms := range []int{250, 500, 1000} {
		s, err := b.raise(ctx, "", "turnhub", node(0), node(1), node(2))
		if err != nil {
			return err
		}
		cmd := b.hubload(ctx, s, 0, append([]string{"death", "-rooms", strconv.Itoa(rooms)}, s.together()...))
		text, err := stampeding(cmd, func() (int, error) {
			<-s.all[0].done // it was killed
			p, err := s.all[0].rival.start(ctx, b.env, b.env.cpu.server)
			if err != nil {
				return 0, err
			}
			s.all[0] = p
			return p.pid(), nil
		})
		s.stop()
		if err == nil {
			err = appendJSON(&f.Death, text)
		}
		if err != nil {
			return fmt.Errorf("%d rooms: %w", rooms, err)
		}
	}
	b.figures["cluster-death"] = map[string]*figure{oneNode: f}
	fmt.Print(b.clusterDeathLine())
	return nil
}
