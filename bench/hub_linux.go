package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hubRow is one load of the signaling hub.
type hubRow struct {
	name, title string
	args        []string
	rounds      int // 0: as many as asked for
	alone       bool
	plain       bool     // HTTP without TLS, as nobody should run it: what TLS costs
	against     []string // another load of turnhub, in alternating rounds: the ratio counts
}

// againstName is under which the load stands that a row is put against.
const againstName = "against"

// hubRows are the loads that turnhub, PeerServer and Centrifugo are put under.
// PeerServer has no rooms, so some are turnhub's alone.
func hubRows() []hubRow {
	relay := func(more ...string) []string {
		return append([]string{"relay", "-clients", "200", "-duration", "3s"}, more...)
	}
	return []hubRow{
		{name: "hub-relay", title: "messages between 100 pairs, 300 B, 200 in flight", args: relay(), rounds: 5},
		{name: "hub-relay-2k", title: "the same, 2.5 KB", args: relay("-size", "2500"), rounds: 5},
		{
			name: "hub-media", title: "frames of media through /media between 100 pairs, 300 B, 200 in flight",
			args: append([]string{"media"}, relay()[1:]...), against: relay(), rounds: 5, alone: true,
		},
		{name: "hub-idle", title: "10,000 idle connections", args: []string{"idle", "-clients", "10000", "-duration", "8s"}, rounds: 1},
		{
			name: "hub-join", title: "10,000 connected in 1,000 rooms, 100 newcomers a second",
			args: []string{"join", "-clients", "10000", "-rooms", "1000", "-rate", "100"}, rounds: 3,
		},
		{
			name: "hub-stampede", title: "5,000 connections cut by SIGKILL come back to the new process at once",
			args: []string{"stampede", "-clients", "5000"}, rounds: 3,
		},
		{
			name: "hub-max", title: "as many connections as a process may have descriptors here",
			args: []string{"idle", "-clients", strconv.Itoa(descriptors() - 500), "-duration", "8s"}, rounds: 1, alone: true,
		},
		{
			name: "hub-stall", title: "a room of 100 that hears 100 messages of 1 KB a second, without and with a member that does not read",
			args: []string{"stall", "-rate", "100", "-size", "1000"}, rounds: 3, alone: true,
		},
		{name: "hub-plain", title: "messages between 100 pairs, 300 B, without TLS", args: relay(), rounds: 3, plain: true},
		{name: "hub-plain-2k", title: "the same, 2.5 KB", args: relay("-size", "2500"), rounds: 3, plain: true},
		{name: "hub-plain-idle", title: "10,000 idle connections without TLS", args: []string{"idle", "-clients", "10000", "-duration", "8s"}, rounds: 1, plain: true},
	}
}

// descriptors is how many files a process may have open, but at most what 50,000
// connections need.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(min(limit.Max, 50500))
}

// peerServer is the npm package peer, the reference server of PeerJS.
var peerServer = &rival{
	name: "peer", address: mustAddr("127.12.0.5"), streamPort: 9000,
	command: func(r *rival, e *environment, _ []int) []string {
		args := []string{"node", "--expose-gc", filepath.Join("bench", "hub", "peer", "server.js"), r.address.String(), "9000"}
		if e.plain {
			return args
		}
		return append(args, e.path("cert.pem"), e.path("key.pem"))
	},
	version: func(*environment) string {
		text, _ := os.ReadFile(filepath.Join("bench", "hub", "peer", "node_modules", "peer", "package.json"))
		var p struct{ Version string }
		_ = json.Unmarshal(text, &p)
		return "peer " + p.Version + " on node " + output("node", "--version")
	},
}

// centrifugoModule is built from the module proxy by go install: it is a program of its own,
// whose dependencies are nothing to this repository.
const centrifugoModule = "github.com/centrifugal/centrifugo/v6@v6.9.1"

// centrifugo is the fastest signaling server in Go that we know of: publish and
// subscribe over WebSocket with JSON. Every client may do everything and nothing is
// kept, so that it does no more than the others.
var centrifugo = &rival{
	name: "centrifugo", address: mustAddr("127.12.0.6"), streamPort: 9000,
	command: func(r *rival, e *environment, _ []int) []string {
		broker := ""
		if r.nats != "" {
			broker = fmt.Sprintf(`"broker":{"enabled":true,"type":"nats","nats":{"url":%q}},`, r.nats)
		}
		config := fmt.Sprintf(`{%s"client":{"insecure":true,"allowed_origins":["*"]},"log":{"level":"error"},
"debug":{"enabled":true},
"http_server":{"address":%q,"port":"9000","tls":{"enabled":%t,"cert_pem":%q,"key_pem":%q}}}`,
			broker, r.address.String(), !e.plain, e.path("cert.pem"), e.path("key.pem"))
		file := e.path(r.name + ".json")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			panic(fmt.Sprintf("write centrifugo's configuration: %v", err))
		}
		return []string{filepath.Join(e.bin, "centrifugo"), "--config", file}
	},
	version: func(*environment) string { return centrifugoModule },
}

// prepareCentrifugo builds it once; that takes minutes.
func prepareCentrifugo(ctx context.Context, e *environment) error {
	if _, err := os.Stat(filepath.Join(e.bin, "centrifugo")); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "install", centrifugoModule)
	cmd.Env = append(os.Environ(), "GOBIN="+e.bin, "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build centrifugo: %w\n%s", err, text)
	}
	return nil
}

// preparePeer installs the npm package by its lock file.
func preparePeer(ctx context.Context) error {
	dir := filepath.Join("bench", "hub", "peer")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "peer")); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install peer: %w\n%s", err, text)
	}
	return nil
}

// runHub runs one row.
func (b *bench) runHub(ctx context.Context, r hubRow) error {
	by := make(map[string]*figure)
	b.figures[r.name] = by
	servers := []*rival{rivalNamed("turnhub")}
	if !r.alone {
		servers = append(servers, peerServer, centrifugo)
	}
	rounds := b.rounds
	if r.rounds > 0 {
		rounds = r.rounds
	}
	for round := range rounds {
		for i := range servers {
			v := servers[(i+round)%len(servers)]
			if by[v.name] == nil {
				by[v.name] = new(figure)
			}
			if err := b.onceHub(ctx, r, v, by[v.name]); err != nil {
				return fmt.Errorf("%s under %s: %w", v.name, r.name, err)
			}
		}
		if r.against != nil {
			if by[againstName] == nil {
				by[againstName] = new(figure)
			}
			other := r
			other.args = r.against
			if err := b.onceHub(ctx, other, servers[0], by[againstName]); err != nil {
				return fmt.Errorf("beside %s: %w", r.name, err)
			}
		}
	}
	return nil
}

// onceHub runs hubload against a fresh server.
func (b *bench) onceHub(ctx context.Context, r hubRow, v *rival, f *figure) error {
	b.env.plain = r.plain
	p, err := v.start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return err
	}
	defer func() { p.stop() }()
	dialect, port := "turnhub", plainPort
	collect := fmt.Sprintf("http://%s:9478/debug/pprof/heap?gc=1", v.address)
	switch v {
	case peerServer:
		dialect, collect, port = "peerjs", "usr2", int(v.streamPort)
	case centrifugo:
		dialect, port = "centrifugo", int(v.streamPort)
		collect = fmt.Sprintf("https://%s:9000/debug/pprof/heap?gc=1", v.address)
		if r.plain {
			collect = strings.Replace(collect, "https", "http", 1)
		}
	}
	args := []string{
		"-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "hubload"), r.args[0],
		"-server", fmt.Sprintf("%s:%d", v.address, port), "-dialect", dialect, "-pid", strconv.Itoa(p.pid()), "-collect", collect,
		fmt.Sprintf("-tls=%t", !r.plain),
	}
	cmd := exec.CommandContext(ctx, "taskset", append(args, r.args[1:]...)...)
	cmd.Stderr = os.Stderr
	restart := func() (int, error) {
		_ = p.cmd.Process.Kill()
		<-p.done
		next, err := v.start(ctx, b.env, b.env.cpu.server)
		if err != nil {
			return 0, err
		}
		p = next
		return p.pid(), nil
	}
	text, err := stampeding(cmd, restart)
	if err != nil {
		return fmt.Errorf("hubload %s: %w", strings.Join(r.args, " "), err)
	}
	if r.args[0] == "stall" {
		return appendJSON(&f.Stall, text)
	}
	return appendJSON(&f.Hub, text)
}

// stampeding runs hubload and returns its last line. One before it asks for
// the server to be killed and started again, and for the new process's number.
func stampeding(cmd *exec.Cmd, restart func() (int, error)) ([]byte, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var last []byte
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = bytes.Clone(lines.Bytes())
		if !bytes.HasPrefix(last, []byte(`{"opened"`)) {
			continue
		}
		pid, err := restart()
		if err != nil {
			_ = cmd.Process.Kill()
			return nil, errors.Join(err, cmd.Wait())
		}
		fmt.Fprintln(in, pid)
	}
	return last, cmd.Wait()
}
