package cluster

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"turnhub/cluster/natstest"
)

// TestBare: every node knows of the others, and of itself, why nobody could go on with their
// sessions, and for how long that has been so.
func TestBare(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	var why atomic.Value
	why.Store("slow")
	a := start(t, s, "a", func(c *Config) {
		c.Other, c.Uncovered = newOtherEnd(), func() string { return why.Load().(string) }
	})
	b := start(t, s, "b", func(c *Config) { c.Other, c.Uncovered = newOtherEnd(), func() string { return "" } })
	of := func(n *testNode) Member { m, _ := find(n.Members(), "a"); return m }
	for _, n := range []*testNode{a, b} {
		until(t, "it is known that nobody keeps up, and since when", func() bool { m := of(n); return m.Bare == "slow" && m.BareFor > 0 })
	}
	if !b.Stats().Second || a.Stats().Second {
		t.Error("the counters say something else")
	}
	why.Store("")
	for _, n := range []*testNode{a, b} {
		until(t, "it is known that somebody could", func() bool { m := of(n); return m.Bare == "" && m.BareFor == 0 })
	}
	s.Kill()
	for _, n := range []*testNode{a, b} {
		until(t, "it is known that NATS is away", func() bool { m, _ := find(n.Members(), n.cfg.Node); return m.Bare == NoNATS })
	}
	if a.Stats().Second {
		t.Error("the counters say that somebody could")
	}
}

// TestBareWithoutStore: where nobody can be named, that is why.
func TestBareWithoutStore(t *testing.T) {
	t.Parallel()
	a := start(t, natstest.Start(t, false), "a", func(c *Config) {
		c.Other, c.Uncovered = newOtherEnd(), func() string { return "behind" }
	})
	until(t, "it is said", func() bool { return a.Members()[0].Bare == NoStore })
}

// TestUnkept: who has just begun is not reported, nor who is drained.
func TestUnkept(t *testing.T) {
	for _, x := range []struct {
		r                Record
		unkept, settling bool
	}{
		{Record{}, false, false},
		{Record{BareFor: time.Hour.Milliseconds()}, false, false},
		{Record{Bare: "alone"}, false, true},
		{Record{Bare: "alone", BareFor: settles.Milliseconds() - 1}, false, true},
		{Record{Bare: "alone", BareFor: settles.Milliseconds()}, true, false},
		{Record{Bare: "alone", BareFor: settles.Milliseconds(), Draining: true}, false, false},
		{Record{Bare: "alone", Draining: true}, false, false},
	} {
		if x.r.Unkept() != x.unkept || x.r.settling() != x.settling {
			t.Errorf("%+v: %v, settling %v", x.r, x.r.Unkept(), x.r.settling())
		}
	}
	r := Record{Version: version, Node: "a", Run: "run", URL: "https://a.example.org"}
	for bare, wrong := range map[string]string{"alone": "", "a reason that is as long as no reason is": badForm} {
		r.Bare = bare
		body, _ := json.Marshal(r)
		if _, got := parseRecord(body); got != wrong {
			t.Errorf("%s: %q", bare, got)
		}
	}
	r.Bare, r.BareFor = "alone", -1
	body, _ := json.Marshal(r)
	if _, got := parseRecord(body); got != badForm {
		t.Errorf("for less than no time: %q", got)
	}
}
