package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"turnhub/cluster/natstest"
)

// around is people around a node that falls silent: somebody there calls somebody on two others,
// two talk across it, and three are in a room.
type around struct {
	t                        *testing.T
	nodes                    []*server
	caller, phone, laptop    *device
	talker, listener         *device
	here, there, elsewhere   *device
	call, talk, room, sender string
	from                     map[*device]int // of ever, before the node fell silent
}

func (a *around) all() []*device {
	return []*device{a.caller, a.phone, a.laptop, a.talker, a.listener, a.here, a.there, a.elsewhere}
}

// beside brings them together: the first node is the one that falls silent.
func beside(t *testing.T, nodes []*server, round string) *around {
	t.Helper()
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { return n.metric(t, `turnhub_cluster_nodes{state="alive"}`) == 3 })
	}
	enter := func(at int, user string) *device {
		d := callAs(t, nodes[at], user+round, "the secret of "+user)
		d.hears(map[string]any{"type": "welcome"})
		return d
	}
	a := &around{t: t, nodes: nodes, room: "room" + round, from: make(map[*device]int)}
	a.caller, a.phone, a.laptop = enter(0, "ann"), enter(1, "bob"), enter(2, "bob")
	a.talker, a.listener = enter(0, "cat"), enter(1, "dan")
	a.here, a.there, a.elsewhere = enter(0, "eve"), enter(1, "fay"), enter(2, "gus")
	a.talker.finds("dan" + round)
	a.talker.say(`"type":"invite","user":%q,"id":1`, "dan"+round)
	a.talk = fmt.Sprint(a.listener.hears(map[string]any{"state": "incoming"})["call"])
	a.listener.say(`"type":"accept","call":%q,"id":1`, a.talk)
	a.sender = fmt.Sprint(a.listener.hears(map[string]any{"state": "accepted"})["peer"])
	a.talker.hears(map[string]any{"state": "accepted"})
	for i, d := range []*device{a.here, a.there, a.elsewhere} {
		d.say(`"type":"join","room":%q,"id":1`, a.room)
		d.hears(map[string]any{"type": "joined"})
		for _, o := range []*device{a.here, a.there, a.elsewhere}[:i] {
			o.hears(map[string]any{"type": "peer-joined", "peer": d.session})
		}
	}
	a.caller.finds("bob" + round)
	a.caller.say(`"type":"invite","user":%q,"id":1`, "bob"+round)
	a.call = fmt.Sprint(a.caller.hears(map[string]any{"type": "calling"})["call"])
	for _, d := range []*device{a.phone, a.laptop} {
		d.hears(map[string]any{"state": "incoming", "call": a.call})
	}
	a.caller.hears(map[string]any{"state": "ringing"})
	saysOf(t, round, a.all()...)
	for _, n := range nodes {
		until(t, "another node could go on", func() bool { return covered(n) })
	}
	for _, d := range a.all() {
		d.mu.Lock()
		a.from[d] = len(d.ever)
		d.mu.Unlock()
	}
	return a
}

// move has those on the silent node come to the others, as their clients do who have missed it.
func (a *around) move() {
	for _, d := range []*device{a.caller, a.talker, a.here} {
		d.comesBack(a.nodes[1], a.nodes[2])
	}
}

// missed waits until the others take the silent node for gone.
func (a *around) missed() {
	for _, n := range a.nodes[1:] {
		until(a.t, "a node is missed", func() bool { return n.metric(a.t, `turnhub_cluster_nodes{state="alive"}`) == 2 })
	}
}

// goOn sees that all goes on, and that nobody has been told anything. answered: the phone has
// taken the call already.
func (a *around) goOn(answered bool) {
	a.t.Helper()
	if !answered {
		a.phone.say(`"type":"accept","call":%q,"id":2`, a.call)
	}
	for _, want := range []map[string]any{{"type": "ok", "id": 2}, {"state": "accepted", "call": a.call}} { // in either order
		until(a.t, "the phone has the call", func() bool { return a.phone.everHeard(want) })
	}
	a.caller.hears(map[string]any{"state": "accepted", "call": a.call})
	a.laptop.hears(map[string]any{"state": "ended", "call": a.call, "reason": "elsewhere"})
	a.listener.say(`"type":"signal","to":%q,"data":"still here","id":3`, a.sender)
	a.listener.hears(map[string]any{"type": "ok", "id": 3})
	a.talker.hears(map[string]any{"type": "signal", "data": "still here"})
	members := []*device{a.here, a.there, a.elsewhere}
	for _, d := range members {
		d.say(`"type":"message","room":%q,"data":"of %s","id":4`, a.room, d.session)
		for _, o := range members {
			if o != d {
				o.hears(map[string]any{"type": "message", "data": "of " + d.session})
			}
		}
		d.hears(map[string]any{"type": "ok", "id": 4})
	}
	for _, d := range a.all() {
		d.mu.Lock()
		for _, m := range d.ever[a.from[d]:] {
			typ, state, reason := m["type"], m["state"], m["reason"]
			if typ == "peer-left" || typ == "peer-joined" || state == "incoming" || state == "ended" && reason != "elsewhere" || typ == "error" {
				a.t.Errorf("the silence is heard: %v", m)
			}
		}
		d.mu.Unlock()
	}
}

// goesOnThrough plays what happens around a silent node: whether the phone takes the call
// meanwhile, and whether people come to other nodes, or the node is back before they do.
func goesOnThrough(t *testing.T, nodes []*server, silence, back func(*server)) {
	logsOf(t, nodes)
	rounds := 2
	if os.Getenv("E2E_LONG") != "" {
		rounds = 4
	}
	for round := range rounds {
		meanwhile := []struct{ answers, move bool }{{true, false}, {true, true}, {false, false}, {false, true}}[round%4]
		t.Logf("round %d: %+v", round, meanwhile)
		at := slices.Concat(nodes[round%3:], nodes[:round%3])
		a := beside(t, at, fmt.Sprint(round))
		silence(at[0])
		if meanwhile.answers {
			a.phone.say(`"type":"accept","call":%q,"id":2`, a.call)
		}
		if meanwhile.move {
			a.move()
		} else {
			a.missed()
			back(at[0])
		}
		a.goOn(meanwhile.answers)
		if meanwhile.move {
			back(at[0])
		}
		for _, d := range a.all() {
			d.say(`"type":"bye"`)
			_ = d.socket.Close()
		}
		if t.Failed() {
			return
		}
	}
}

// saysOf prints what people have heard last where a test fails.
func saysOf(t *testing.T, round string, people ...*device) {
	t.Cleanup(func() {
		for i, d := range people {
			d.mu.Lock()
			if t.Failed() {
				t.Logf("round %s, %d: ended %v, has heard %v", round, i, d.ended, d.ever[max(0, len(d.ever)-6):])
			}
			d.mu.Unlock()
		}
	})
}

// logsOf prints what nodes have to say of each other where a test fails.
func logsOf(t *testing.T, nodes []*server) {
	t.Cleanup(func() {
		for i, n := range nodes {
			for line := range strings.Lines(n.log.String()) {
				if t.Failed() && (strings.Contains(line, "go on") || strings.Contains(line, "goes on") || strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) {
					t.Logf("%c: %s", 'a'+i, line)
				}
			}
		}
	})
}

// TestFrozenNodes: a node stands still (SIGSTOP) for longer than it takes to be missed. A call of
// somebody there rings on, on two other nodes, and is taken; calls and rooms go on, and nobody is
// told anything, whether people have come to another node by then, or theirs is back first.
func TestFrozenNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	t.Cleanup(func() {
		for _, n := range nodes {
			_ = n.process.Signal(syscall.SIGCONT)
		}
	})
	goesOnThrough(t, nodes, func(n *server) { _ = n.process.Signal(syscall.SIGSTOP) }, func(n *server) { _ = n.process.Signal(syscall.SIGCONT) })
}

const darkEnvironment = "E2E_DARK"

// TestDarkNodes: as TestFrozenNodes, but nothing comes from a node any more, and nothing to it:
// as where it has lost its power, or its network for a while.
func TestDarkNodes(t *testing.T) {
	if os.Getenv(darkEnvironment) != "" {
		dark(t)
		return
	}
	t.Parallel()
	if _, err := exec.LookPath("nft"); os.Geteuid() != 0 || err != nil {
		t.Skip("SKIPPED: a node without a network needs root, iproute2 and nftables")
	}
	ns := fmt.Sprintf("th-d-%d", os.Getpid())
	if output, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this machine allows no network namespaces: %s", output)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	inside(t, ns, "ip", "link", "set", "lo", "up")
	test := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^TestDarkNodes$", "-test.v")
	test.Env = append(os.Environ(), darkEnvironment+"=1", "E2E_TURNHUB="+binary)
	if output, err := test.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	} else if strings.Contains(string(output), "--- SKIP") {
		t.Skipf("%s", output)
	}
}

var localPort = regexp.MustCompile(`127\.0\.0\.1:(\d+) +127\.0\.0\.1:\d+ `)

// dark is TestDarkNodes in its network.
func dark(t *testing.T) {
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	nft := func(ruleset string) {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(ruleset)
		if output, err := c.CombinedOutput(); err != nil {
			t.Errorf("nft: %v: %s", err, output)
		}
	}
	back := func(*server) { nft("table ip dark\ndelete table ip dark\n") }
	t.Cleanup(func() { back(nil) })
	goesOnThrough(t, nodes, func(n *server) {
		ports := []string{fmt.Sprint(n.port)}
		sockets, err := exec.Command("ss", "-Hntp", "state", "established").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(sockets)) {
			if m := localPort.FindStringSubmatch(line); m != nil && strings.Contains(line, fmt.Sprintf("pid=%d,", n.process.Pid)) && !slices.Contains(ports, m[1]) {
				ports = append(ports, m[1])
			}
		}
		all := strings.Join(ports, ",")
		// It tries NATS again, from another port: the others have their connections already.
		again := "tcp dport " + nats.URL()[strings.LastIndexByte(nats.URL(), ':')+1:] + " tcp flags & (syn | ack) == syn drop;"
		nft("table ip dark {\nchain out { type filter hook output priority 0; tcp dport { " + all + " } drop; tcp sport { " + all + " } drop; " + again + " }\n}\n")
	}, back)
}
