package load

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// direct joins a client and its peer without a server: what a run costs by itself.
func (s *shard) direct(n int) error {
	peer, address, err := s.peer(n)
	if err != nil {
		return err
	}
	var c *client
	err = Within(s.o.ClientNamespace, func() error {
		conn, err := dial(Server{Transport: "udp", Address: address}, netip.Addr{})
		c = &client{conn: conn}
		return err
	})
	if err != nil {
		return err
	}
	s.clients = append(s.clients, c)
	if s.o.Direction != "down" {
		if err := s.clientFlow(c, address); err != nil {
			return err
		}
	}
	if s.o.Direction == "up" {
		return nil
	}
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return fmt.Errorf("read a client's address: %w", err)
	}
	f, err := newFlow(len(s.flows), nil, peer.fd, addrPort(name), rawFrame(s.o.Size), s.o)
	s.flows = append(s.flows, f)
	return err
}

func addrPort(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
