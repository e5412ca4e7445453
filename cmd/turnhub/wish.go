package main

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// wish is what an address of listen.tcp, listen.udp or listen.admin asks for. It
// means the same over TCP and UDP.
type wish struct {
	address string // as written
	addr    netip.AddrPort
	// both says that it is every address of both families: ":P", or "[::]:P" with
	// no IPv4 address beside it on its port. Beside one, "[::]:P" is IPv6 alone (RFC
	// 3493 section 5.3), so that each family is served once.
	both bool
	// lenient: 0.0.0.0 without [::] beside it, which takes an inherited [::] too.
	lenient bool
}

// wishes reads the addresses of a list. Others share the ports with it. IPv6 alone
// comes last: the first address of a port stands for it in URLs.
func wishes(list []string, others ...string) ([]wish, error) {
	all, err := addrPorts(slices.Concat(list, others))
	if err != nil {
		return nil, err
	}
	beside := func(port uint16, is func(netip.Addr) bool) bool {
		return slices.ContainsFunc(all, func(ap netip.AddrPort) bool { return port != 0 && ap.Port() == port && is(ap.Addr().Unmap()) })
	}
	var first, last []wish
	for i, address := range list {
		w := wish{address: address, addr: netip.AddrPortFrom(all[i].Addr().Unmap(), all[i].Port())}
		switch w.addr.Addr() {
		case netip.IPv4Unspecified():
			w.both = strings.HasPrefix(address, ":")
			w.lenient = !w.both && !beside(w.addr.Port(), func(a netip.Addr) bool { return a == netip.IPv6Unspecified() })
		case netip.IPv6Unspecified():
			w.both = !beside(w.addr.Port(), netip.Addr.Is4)
			if !w.both {
				last = append(last, w)
				continue
			}
		}
		first = append(first, w)
	}
	return append(first, last...), nil
}

// tcp is the network that Go is to listen on.
func (w wish) tcp() string {
	if !w.both && w.addr.Addr() == netip.IPv6Unspecified() {
		return "tcp6"
	}
	if !w.both && w.addr.Addr() == netip.IPv4Unspecified() {
		return "tcp4"
	}
	return "tcp"
}

// matches reports whether a bound socket is one that is asked for.
func (w wish) matches(bound netip.AddrPort) bool {
	addr := bound.Addr().Unmap()
	switch {
	case w.addr.Port() != bound.Port():
		return false
	case w.both || w.lenient:
		return addr.IsUnspecified() // of either family
	}
	return w.addr.Addr() == addr
}

// ipv6Alone reports whether a socket takes no IPv4.
func ipv6Alone(conn syscall.Conn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	alone := false
	raw.Control(func(fd uintptr) {
		v, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY)
		alone = err == nil && v != 0
	})
	return alone
}
