package load

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Each client has a plain UDP peer of its own, as in calls: a server that tells its
// clients' packets apart by the peers' addresses (coturn with --multiplex-peer) takes
// each for one client only. Peers that only receive, on loopback, are addresses of one
// socket, so that the generator does not pay for hundreds of them.

// peer returns the socket of a shard's peer n and its address.
func (s *shard) peer(n int) (*conn, netip.AddrPort, error) {
	shared := s.o.Direction == "up" && s.o.Peer.Is4() && s.o.Peer.IsLoopback()
	address, bound := s.o.Peer, s.o.Peer
	if shared {
		bound = netip.IPv4Unspecified()
		for range n {
			address = address.Next()
		}
		if !address.IsLoopback() {
			return nil, netip.AddrPort{}, fmt.Errorf("there are no %d loopback addresses after %s", n, s.o.Peer)
		}
	}
	if !shared || len(s.peers) == 0 {
		if err := Within(s.o.PeerNamespace, func() error { return s.openPeer(bound) }); err != nil {
			return nil, netip.AddrPort{}, err
		}
	}
	c := s.peers[len(s.peers)-1]
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return nil, netip.AddrPort{}, fmt.Errorf("read a peer's address: %w", err)
	}
	return c, netip.AddrPortFrom(address, addrPort(name).Port()), nil
}

func (s *shard) openPeer(address netip.Addr) error {
	fd, err := socket(unix.SOCK_DGRAM, address)
	if err != nil {
		return err
	}
	s.peers = append(s.peers, &conn{fd: fd, peer: true})
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(address, 0))); err != nil {
		return fmt.Errorf("bind a peer's socket: %w", err)
	}
	return nil
}

// reach joins a client and its plain UDP peer.
func (s *shard) reach(c *client, n int) error {
	peer, address, err := s.peer(n)
	if err != nil {
		return err
	}
	if err := s.admit(c, address); err != nil {
		return err
	}
	if s.o.Direction != "down" {
		if err := s.clientFlow(c, address); err != nil {
			return err
		}
	}
	if s.o.Direction != "up" {
		f, err := newFlow(len(s.flows), nil, peer.fd, c.relayed, rawFrame(s.o.Size), s.o)
		if err != nil {
			return err
		}
		s.flows = append(s.flows, f)
	}
	return nil
}
