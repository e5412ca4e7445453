package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/natstest"
)

// otherEnd writes down what one node is told of streams.
type otherEnd struct {
	mu  sync.Mutex
	up  map[string]uint64
	ups map[string]int
	got map[string][]string
}

func newOtherEnd() *otherEnd {
	return &otherEnd{up: make(map[string]uint64), ups: make(map[string]int), got: make(map[string][]string)}
}

func (o *otherEnd) NodeUp(node string, generation uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.up[node], o.got[node] = generation, nil
	o.ups[node]++
}

func (o *otherEnd) NodeLost(node string, _ Loss) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.up, node)
}

func (o *otherEnd) CutOff() {}

func (o *otherEnd) FromNode(node string, frames [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range frames {
		o.got[node] = append(o.got[node], string(f))
	}
}

func (o *otherEnd) generation(node string) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.up[node]
}

func (o *otherEnd) heard(node string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got[node])
}

// all returns what has come from the node, and how often a stream of its began.
func (o *otherEnd) all(node string) (got []string, began int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.got[node]), o.ups[node]
}

// TestLines: what one node says to another arrives whole and in order, through the death of
// NATS too, packets that are sent again or made up do nothing, and a node that ends is lost to
// the others.
func TestLines(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	ends := map[string]*otherEnd{"a": newOtherEnd(), "b": newOtherEnd(), "c": newOtherEnd()}
	nodes := make(map[string]*testNode)
	for name, end := range ends {
		nodes[name] = start(t, s, name, func(c *Config) { c.Other = end })
	}
	for name := range ends {
		for other := range ends {
			if name != other {
				until(t, name+" has a stream to "+other, func() bool {
					return ends[name].generation(other) != 0 && ends[name].generation(other) == ends[other].generation(name)
				})
			}
		}
	}
	spy, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer spy.Close()
	seen := make(map[string]bool)
	var last []byte
	var mu sync.Mutex
	if _, err := spy.Subscribe("turnhub.link.b.a", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if len(m.Data) == 0 || seen[string(m.Data)] {
			return // our own
		}
		seen[string(m.Data)] = true
		last = m.Data
		_ = spy.Publish(m.Subject, m.Data) // again
		bad := append([]byte(nil), m.Data...)
		bad[rand.N(len(bad))] ^= 1
		bad = bad[:1+rand.N(len(bad))]
		short := m.Data[:rand.N(linkHeader)+2]
		seen[string(bad)], seen[string(short)] = true, true
		_ = spy.Publish(m.Subject, bad)
		_ = spy.Publish(m.Subject, short)
	}); err != nil {
		t.Fatal(err)
	}
	const frames = 3000
	large := string(make([]byte, 100_000))
	text := func(i int) string {
		if i%100 == 0 {
			return fmt.Sprint(i) + large
		}
		return fmt.Sprint(i)
	}
	generation := ends["a"].generation("b")
	for i := range frames {
		if i == frames/2 {
			until(t, "some arrives", func() bool { return ends["b"].heard("a") > frames/10 })
			s.Kill()
		}
		if !nodes["a"].Send("b", generation, []byte(text(i))) {
			t.Fatalf("the stream is over after %d", i)
		}
	}
	s.Run()
	until(t, "all arrives", func() bool { return ends["b"].heard("a") == frames })
	got, began := ends["b"].all("a")
	for i, f := range got {
		if f != text(i) {
			t.Fatalf("frame %d is %.20q", i, f)
		}
	}
	if began > 2 {
		t.Errorf("the stream began %d times", began)
	}
	for _, why := range []string{badSeal, badForm, badReplay} {
		// What was said may all have come before the spy heard of it: he gets more.
		until(t, "something is refused for its "+why, func() bool {
			nodes["a"].Send("b", generation, []byte("more"))
			return nodes["b"].Stats().Refused[why] > 0
		})
	}
	nodes["c"].stop()
	until(t, "c is lost", func() bool { return ends["a"].generation("c") == 0 && ends["b"].generation("c") == 0 })
	if nodes["a"].Send("c", generation, []byte("x")) {
		t.Error("a node that has ended is said something")
	}
	// What was said to the process that there was before is nothing to the next one.
	mu.Lock()
	old := last
	mu.Unlock()
	nodes["b"].stop()
	ends["b"] = newOtherEnd()
	again := start(t, s, "b", func(c *Config) { c.Other = ends["b"] })
	until(t, "b is back", func() bool { return ends["b"].generation("a") != 0 })
	until(t, "it is refused", func() bool {
		_ = spy.Publish("turnhub.link.b.a", old)
		return again.Stats().Refused[badProcess] > 0
	})
}

// TestEndedForCertain: a node is lost as soon as NATS says that its process has ended, also
// while nobody's silence is judged since this one has only just come to NATS.
func TestEndedForCertain(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	end := newOtherEnd()
	slow := func(c *Config) { c.beat = time.Minute } // silence is judged after some 4 minutes
	a := start(t, s, "a", func(c *Config) { slow(c); c.Other = end })
	b := start(t, s, "b", func(c *Config) { slow(c); c.Other = newOtherEnd() })
	until(t, "a has a stream to b", func() bool { return end.generation("b") != 0 })
	b.crash()
	until(t, "NATS says that nobody is there", func() bool {
		_, err := a.ask(t.Context(), "b", askPing, "", pingPatience)
		return errors.Is(err, errNobody)
	})
	a.book.bury("b", b.run)
	wake(a.greet)
	until(t, "b is lost", func() bool { return end.generation("b") == 0 })
}

// TestShaken: while NATS is away, and for a while after, a node is not sure of what others have of it.
func TestShaken(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	a := start(t, s, "a", func(c *Config) { c.Other = newOtherEnd() })
	until(t, "all is well", func() bool { return !a.Shaken() })
	s.Kill()
	until(t, "the node notices", a.Shaken)
	until(t, "the node has looked", func() bool { a.lines.mu.Lock(); defer a.lines.mu.Unlock(); return a.lines.blind != 0 })
	s.Run()
	back := time.Duration(0)
	until(t, "NATS is back", func() bool { a.lines.mu.Lock(); defer a.lines.mu.Unlock(); back = a.lines.heard; return back != 0 })
	until(t, "all is well again", func() bool { return !a.Shaken() })
	if after := a.now() - back; after < a.book.gone {
		t.Errorf("%v after NATS was back", after)
	}
}
