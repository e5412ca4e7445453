// Package core is the relay itself: STUN and TURN after RFC 8489 and RFC 8656 as a
// state machine that does no I/O. A driver (Driver) brings it what arrives and sends
// what it hands over.
//
// Nothing is shared on the data path. A server is divided into shards (Shard), each
// of which is single-threaded and has clients, allocations, relayed addresses and
// timers of its own; what all have in common is in Shared. A client's packets always
// arrive at the same shard. What one shard's client sends to another shard's goes
// through a ring.
//
// data.go is the data path, control.go the way of a request, and allocate.go,
// refresh.go and permission.go are its methods in the order of the RFC.
package core

import (
	"log/slog"
	"sync/atomic"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/wire"
)

// Shard is one of the equal parts of a server: its clients, allocations, timers and
// counters. It does no I/O of its own: a driver feeds it with what arrives and carries
// out what it wants sent. Everything in it runs single-threaded.
type Shard struct {
	shared *Shared
	id     int
	io     Driver
	log    *slog.Logger

	now     int64 // nanoseconds of the server's clock, taken once per round
	second  int64
	handled uint64 // datagrams and messages that have arrived

	clients map[wire.FiveTuple]*Client // UDP clients with an allocation
	allocs  map[*allocation]struct{}
	wheel   wheel
	count   counters
	rings   []*ring // to the other shards, by their id
	ended   tombstones

	inbox atomic.Pointer[[]*ring] // rings from the other shards

	// Working storage.
	arena   arena
	req     stun.Message
	res     stun.Message
	mac     *wire.MAC
	peers   peerSet
	nonces  *wire.Nonces
	nextTID uint64

	ports        localPorts // nil: the driver cannot tell
	unfragmented bool       // the driver can send so: DONT-FRAGMENT is known
}

// NewShard returns the server's next shard. It must be attached before it is used.
func NewShard(of *Shared) *Shard {
	s := &Shard{
		shared: of, id: len(of.shards), log: of.cfg.Logger,
		clients: make(map[wire.FiveTuple]*Client),
		mac:     wire.NewMAC(), nonces: wire.NewNonces(of.nonceKey),
		allocs: make(map[*allocation]struct{}),
		count: counters{
			errors: make(map[int]uint64), denied: make(map[string]uint64), quota: make(map[string]uint64),
		},
	}
	of.shards = append(of.shards, s)
	s.tick(of.Clock())
	s.wheel.next = s.second
	return s
}

// Attach gives the shard its driver. unfragmented says that ToPeer can send a packet
// unfragmented or not at all; where it cannot, DONT-FRAGMENT is an attribute that the
// server does not know.
func (s *Shard) Attach(d Driver, unfragmented bool) {
	s.io, s.unfragmented = d, unfragmented
	s.ports, _ = d.(localPorts)
}

// localPorts is a driver that knows to which port of this host a UDP client sends. Only
// that one's flows can be in the kernel.
type localPorts interface {
	LocalPort(c *Client) uint16
}

// ID is the shard's place among the server's, from 0.
func (s *Shard) ID() int { return s.id }

// Shared is what the shard has in common with the server's others.
func (s *Shard) Shared() *Shared { return s.shared }

// Now is when the round began, in nanoseconds of the server's clock.
func (s *Shard) Now() int64 { return s.now }

// Second is when the round began, in seconds of the server's clock.
func (s *Shard) Second() int64 { return s.second }

// Handled is how many datagrams and messages have arrived, ever.
func (s *Shard) Handled() uint64 { return s.handled }

// Drop counts packets that were not relayed or answered.
func (s *Shard) Drop(reason Drop, packets int) { s.count.drops[reason] += uint64(packets) }

// Waited is where a driver counts what has waited for the clients of a transport.
func (s *Shard) Waited(transport wire.Transport) *backlog.Waited { return &s.count.waited[transport] }

// Streams counts a stream client that has come (1) or gone (-1).
func (s *Shard) Streams(change int64) { s.count.streams += change }

// Client returns the UDP client with an allocation on a five-tuple, or nil.
func (s *Shard) Client(key wire.FiveTuple) *Client { return s.clients[key] }

// Clients yields all UDP clients with an allocation. The loop may end them.
func (s *Shard) Clients(yield func(*Client) bool) {
	for _, c := range s.clients {
		if !yield(c) {
			return
		}
	}
}

// EndAll ends all allocations, as the driver does before it ends itself.
func (s *Shard) EndAll() {
	for a := range s.allocs {
		s.end(a)
	}
}

// Tick begins a round: it takes the time and ends what is due.
func (s *Shard) Tick() { s.tick(s.shared.Clock()) }

// Reclaim says that all that the shard has handed over is sent, or its buffer held.
func (s *Shard) Reclaim() { s.arena.reclaim() }

// tick begins a round at a time of the server's clock.
func (s *Shard) tick(now int64) {
	s.now = now
	if second := now / 1e9; second != s.second {
		s.second = second
		s.wheel.advance(second, s.due)
		if s.id == 0 {
			s.shared.reservations.sweep(second)
			for _, space := range s.shared.spaces().all {
				space.sweep(second)
			}
		}
	}
}

func (s *Shard) due(a *allocation) {
	if a.expires > s.second {
		s.wheel.add(a, a.expires)
		return
	}
	s.count.expired++
	s.end(a)
}

// end deletes an allocation (RFC 8656 section 7.4) and its relayed addresses.
func (s *Shard) end(a *allocation) {
	if a.dead {
		return
	}
	a.dead = true
	s.count.ended++
	s.shared.offload.forgetOne(a)
	s.dropShare(a)
	if tell := s.shared.cfg.Ended; tell != nil {
		tell(a.info(s.second)) // while it still has its relayed addresses
	}
	s.wheel.remove(a)
	for _, r := range a.relays {
		if r != nil {
			s.closeRelay(r)
		}
	}
	delete(s.allocs, a)
	s.shared.directory.remove(a)
	a.client.alloc = nil
	if a.client.Transport == wire.UDP {
		delete(s.clients, a.client.Key)
	}
}

func (s *Shard) closeRelay(r *Relay) {
	s.shared.offload.forgetOne(r.alloc)
	if r.alloc.sent {
		r.space.spoke[r.addr.Port-r.space.first] = uint32(s.second) // before release: whoever claims the port sees it
	}
	r.alloc.relays[r.addr.Family()] = nil
	r.alloc = nil
	s.unbind(r)
	r.space.release(r.addr.Port)
}

// ClientGone ends the allocation of a client, if it has one: a stream has ended, or
// the driver cannot serve the client any more.
func (s *Shard) ClientGone(c *Client) {
	if c.alloc != nil {
		s.end(c.alloc)
	}
}

func (s *Shard) drop(reason Drop) { s.count.drops[reason]++ }
