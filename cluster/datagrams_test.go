package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/natstest"
)

// looseNode is a node of the tests that sends and hears datagrams.
type looseNode struct {
	*testNode
	*Datagrams

	mu    sync.Mutex
	heard []string // by whom, and what
}

func (n *looseNode) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.heard...)
}

// looseNodes starts nodes, and waits until all could send something to all.
func looseNodes(t *testing.T, s *natstest.Server, names ...string) (all []*looseNode) {
	t.Helper()
	for _, name := range names {
		n := &looseNode{}
		n.testNode = start(t, s, name, nil, func(c *Cluster) {
			n.Datagrams = c.Datagrams(func(node, run string, body []byte) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.heard = append(n.heard, node+" "+string(body))
			}, func() {})
		})
		all = append(all, n)
	}
	reach(t, all)
	return all
}

func reach(t *testing.T, all []*looseNode) {
	t.Helper()
	for _, n := range all {
		for _, o := range all {
			until(t, "all reach all", func() bool { return n == o || n.Process(o.cfg.Node) == o.run })
		}
	}
}

// say sends something to another node.
func (n *looseNode) say(to *looseNode, body string) bool {
	return n.Datagrams.Send(to.cfg.Node, to.run, []byte(body))
}

// TestDatagrams: what one node sends to another comes there once and in order, and nowhere
// else; without NATS nothing is sent, kept or sent later; and who is dead is sent nothing.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	all := looseNodes(t, s, "a", "b", "c")
	a, b, c := all[0], all[1], all[2]
	var want []string
	large := string(bytes.Repeat([]byte("x"), a.Most()-10))
	for i := range 500 {
		body := fmt.Sprint(i)
		if i%50 == 0 {
			body += large
		}
		if !a.say(b, body) {
			t.Fatal("it is not sent")
		}
		want = append(want, "a "+body)
	}
	until(t, "b has all", func() bool { return len(b.all()) >= len(want) })
	if fmt.Sprint(b.all()) != fmt.Sprint(want) || len(a.all())+len(c.all()) > 0 {
		t.Errorf("b heard %d, a %d, c %d", len(b.all()), len(a.all()), len(c.all()))
	}
	if a.Datagrams.Send("b", "AAAAAAAAAAAA", []byte("x")) {
		t.Error("a process that there is not is sent something")
	}
	if a.Process("a") != "" || a.Process("nobody") != "" {
		t.Error("there is a way to itself, or to nobody")
	}
	s.Kill()
	until(t, "NATS is missed", func() bool { return a.Process("b") == "" })
	if a.say(b, "lost") {
		t.Error("something is sent without NATS")
	}
	s.Run()
	reach(t, all)
	a.say(b, "after")
	until(t, "b hears again", func() bool { return len(b.all()) > len(want) })
	if last := b.all()[len(want):]; len(last) != 1 || last[0] != "a after" {
		t.Errorf("b heard %q", last)
	}
	c.stop()
	until(t, "c is dead", func() bool { return a.Process("c") == "" })
	if a.say(c, "x") {
		t.Error("a dead node is sent something")
	}
}

// TestDatagramsSmallPayload: a NATS server that takes little is sent no more.
func TestDatagramsSmallPayload(t *testing.T) {
	t.Parallel()
	conf := t.TempDir() + "/nats.conf"
	if err := os.WriteFile(conf, []byte("max_payload: 8192\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := natstest.Start(t, false, "--config", conf)
	all := looseNodes(t, s, "a", "b")
	most := all[0].Most()
	if most > 8192 || most < 4096 {
		t.Fatalf("%d bytes", most)
	}
	if !all[0].say(all[1], string(make([]byte, most))) {
		t.Fatal("the longest is not sent")
	}
	until(t, "it comes", func() bool { return len(all[1].all()) == 1 })
}

// TestDatagramsFromStrangers: what somebody with access to NATS makes, changes, sends again,
// sends to another node or back, is counted by its reason, and not heard; and what is sent
// cannot be read.
func TestDatagramsFromStrangers(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	all := looseNodes(t, s, "a", "b", "c")
	a, b, c := all[0], all[1], all[2]
	stranger, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	came := make(chan *nats.Msg, 16)
	if _, err := stranger.ChanSubscribe("turnhub.datagram.>", came); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Flush(); err != nil {
		t.Fatal(err)
	}
	const secret = "a frame of somebody"
	a.say(b, secret)
	m := <-came
	if m.Subject != "turnhub.datagram.b.a" || bytes.Contains(m.Data, []byte("frame")) {
		t.Errorf("%s says %q", m.Subject, m.Data)
	}
	until(t, "b hears it", func() bool { return len(b.all()) == 1 })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	changed := func(at int) []byte {
		d := bytes.Clone(m.Data)
		d[at] ^= byte(1 + rng.IntN(255))
		return d
	}
	type message struct {
		to  *looseNode
		why string
		m   nats.Msg
	}
	bad := []message{
		{b, badReplay, nats.Msg{Subject: m.Subject, Data: m.Data}},
		{b, badSeal, nats.Msg{Subject: m.Subject, Data: changed(len(m.Data) - 1)}},
		{b, badSeal, nats.Msg{Subject: m.Subject, Data: changed(numberAt)}},
		{b, badSecret, nats.Msg{Subject: m.Subject, Data: changed(secretAt)}},
		{b, badProcess, nats.Msg{Subject: m.Subject, Data: changed(fromAt)}},
		{b, badProcess, nats.Msg{Subject: m.Subject, Data: changed(toAt)}},
		{b, badVersion, nats.Msg{Subject: m.Subject, Data: changed(1)}},
		{b, badForm, nats.Msg{Subject: m.Subject, Data: changed(0)}},
		{b, badForm, nats.Msg{Subject: m.Subject}},
		{b, badSize, nats.Msg{Subject: m.Subject, Data: make([]byte, 1<<20-1)}},
		{c, badProcess, nats.Msg{Subject: "turnhub.datagram.c.a", Data: m.Data}}, // to another one
		{b, badProcess, nats.Msg{Subject: "turnhub.datagram.b.c", Data: m.Data}}, // as of another one
		{a, badProcess, nats.Msg{Subject: "turnhub.datagram.a.b", Data: m.Data}}, // back
		{b, badForm, nats.Msg{Subject: "turnhub.datagram.b.UPPER", Data: []byte("x")}},
	}
	for _, x := range bad {
		before := x.to.Stats().Refused[x.why]
		if err := stranger.PublishMsg(&x.m); err != nil {
			t.Fatal(err)
		}
		until(t, "it is counted as "+x.why, func() bool { return x.to.Stats().Refused[x.why] == before+1 })
	}
	foreign := newKeyring([]string{"another secret"})
	var n numbers
	forged := newPairKey(asDatagram, "a", a.run, "b", b.run).encrypt(foreign, &n, m.Subject, a.run, b.run, []byte("forged"))
	_ = stranger.Publish(m.Subject, forged)
	a.say(b, "the last one")
	until(t, "b hears what is true", func() bool { return len(b.all()) == 2 })
	if len(b.all()) != 2 || len(a.all())+len(c.all()) > 0 {
		t.Errorf("heard: %q %q %q", a.all(), b.all(), c.all())
	}
}

// TestDatagramsFlood: who floods a node with datagrams neither holds up what nodes say
// to each other of sessions, nor makes it forget them, nor grows.
func TestDatagramsFlood(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	all := looseNodes(t, s, "a", "b")
	a, b := all[0], all[1]
	stranger, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	garbage := make([]byte, 1<<20-1)
	const many = 300
	for range many {
		if err := stranger.Publish("turnhub.datagram.b.a", garbage); err != nil {
			t.Fatal(err)
		}
	}
	if err := stranger.Flush(); err != nil {
		t.Fatal(err)
	}
	until(t, "they are counted, or lost as too many", func() bool {
		r := b.Stats().Refused
		return r[badSize] >= many/2 || r[badSize] > 0 && r[badQueue] > 0
	})
	if a.live() != "a b" || b.live() != "a b" {
		t.Errorf("a knows %s, b knows %s", a.live(), b.live())
	}
	until(t, "b hears", func() bool {
		a.say(b, "still") // what comes while too many wait is lost, and not said again
		return len(b.all()) > 0
	})
}
