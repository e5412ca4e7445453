// Package netaddr is what all parts of the server know about IP addresses: which
// are special, which of them count as one visitor, and where a relay is. It
// imports nothing of ours.
package netaddr

import "net/netip"

// RelayAddress is a local address on which relay sockets are bound.
type RelayAddress struct {
	// Bind is the local address, which may be unspecified.
	Bind netip.Addr
	// Advertise is what XOR-RELAYED-ADDRESS says: the same address as the
	// internet sees it.
	Advertise netip.Addr
}

// Plain returns an address in the one form in which addresses are compared: an
// IPv4-mapped one as IPv4, and without a zone.
func Plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// wellKnownNAT64 is the prefix of RFC 6052 section 2.1. A server that has IPv6
// alone sees every IPv4 client of the internet within it (RFC 7755).
var wellKnownNAT64 = netip.MustParsePrefix("64:ff9b::/96")

// counted returns the address that a client is counted by.
func counted(addr netip.Addr) netip.Addr {
	addr = Plain(addr)
	if wellKnownNAT64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// Household returns what counts as one visitor: an IPv4 address, or an IPv6 /64,
// of which every home has one. An invalid address gives the zero Prefix.
func Household(addr netip.Addr) netip.Prefix { return cut(addr, 32, 64) }

// Network returns the wider network of an address, of which one party can hold
// all households: an IPv4 /24, or an IPv6 /48, which tunnel brokers and most
// hosting companies give to anybody.
func Network(addr netip.Addr) netip.Prefix { return cut(addr, 24, 48) }

func cut(addr netip.Addr, four, six int) netip.Prefix {
	addr = counted(addr)
	bits := six
	if addr.Is4() {
		bits = four
	}
	p, _ := addr.Prefix(bits)
	return p
}
