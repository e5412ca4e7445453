package netaddr

import (
	"net/netip"
	"strings"
	"testing"
)

func TestDisplace(t *testing.T) {
	for _, x := range []struct {
		there, newcomer string
		want            int
	}{
		{"9.9.9.1 9.9.9.1 9.9.9.1", "8.8.8.8", 2},
		{"9.9.9.1 9.9.9.1 7.7.7.7", "8.8.8.8", 1},
		{"9.9.9.1 9.9.9.1 9.9.9.1", "9.9.9.1", -1}, // a household does not displace itself
		{"9.9.9.1 7.7.7.7", "8.8.8.8", -1},         // nobody has more than their share
		{"9.9.9.1 9.9.9.1 8.8.8.8", "8.8.8.8", -1},
		{"9.9.9.1 9.9.9.1 9.9.9.1 8.8.8.8", "8.8.8.8", 2},
		// A /48 with one call from each of its homes.
		{"2001:db8:0:1::1 2001:db8:0:2::1 2001:db8:0:3::1", "8.8.8.8", 2},
		// A neighbour in the same /24.
		{"9.9.9.1 9.9.9.1 9.9.9.1", "9.9.9.2", 2},
		{"", "8.8.8.8", -1},
	} {
		var there []netip.Addr
		for _, a := range strings.Fields(x.there) {
			there = append(there, netip.MustParseAddr(a))
		}
		if got := Displace(there, netip.MustParseAddr(x.newcomer)); got != x.want {
			t.Errorf("%s comes to %s: %d, want %d", x.newcomer, x.there, got, x.want)
		}
	}
}
