package netaddr

import (
	"maps"
	"net/netip"
	"testing"
)

// TestElsewhere: what is elsewhere fills a household's bound and its network's, and nobody
// else's.
func TestElsewhere(t *testing.T) {
	var c Counts
	share := Share{Household: 4}
	addr := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	home, network := Household(addr("2001:db8::1")), Network(addr("2001:db8::1"))
	c.SetElsewhere(Elsewhere{home: 3, network: NetworkShare*4 - 2})
	for i, step := range []struct {
		at   string
		n    int
		want Bound
	}{
		{"2001:db8::7", 2, OverHousehold},
		{"2001:db8::7", 1, Within},
		{"2001:db8::8", 1, OverHousehold},
		{"2001:db8:0:1::1", 2, OverNetwork},
		{"2001:db8:0:1::1", 1, Within},
		{"2001:db8:1::1", 4, Within},
	} {
		if got := c.Add(addr(step.at), step.n, share); got != step.want {
			t.Errorf("%d: %d more of %s: %q, want %q", i, step.n, step.at, got, step.want)
		}
	}
	if most, want := c.Most(2), map[netip.Prefix]int{Household(addr("2001:db8:1::1")): 4}; !maps.Equal(most, want) {
		t.Errorf("the most have %v, want %v", most, want)
	}
	c.SetElsewhere(nil)
	if got := c.Add(addr("2001:db8::7"), 3, share); got != Within {
		t.Errorf("with nothing elsewhere: %q", got)
	}
	if IsNetwork(home) || !IsNetwork(network) || IsNetwork(Household(addr("192.0.2.1"))) || !IsNetwork(Network(addr("192.0.2.1"))) {
		t.Error("households and networks are mixed up")
	}
}
