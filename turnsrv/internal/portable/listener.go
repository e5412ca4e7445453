package portable

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// listener is a socket to which clients send. One for all addresses of the host is told to
// which of them a datagram came, so that the answer leaves from there: clients take it from
// no other (RFC 8489 section 6.3.1.1). Where the system does not say so it chooses one.
type listener struct {
	conn *net.UDPConn
	four *ipv4.PacketConn // of these two at most one is there
	six  *ipv6.PacketConn
}

func newListener(conn *net.UDPConn) *listener {
	l := &listener{conn: conn}
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	switch {
	case !at.IsUnspecified():
	case at.Is4():
		if four := ipv4.NewPacketConn(conn); four.SetControlMessage(ipv4.FlagDst, true) == nil {
			l.four = four
		}
	default:
		if six := ipv6.NewPacketConn(conn); six.SetControlMessage(ipv6.FlagDst, true) == nil {
			l.six = six
		}
	}
	return l
}

// receive reads a datagram. to is the address of this host to which it came; the zero Addr:
// the socket's own, or one that is not known.
func (l *listener) receive(b []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	var source net.Addr
	var at net.IP
	switch {
	case l.four != nil:
		var m *ipv4.ControlMessage
		if n, m, source, err = l.four.ReadFrom(b); m != nil {
			at = m.Dst
		}
	case l.six != nil:
		var m *ipv6.ControlMessage
		if n, m, source, err = l.six.ReadFrom(b); m != nil {
			at = m.Dst
		}
	default:
		n, from, err = l.conn.ReadFromUDPAddrPort(b)
		return n, from, to, err
	}
	if err != nil {
		return 0, from, to, err
	}
	to, _ = netip.AddrFromSlice(at)
	from = source.(*net.UDPAddr).AddrPort()
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), to.Unmap(), nil
}

// send answers from the address to which the client has sent.
func (l *listener) send(b []byte, to netip.AddrPort, from netip.Addr) (err error) {
	switch {
	case l.four != nil && from.IsValid():
		_, err = l.four.WriteTo(b, &ipv4.ControlMessage{Src: from.AsSlice()}, net.UDPAddrFromAddrPort(to))
	case l.six != nil && from.IsValid():
		_, err = l.six.WriteTo(b, &ipv6.ControlMessage{Src: from.AsSlice()}, net.UDPAddrFromAddrPort(to))
	default:
		_, err = l.conn.WriteToUDPAddrPort(b, to)
	}
	return err
}
