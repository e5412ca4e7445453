package netaddr

import (
	"net/netip"
	"testing"
)

// TestGateway widens limits for the gateway alone, says so once, and never takes them off.
func TestGateway(t *testing.T) {
	told := 0
	g := NewGateway([]netip.Addr{netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("fd00::1")}, func(netip.Addr) { told++ })
	for addr, want := range map[string]int{"172.17.0.1": 64, "::ffff:172.17.0.1": 64, "fd00::1": 64, "172.17.0.2": 1, "fd00::2": 1} {
		if got := g.Times(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %d times", addr, got)
		}
	}
	if told != 1 {
		t.Errorf("said %d times", told)
	}
	var none *Gateway
	if none.Is(netip.MustParseAddr("172.17.0.1")) || none.Times(netip.Addr{}) != 1 {
		t.Error("no gateway is somebody")
	}
	var counts Counts
	at := netip.MustParseAddr("172.17.0.1")
	for n := range 2 * 64 {
		if over := counts.Add(at, 1, Share{Household: 2 * g.Times(at)}); over != Within {
			t.Fatalf("the gateway is refused number %d: %s", n, over)
		}
	}
	if over := counts.Add(at, 1, Share{Household: 2 * g.Times(at)}); over != OverHousehold {
		t.Errorf("the gateway has no limit: %q", over)
	}
}
