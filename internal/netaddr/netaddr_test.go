package netaddr

import (
	"net/netip"
	"testing"
)

// TestWhoIsOneVisitor checks the two sizes in which addresses are counted, for
// every form in which an address comes in.
func TestWhoIsOneVisitor(t *testing.T) {
	for _, x := range []struct{ addr, household, network string }{
		{"203.0.113.7", "203.0.113.7/32", "203.0.113.0/24"},
		{"::ffff:203.0.113.7", "203.0.113.7/32", "203.0.113.0/24"},
		{"2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/48"},
		// A server with IPv6 alone: all of IPv4 is no single household.
		{"64:ff9b::203.0.113.7", "203.0.113.7/32", "203.0.113.0/24"},
		{"64:ff9b:1::1", "64:ff9b:1::/64", "64:ff9b:1::/48"},
	} {
		addr := netip.MustParseAddr(x.addr)
		if got := Household(addr); got != netip.MustParsePrefix(x.household) {
			t.Errorf("%s: household %s, want %s", x.addr, got, x.household)
		}
		if got := Network(addr); got != netip.MustParsePrefix(x.network) {
			t.Errorf("%s: network %s, want %s", x.addr, got, x.network)
		}
	}
	if Household(netip.Addr{}).IsValid() || Network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}

// TestSpecial checks each registry with one address, and what hides another
// address inside it.
func TestSpecial(t *testing.T) {
	for addr, want := range map[string]string{
		"8.8.8.8": "", "2606:4700::1111": "", "168.63.129.16": "",
		"0.1.2.3": "this-network", "10.1.2.3": "private", "100.64.0.1": "shared", "127.9.9.9": "loopback",
		"169.254.169.254": "link-local", "192.0.0.1": "protocol", "198.18.0.1": "benchmark", "224.0.0.1": "multicast",
		"255.255.255.255": "reserved", "203.0.113.1": "documentation", "192.31.196.1": "protocol", "192.52.193.1": "protocol",
		"::": "this-network", "::1": "this-network", "fe80::1%eth0": "link-local", "fd00::1": "private", "ff02::1": "multicast",
		"3fff::1": "documentation", "5f00::1": "protocol", "2620:4f:8000::1": "protocol", "100:0:0:1::1": "protocol",
		"::ffff:10.0.0.1": "private", "64:ff9b::10.0.0.1": "private", "64:ff9b::8.8.8.8": "transition",
		"2002:7f00:1::": "loopback", "2001:db8::1": "documentation",
	} {
		if got := Special(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if !Metadata(netip.MustParseAddr("::ffff:169.254.169.254")) || Metadata(netip.MustParseAddr("169.254.0.1")) {
		t.Error("metadata services are not told from others")
	}
}
