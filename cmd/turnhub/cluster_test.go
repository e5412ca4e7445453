package main

import (
	"strings"
	"testing"
	"time"

	"turnhub/cluster"
	"turnhub/signaling"
)

// TestUnkeptNodes: why the sessions of a node would end with it, and what to do, has words for
// each reason, and is said of nobody who has just begun, goes down, or is gone.
func TestUnkeptNodes(t *testing.T) {
	said := make(map[string]bool)
	for _, why := range []string{signaling.NoOther, signaling.NoneSwift, signaling.NotYet, cluster.NoNATS, cluster.NoStore, "a later version's"} {
		m := cluster.Member{Record: cluster.Record{Bare: why, BareFor: time.Hour.Milliseconds()}}
		what, remedy := unkept(m)
		if !strings.HasPrefix(what, "its sessions would end with it: ") || remedy == "" || said[what] {
			t.Errorf("%s: %q, %q", why, what, remedy)
		}
		said[what] = true
		for _, change := range []func(*cluster.Member){
			func(m *cluster.Member) { m.BareFor = 1 },
			func(m *cluster.Member) { m.Draining = true },
			func(m *cluster.Member) { m.Gone = true },
			func(m *cluster.Member) { m.Bare = "" },
		} {
			m := m
			change(&m)
			if what, _ := unkept(m); what != "" {
				t.Errorf("%+v: %q", m, what)
			}
		}
	}
}
