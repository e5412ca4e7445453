package turnsrv

import (
	"net/netip"
	"testing"
)

func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	if !r.due(addr(1), 5) || r.due(addr(1), 5) || !r.due(addr(1), 6) {
		t.Error("not one line per address and second")
	}
	lines := 0
	for i := range 1000 {
		if r.due(addr(i), 7) {
			lines++
		}
	}
	if lines != refusalsPerSecond {
		t.Errorf("%d lines in one second", lines)
	}
	for second := range int64(2000) {
		r.due(addr(int(second)), 8+second)
		if len(r.last) > refusalsKept {
			t.Fatalf("%d addresses are kept", len(r.last))
		}
	}
}
