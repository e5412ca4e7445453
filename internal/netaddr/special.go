package netaddr

import "net/netip"

// specialRange is one entry of IANA's special-purpose address registries (and
// of the multicast and reserved space), with the reason under which a refusal
// is counted. https://www.iana.org/assignments/iana-ipv4-special-registry and
// iana-ipv6-special-registry.
type specialRange struct {
	prefix netip.Prefix
	reason string
}

// specialRanges are no place where a person on the internet can be; all of them
// are places where a host's own network can be.
var specialRanges = []specialRange{
	{netip.MustParsePrefix("0.0.0.0/8"), "this-network"},        // RFC 791
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},            // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), "shared"},          // RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},          // RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},     // RFC 3927, and every cloud's metadata
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},         // RFC 1918
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol"},         // RFC 6890
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},    // RFC 5737
	{netip.MustParsePrefix("192.31.196.0/24"), "protocol"},      // RFC 7535, AS112
	{netip.MustParsePrefix("192.52.193.0/24"), "protocol"},      // RFC 7450, AMT
	{netip.MustParsePrefix("192.88.99.0/24"), "transition"},     // RFC 7526
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},        // RFC 1918
	{netip.MustParsePrefix("192.175.48.0/24"), "protocol"},      // RFC 7534, AS112
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark"},       // RFC 2544
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"}, // RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},  // RFC 5737
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},         // RFC 1112
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},          // RFC 1112, and broadcast

	{netip.MustParsePrefix("::/128"), "this-network"},       // RFC 4291
	{netip.MustParsePrefix("::1/128"), "loopback"},          // RFC 4291
	{netip.MustParsePrefix("64:ff9b:1::/48"), "transition"}, // RFC 8215
	{netip.MustParsePrefix("100::/64"), "discard"},          // RFC 6666
	{netip.MustParsePrefix("100:0:0:1::/64"), "protocol"},   // RFC 9780
	{netip.MustParsePrefix("2001::/23"), "protocol"},        // RFC 2928
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "protocol"}, // RFC 7534, AS112
	{netip.MustParsePrefix("3fff::/20"), "documentation"},    // RFC 9637
	{netip.MustParsePrefix("5f00::/16"), "protocol"},         // RFC 9602, SRv6 SIDs
	{netip.MustParsePrefix("fc00::/7"), "private"},           // RFC 4193, and fd00:ec2::254
	{netip.MustParsePrefix("fe80::/10"), "link-local"},       // RFC 4291
	{netip.MustParsePrefix("fec0::/10"), "private"},          // RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "multicast"},         // RFC 4291
}

// metadataAddresses are cloud metadata and host-agent services. They hand out a
// host's credentials, so not even allow_peers opens them.
var metadataAddresses = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // AWS, Azure, GCP, and most others
	netip.MustParseAddr("169.254.170.2"),   // AWS ECS
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("168.63.129.16"),   // Azure's host agent, of public look
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // GCP
}

// transitionRanges hold an IPv4 address in an IPv6 one. A packet sent to them
// may come out as IPv4 behind a translator, so they are never reached as such.
var transitionRanges = []netip.Prefix{
	netip.MustParsePrefix("::/96"),         // IPv4-compatible, RFC 4291 section 2.5.5.1
	netip.MustParsePrefix("::ffff:0:0/96"), // IPv4-mapped, RFC 4291 section 2.5.5.2
	netip.MustParsePrefix("::ffff:0:0:0/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

// isatapID is the upper half of an ISATAP interface identifier without its
// universal/local bit, RFC 5214 section 6.1.
const isatapID = 0x00005efe

// Special returns why an address is none of a host on the internet, in one short
// word fit to be a metric's label, or "" for a global unicast address. An IPv6
// address that carries IPv4 addresses is judged by these first.
func Special(addr netip.Addr) string {
	addr = Plain(addr)
	for _, form := range append(embeddedIPv4(addr), addr) {
		for _, r := range specialRanges {
			if r.prefix.Contains(form) {
				return r.reason
			}
		}
	}
	if addr.Is6() {
		for _, r := range transitionRanges {
			if r.Contains(addr) {
				return "transition"
			}
		}
	}
	return ""
}

// Metadata reports whether an address is a cloud's metadata service or host
// agent, which hand out a host's credentials.
func Metadata(addr netip.Addr) bool {
	for _, m := range metadataAddresses {
		if Plain(addr) == m {
			return true
		}
	}
	return false
}

// Forms returns an address and the IPv4 addresses that it carries inside it, in
// any of the forms in which a host or a translator may unpack it.
func Forms(addr netip.Addr) []netip.Addr {
	return append(embeddedIPv4(addr), Plain(addr))
}

// embeddedIPv4 returns the IPv4 addresses that an address is, or carries inside
// it, in any of the forms in which a host or a translator may unpack it.
func embeddedIPv4(addr netip.Addr) []netip.Addr {
	if addr.Is4() || addr.Is4In6() {
		return []netip.Addr{addr.Unmap()}
	}
	b := addr.As16()
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	var found []netip.Addr
	switch {
	case transitionRanges[0].Contains(addr), // ::a.b.c.d
		transitionRanges[2].Contains(addr), // ::ffff:0:a.b.c.d, RFC 2765
		transitionRanges[3].Contains(addr): // 64:ff9b::a.b.c.d, RFC 6052
		found = append(found, v4(12))
	case transitionRanges[4].Contains(addr):
		// RFC 8215 leaves the length open: every place that RFC 6052 section
		// 2.2 names beyond /48, of which octet 8 is always skipped.
		found = append(found, v4(12), netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]}), v4(9),
			netip.AddrFrom4([4]byte{b[7], b[9], b[10], b[11]}))
	case transitionRanges[5].Contains(addr):
		// Teredo, RFC 4380 section 4: server, and the client's address inverted.
		found = append(found, v4(4), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	case transitionRanges[6].Contains(addr):
		found = append(found, v4(2)) // 6to4, RFC 3056 section 2
	}
	id := uint32(b[8])<<24 | uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11])
	if id&^0x02000000 == isatapID {
		found = append(found, v4(12))
	}
	return found
}
