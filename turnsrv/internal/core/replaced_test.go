package core

import (
	"fmt"
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestReplacedOnOtherShards has four shards replace silent allocations of each by
// those of any.
func TestReplacedOnOtherShards(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 8}
	of := NewShared(cfg)
	var desks []*desk
	for range 4 {
		desks = append(desks, deskOn(t, of))
	}
	allocate := func(n int) int {
		u := desks[n%len(desks)].at("anna", fmt.Sprintf("192.0.2.%d:%d", n%200+1, 1000+n))
		return codeOf(u)
	}
	made := 0
	for round := range 3 {
		for range 8 {
			if code := allocate(made); code != 0 {
				t.Fatalf("round %d: %d", round, code)
			}
			made++
		}
		if n := len(of.Allocations()); n != 8 {
			t.Errorf("round %d: %d allocations", round, n)
		}
		if code := allocate(500 + made); code != 486 {
			t.Errorf("round %d: a ninth: %d, want 486", round, code)
		}
		for _, d := range desks {
			for a := range d.allocs {
				a.active.Store(d.second - silence)
			}
		}
	}
	if s := of.Stats(); s.Replaced != 16 || s.Ended != 16 || s.Created != 24 {
		t.Errorf("%d replaced, %d ended, %d made", s.Replaced, s.Ended, s.Created)
	}
}

func codeOf(u *user) int {
	return turntest.CodeOf(u.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)))
}
