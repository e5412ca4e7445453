package repeats

import (
	"net/netip"
	"testing"
)

func TestLinesAreBounded(t *testing.T) {
	var r Filter
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	if !r.Due(addr(1), 5) || r.Due(addr(1), 5) || !r.Due(addr(1), 6) {
		t.Error("not one line per address and second")
	}
	lines := 0
	for i := range 1000 {
		if r.Due(addr(i), 7) {
			lines++
		}
	}
	if lines != perSecond {
		t.Errorf("%d lines in one second", lines)
	}
	for second := range int64(2000) {
		r.Due(addr(int(second)), 8+second)
		if len(r.last) > kept {
			t.Fatalf("%d addresses are kept", len(r.last))
		}
	}
}
