package turnsrv

import (
	"encoding/binary"
	"net/netip"
)

// endpoint is a transport address in the form in which the tables use it as a
// key: no pointers, cheap to hash and to compare. IPv4 addresses are kept in
// their IPv4-mapped form.
type endpoint struct {
	hi, lo uint64
	zone   uint32 // IPv6 scope (interface index) of a link-local address
	port   uint16
}

// mappedPrefix is the high half of lo in an IPv4-mapped address.
const mappedPrefix = 0xffff

func endpointFrom(ap netip.AddrPort) endpoint {
	e := endpointIP(ap.Addr())
	e.port = ap.Port()
	return e
}

// endpointIP returns the endpoint of an address with port 0.
func endpointIP(addr netip.Addr) endpoint {
	b := addr.As16()
	return endpoint{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

func endpointIPv4(ip uint32, port uint16) endpoint {
	return endpoint{lo: mappedPrefix<<32 | uint64(ip), port: port}
}

func (e endpoint) is4() bool { return e.hi == 0 && e.lo>>32 == mappedPrefix }

// sameIP reports whether both have the same IP address, whatever the port.
func (e endpoint) sameIP(o endpoint) bool { return e.hi == o.hi && e.lo == o.lo }

func (e endpoint) ip() endpoint { return endpoint{hi: e.hi, lo: e.lo} }

// transport is the address and port without the scope.
func (e endpoint) transport() endpoint { return endpoint{hi: e.hi, lo: e.lo, port: e.port} }

func (e endpoint) addr() netip.Addr {
	if e.is4() {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(e.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], e.hi)
	binary.BigEndian.PutUint64(b[8:], e.lo)
	return netip.AddrFrom16(b)
}

func (e endpoint) addrPort() netip.AddrPort { return netip.AddrPortFrom(e.addr(), e.port) }

// network is the IPv4 /24 or IPv6 /48 of an endpoint.
func (e endpoint) network() endpoint {
	n := e.ip()
	if e.is4() {
		n.lo &^= 0xff
	} else {
		n.hi &^= 0xffff
		n.lo = 0
	}
	return n
}

// household is the IPv4 address or IPv6 /64 of an endpoint, see netaddr.Household.
func (e endpoint) household() endpoint {
	h := e.ip()
	if !e.is4() {
		h.lo = 0
	}
	return h
}

// Family is an IP address family.
type Family uint8

const (
	IPv4 Family = iota
	IPv6
	families
)

func (f Family) String() string {
	if f == IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

func (e endpoint) family() Family {
	if e.is4() {
		return IPv4
	}
	return IPv6
}

// Transport is how a client reaches this server.
type Transport uint8

const (
	TransportUDP Transport = iota
	TransportTCP
	TransportTLS
	transports
)

func (t Transport) String() string {
	switch t {
	case TransportTCP:
		return "tcp"
	case TransportTLS:
		return "tls"
	default:
		return "udp"
	}
}

// fiveTuple names a UDP client (RFC 8656 section 3). The protocol is always UDP
// here: a stream is its own five-tuple, so a TCP client and a UDP client with
// the same addresses and ports never meet in a table.
type fiveTuple struct {
	client   endpoint
	localHi  uint64
	localLo  uint64
	listener uint32
}
