package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"turnhub/cluster/natstest"
)

// TestClocksApart: nodes whose clocks are wrong, within what is heard at all, agree on rooms and
// answer each other.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	var nodes []*testNode
	for name, ahead := range map[string]time.Duration{"a": 0, "b": 5 * time.Minute, "c": -4 * time.Minute} {
		nodes = append(nodes, start(t, s, name, func(c *Config) { c.ahead = ahead }))
	}
	for _, n := range nodes {
		until(t, "all know all", func() bool { return n.live() == "a b c" && n.Stats().Store })
	}
	ctx := context.Background()
	for i := range 12 {
		room := fmt.Sprint("room-", i)
		for range 2 {
			first := nodes[0].Place(ctx, room).Node
			for _, n := range nodes {
				if p := n.Place(ctx, room); p.Node != first {
					t.Fatalf("%s is on %s, and on %s", room, first, p.Node)
				}
			}
		}
	}
	for _, n := range nodes {
		for _, a := range n.Tell(ctx, "revoke", "vasya") {
			if a.Err != nil {
				t.Errorf("%s to %s: %v", a.Node, n.cfg.Node, a.Err)
			}
		}
		if n.Stats().Refused[badClock] > 0 {
			t.Errorf("%s: %v", n.cfg.Node, n.Stats().Refused)
		}
	}
}

// TestQuestionsComeOnce: an id is known until what has it is too old by any clock of its sender.
func TestQuestionsComeOnce(t *testing.T) {
	r, at := newRecent(), wall()
	for i := range 100 {
		r.take(fmt.Sprint("one ", i), at)
		if !r.take("asked", at) {
			t.Fatal("a new one is refused")
		}
		for passed := time.Duration(0); passed <= 2*maxApart; passed += time.Minute {
			if r.take("asked", at+passed.Milliseconds()) {
				t.Fatalf("heard again after %v", passed)
			}
			r.take(fmt.Sprint("another ", i, passed), at+passed.Milliseconds())
		}
		at += int64(i+1) * time.Hour.Milliseconds()
		r.take(fmt.Sprint("one ", i, " more"), at)
		at += time.Hour.Milliseconds()
	}
}
