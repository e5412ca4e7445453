package policy

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// people is a Calls of fixed answers.
type people struct {
	together map[[2]string]bool
	seen     map[string][]string // user → addresses of those together with them
}

func (p people) Together(a, b string) bool { return p.together[[2]string{a, b}] }
func (p people) Seen(user string, addr netip.Addr) bool {
	return slices.Contains(p.seen[user], addr.String())
}

func at(users map[string]string) func(netip.Addr) iter.Seq[string] {
	return func(addr netip.Addr) iter.Seq[string] {
		return func(yield func(string) bool) {
			for user, a := range users {
				if a == addr.String() && !yield(user) {
					return
				}
			}
		}
	}
}

// TestPublicDeniesBypasses holds the published ways around a deny list.
func TestPublicDeniesBypasses(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("2606:2800:220:1::5")}
	p := New(Config{Mode: ModePublic, Own: func() []netip.Addr { return own }})
	for _, tc := range []struct{ addr, why string }{
		{"0.0.0.0", "CVE-2020-26262: connects to the host itself on Linux"},
		{"0.1.2.3", "the rest of 0/8"},
		{"::", "CVE-2020-26262, IPv6"},
		{"::1", "CVE-2020-26262"},
		{"127.0.0.1", "loopback"},
		{"127.255.255.254", "all of 127/8"},
		{"::ffff:127.0.0.1", "CVE-2026-27624: IPv4-mapped loopback"},
		{"::ffff:0.0.0.0", "mapped unspecified"},
		{"::ffff:10.0.0.1", "CVE-2026-27624: mapped private"},
		{"::ffff:169.254.169.254", "CVE-2026-27624: mapped metadata"},
		{"::127.0.0.1", "IPv4-compatible"},
		{"::ffff:0:127.0.0.1", "IPv4-translated, RFC 2765"},
		{"64:ff9b::127.0.0.1", "NAT64 to loopback"},
		{"64:ff9b::a00:1", "NAT64 to private"},
		{"64:ff9b::808:808", "NAT64 to a public address is judged by the translator's route, not ours"},
		{"64:ff9b:1::7f00:1", "local NAT64"},
		{"2002:7f00:1::1", "6to4 to loopback"},
		{"2002:a9fe:a9fe::", "6to4 to metadata"},
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"},
		{"2001:0:808:808::80ff:fffe", "Teredo client 127.0.0.1"},
		{"2606:4700::5efe:7f00:1", "ISATAP to loopback"},
		{"2606:4700::200:5efe:a9fe:a9fe", "ISATAP to metadata, global bit set"},
		{"169.254.169.254", "metadata"},
		{"168.63.129.16", "Azure's host agent"},
		{"100.100.100.200", "Alibaba's metadata"},
		{"192.0.0.192", "Oracle's metadata"},
		{"fd00:ec2::254", "AWS's metadata over IPv6"},
		{"10.1.2.3", ""}, {"172.16.0.1", ""}, {"172.31.255.255", ""}, {"192.168.1.1", ""},
		{"100.64.0.1", ""}, {"192.0.0.8", ""}, {"192.0.2.1", ""}, {"198.18.0.1", ""}, {"198.19.255.255", ""},
		{"198.51.100.7", ""}, {"203.0.113.7", ""}, {"192.88.99.1", ""}, {"224.0.0.1", ""}, {"239.255.255.250", ""},
		{"240.0.0.1", ""}, {"255.255.255.255", "broadcast"},
		{"fe80::1", ""}, {"fe80::1%eth0", "with a zone"}, {"febf::1", ""}, {"fc00::1", ""}, {"fdff::1", ""},
		{"fec0::1", ""}, {"ff02::1", ""}, {"2001:db8::1", ""}, {"100::1", ""}, {"2001:10::1", "ORCHID"}, {"3fff::1", ""},
		{"93.184.216.34", "the host's own public address"},
		{"::ffff:93.184.216.34", "the same, mapped"},
		{"2606:2800:220:1::5", "the host's own IPv6 address"},
	} {
		v := p.Admit("mallory", netip.MustParseAddr(tc.addr), nil)
		if v.Allowed || v.Reason == "" {
			t.Errorf("%s is reachable: %s", tc.addr, tc.why)
		}
	}
	for _, addr := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a02:db8::1", "::ffff:8.8.8.8"} {
		if v := p.Admit("alice", netip.MustParseAddr(addr), nil); !v.Allowed {
			t.Errorf("%s is refused: %s", addr, v.Reason)
		}
	}
	if p.Admit("alice", netip.Addr{}, nil).Allowed {
		t.Error("the zero address is reachable")
	}
}

func TestCallsAdmitsOnlyWhoWasSeen(t *testing.T) {
	calls := people{
		together: map[[2]string]bool{{"s_a", "s_b"}: true, {"s_b", "s_a"}: true},
		seen: map[string][]string{
			"s_a": {"198.35.26.96", "192.168.1.7", "127.0.0.1", "169.254.169.254", "93.184.216.34", "100.100.100.200", "203.0.113.9", "10.9.0.1"},
		},
	}
	own := func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("93.184.216.34")} }
	proxy := netip.MustParsePrefix("10.9.0.0/16").Contains
	p := New(Config{Calls: calls, Own: own, Proxy: proxy})
	clients := at(map[string]string{"s_b": "9.9.9.9", "s_p": "10.9.0.1", "s_m": "8.8.4.4", "s_a": "7.7.7.7"})
	for _, tc := range []struct {
		user, addr, reason string
	}{
		{"s_a", "198.35.26.96", ""},
		{"s_a", "9.9.9.9", ""},
		{"s_a", "192.168.1.7", ""}, // seen directly, in the operator's own network
		{"s_a", "203.0.113.9", ""},
		{"s_a", "192.168.1.8", "private"},
		{"s_a", "8.8.4.4", "not-in-call"},
		{"s_a", "8.8.8.8", "not-in-call"},
		{"s_a", "7.7.7.7", "not-in-call"}, // the user's own address is nobody else's
		{"s_a", "127.0.0.1", "loopback"},
		{"s_a", "169.254.169.254", "metadata"},
		{"s_a", "100.100.100.200", "metadata"},
		{"s_a", "93.184.216.34", "own-host"},
		{"s_a", "10.9.0.1", "proxy"}, // where all who come through it seem to be
		{"s_m", "198.35.26.96", "not-in-call"},
		{"s_m", "9.9.9.9", "not-in-call"},
	} {
		v := p.Admit(tc.user, netip.MustParseAddr(tc.addr), clients)
		if v.Allowed != (tc.reason == "") || v.Reason != tc.reason {
			t.Errorf("%s → %s: %+v, want reason %q", tc.user, tc.addr, v, tc.reason)
		}
	}
	if !p.Together("s_a", "s_b") || p.Together("s_a", "s_m") || !p.Together("s_m", "s_m") {
		t.Error("Together is wrong")
	}
	if New(Config{}).Admit("s_a", netip.MustParseAddr("8.8.8.8"), clients).Allowed {
		t.Error("without Calls somebody is reachable")
	}
}

func TestAllowAndDenyLists(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	cfg := Config{
		Mode:  ModePublic,
		Allow: prefixes("203.0.113.0/24", "127.0.0.1/32", "169.254.0.0/16", "10.0.0.0/8"),
		Deny:  prefixes("203.0.113.66/32", "8.8.8.0/24", "10.9.0.0/16"),
		Own: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("203.0.113.1")}
		},
	}
	want := map[string]bool{
		"203.0.113.7": true, "203.0.113.66": false, "8.8.8.8": false, "::ffff:8.8.8.8": false, "64:ff9b::808:808": false,
		"127.0.0.1": true, "127.0.0.2": false, "169.254.1.1": true, "169.254.169.254": false, "10.1.1.1": true, "10.9.1.1": false,
		"64:ff9b::a01:101": false, "2002:a01:101::": false,
		"203.0.113.1": true, // the operator opened the host's own address by name
	}
	for addr, ok := range want {
		if v := New(cfg).Admit("u", netip.MustParseAddr(addr), nil); v.Allowed != ok {
			t.Errorf("public, %s: %+v, want allowed %v", addr, v, ok)
		}
	}
	// In mode calls an opened range still holds only people who were seen.
	cfg.Mode, cfg.Calls = ModeCalls, people{seen: map[string][]string{"u": {"127.0.0.1", "203.0.113.66"}}}
	for addr, ok := range map[string]bool{"127.0.0.1": true, "203.0.113.7": false, "203.0.113.66": false} {
		if v := New(cfg).Admit("u", netip.MustParseAddr(addr), nil); v.Allowed != ok {
			t.Errorf("calls, %s: %+v, want allowed %v", addr, v, ok)
		}
	}
	cfg.Mode = ModeAny
	for addr, ok := range map[string]bool{"127.0.0.2": true, "169.254.169.254": true, "8.8.8.8": false} {
		if v := New(cfg).Admit("u", netip.MustParseAddr(addr), nil); v.Allowed != ok {
			t.Errorf("any, %s: %+v, want allowed %v", addr, v, ok)
		}
	}
}

// slowPublic is the decision of mode public on bit strings: slow, and held
// against the registries by eye.
func slowPublic(addr netip.Addr) bool {
	bits := func(a netip.Addr) string {
		var s strings.Builder
		for _, b := range a.AsSlice() {
			fmt.Fprintf(&s, "%08b", b)
		}
		return s.String()
	}
	prefixBits := func(s string) string {
		p := netip.MustParsePrefix(s)
		return bits(p.Addr())[:p.Bits()]
	}
	in := func(s string, ranges ...string) bool {
		return slices.ContainsFunc(ranges, func(r string) bool {
			p := prefixBits(r)
			return (len(s) == 32) == netip.MustParsePrefix(r).Addr().Is4() && strings.HasPrefix(s, p)
		})
	}
	v4bad := func(s string) bool {
		return in(s, "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
			"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
			"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "168.63.129.16/32")
	}
	s := bits(addr)
	if len(s) == 32 {
		return !v4bad(s)
	}
	if strings.HasPrefix(s, strings.Repeat("0", 80)+strings.Repeat("1", 16)) {
		return !v4bad(s[96:]) // mapped: it is that IPv4 address
	}
	if in(s, "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8") {
		return false
	}
	isatap := fmt.Sprintf("%032b", 0x5efe)
	if id := s[64:96]; id[:6] == isatap[:6] && id[7:] == isatap[7:] {
		return !v4bad(s[96:])
	}
	return true
}

// FuzzPolicy compares the decision with the slow one.
func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"8.8.8.8", "::ffff:10.0.0.1", "2606:4700::5efe:7f00:1", "2002:7f00:1::", "2a02:db8::1", "64:ff9b:1:ffff::", "100:0:0:1::1", "fbff::1"} {
		f.Add(netip.MustParseAddr(s).AsSlice())
	}
	p := New(Config{Mode: ModePublic})
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		if got, want := p.Admit("u", addr, nil).Allowed, slowPublic(addr); got != want {
			t.Errorf("%s: allowed %v, want %v", addr, got, want)
		}
	})
}
