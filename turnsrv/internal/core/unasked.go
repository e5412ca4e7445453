package core

import (
	"sync/atomic"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/wire"
)

// Whether the firewall in front of the relay's ports lets packets in cannot be seen from
// inside: a stateful one lets in the answers to what was sent, whatever its rules say. So
// only a packet from an address to which a relayed address has sent nothing shows that the
// port is open.

// remembered is how long, in seconds, a firewall may take what comes to a port for an
// answer after the last packet from there: netfilter forgets UDP after 3 minutes, others
// after 5 (RFC 4787 section 4.3).
const remembered = 600

// openness is when such a packet has last come, in seconds of the server's clock, for each
// family; 0: never.
type openness [wire.Families]atomic.Int64

// unasked looks at a packet that has come to a relay. p is the permission of its sender,
// valid or not; nil where there is none.
func (s *Shard) unasked(r *Relay, p *permission, peer wire.Endpoint) {
	if r.echoes || p != nil && p.sent || p == nil && r.alloc.forgot {
		return
	}
	last := &s.shared.open[r.addr.Family()]
	if r.looked == s.second || last.Load() == s.second {
		return
	}
	r.looked = s.second // a look costs more than a packet may
	if s.comesFromOutside(r, peer) {
		last.Store(s.second)
	}
}

// comesFromOutside reports whether a packet has passed what stands in front of the server:
// it is not from this host, and not from a network of its own (a container's, a cloud's)
// where the world comes to a public address.
func (s *Shard) comesFromOutside(r *Relay, peer wire.Endpoint) bool {
	if _, own := s.shared.spaces().lookup(peer); own {
		return false
	}
	addr := netaddr.Plain(peer.Addr())
	if addr.IsLoopback() || addr.IsLinkLocalUnicast() || s.shared.policy.Load().OwnHost(addr) {
		return false
	}
	return netaddr.Special(addr) == "" || netaddr.Special(r.addr.Addr()) != ""
}

// Reached is how long ago a packet from outside has last come to a relayed address of this
// family from an address to which that had sent nothing; negative: never.
func (s *Shared) Reached(f wire.Family) time.Duration {
	last := s.open[f].Load()
	if last == 0 {
		return -1
	}
	return max(0, time.Duration(s.Clock()-last*1e9))
}

// AddReached adds what another process of this server knows, as Reached tells it.
func (s *Shared) AddReached(f wire.Family, ago time.Duration) {
	if ago < 0 {
		return
	}
	when := (s.Clock() - int64(ago)) / 1e9
	for {
		last := s.open[f].Load()
		if when <= last || s.open[f].CompareAndSwap(last, when) {
			return
		}
	}
}
