package wire

import (
	"encoding/binary"
	"net/netip"
)

// Endpoint is a transport address in the form in which the tables use it as a
// key: no pointers, cheap to hash and to compare. IPv4 addresses are kept in
// their IPv4-mapped form.
type Endpoint struct {
	Hi, Lo uint64
	Zone   uint32 // IPv6 scope (interface index) of a link-local address
	Port   uint16
}

// mappedPrefix is the high half of Lo in an IPv4-mapped address.
const mappedPrefix = 0xffff

// EndpointFrom returns the endpoint of an address and port, without the zone.
func EndpointFrom(ap netip.AddrPort) Endpoint {
	e := EndpointIP(ap.Addr())
	e.Port = ap.Port()
	return e
}

// EndpointIP returns the endpoint of an address with port 0.
func EndpointIP(addr netip.Addr) Endpoint {
	b := addr.As16()
	return Endpoint{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// ParseIP returns the endpoint, with port 0, of a socket's address as net.Addr has it in
// text; zero where that is none.
func ParseIP(address string) Endpoint {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return Endpoint{}
	}
	return EndpointIP(ap.Addr().WithZone(""))
}

// EndpointIPv4 returns the endpoint of an IPv4 address in host byte order.
func EndpointIPv4(ip uint32, port uint16) Endpoint {
	return Endpoint{Lo: mappedPrefix<<32 | uint64(ip), Port: port}
}

// Is4 reports whether the address is IPv4.
func (e Endpoint) Is4() bool { return e.Hi == 0 && e.Lo>>32 == mappedPrefix }

// SameIP reports whether both have the same IP address, whatever the port.
func (e Endpoint) SameIP(o Endpoint) bool { return e.Hi == o.Hi && e.Lo == o.Lo }

// IP is the address alone, with port 0.
func (e Endpoint) IP() Endpoint { return Endpoint{Hi: e.Hi, Lo: e.Lo} }

// Unscoped is the address and port without the scope.
func (e Endpoint) Unscoped() Endpoint { return Endpoint{Hi: e.Hi, Lo: e.Lo, Port: e.Port} }

// Addr returns the IP address, without the zone.
func (e Endpoint) Addr() netip.Addr {
	if e.Is4() {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(e.Lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], e.Hi)
	binary.BigEndian.PutUint64(b[8:], e.Lo)
	return netip.AddrFrom16(b)
}

// Bytes16 is the IP address in 16 bytes, IPv4 in its IPv4-mapped form.
func (e Endpoint) Bytes16() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], e.Hi)
	binary.BigEndian.PutUint64(b[8:], e.Lo)
	return b
}

// EndpointBytes returns the endpoint, with port 0, of an address of 4 or 16 bytes; zero
// where there are not so many.
func EndpointBytes(b []byte) Endpoint {
	switch len(b) {
	case 4:
		return EndpointIPv4(binary.BigEndian.Uint32(b), 0)
	case 16:
		return Endpoint{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
	}
	return Endpoint{}
}

// AddrPort returns the address and port, without the zone.
func (e Endpoint) AddrPort() netip.AddrPort { return netip.AddrPortFrom(e.Addr(), e.Port) }

// Network is the IPv4 /24 or IPv6 /48 of an endpoint.
func (e Endpoint) Network() Endpoint {
	n := e.IP()
	if e.Is4() {
		n.Lo &^= 0xff
	} else {
		n.Hi &^= 0xffff
		n.Lo = 0
	}
	return n
}

// Household is the IPv4 address or IPv6 /64 of an endpoint, see netaddr.Household.
func (e Endpoint) Household() Endpoint {
	h := e.IP()
	if !e.Is4() {
		h.Lo = 0
	}
	return h
}

// Family is an IP address family.
type Family uint8

const (
	IPv4 Family = iota
	IPv6
	Families
)

func (f Family) String() string {
	if f == IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

func (e Endpoint) Family() Family {
	if e.Is4() {
		return IPv4
	}
	return IPv6
}

// Transport is how a client reaches this server.
type Transport uint8

const (
	UDP Transport = iota
	TCP
	TLS
	Transports
)

func (t Transport) String() string {
	switch t {
	case TCP:
		return "tcp"
	case TLS:
		return "tls"
	default:
		return "udp"
	}
}

// FiveTuple names a UDP client (RFC 8656 section 3). The protocol is always UDP
// here: a stream is its own five-tuple, so a TCP client and a UDP client with
// the same addresses and ports never meet in a table.
type FiveTuple struct {
	Client   Endpoint
	LocalHi  uint64
	LocalLo  uint64
	Listener uint32
}
