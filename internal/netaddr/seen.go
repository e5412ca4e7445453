package netaddr

import "net/netip"

// SeenAddress returns addr as something at which the server itself has seen a
// person, or the zero Addr: a special-purpose address counts only where the
// connection came from it directly, and not where a proxy's header says so; loopback
// never. It is the one rule for the signaling's sockets and the relay's streams. The
// host's own addresses are the relay policy's to refuse.
func SeenAddress(addr netip.Addr, direct bool) netip.Addr {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid(), addr.IsLoopback(), addr.IsUnspecified(), addr.IsMulticast(),
		addr.IsLinkLocalUnicast(), addr.Zone() != "":
		return netip.Addr{}
	case !direct && Special(addr) != "":
		return netip.Addr{}
	}
	return addr
}
