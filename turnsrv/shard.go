package turnsrv

import (
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"turnhub/internal/ratelimit"

	"github.com/pion/stun/v2"
)

// shard is the core of one worker: its clients, allocations, timers and counters.
// It does no I/O of its own: a driver feeds it with what arrives and carries out
// what it wants sent. Everything in it runs single-threaded.
type shard struct {
	srv *Server
	id  int
	io  driver
	log *slog.Logger

	now     int64 // nanoseconds of the server's clock, taken once per round
	second  int64
	handled uint64 // datagrams and messages that have arrived

	clients map[fiveTuple]*client // UDP clients with an allocation
	allocs  map[*allocation]struct{}
	wheel   wheel
	count   counters
	rings   []*ring // to the other shards, by their id
	ended   tombstones

	inbox atomic.Pointer[[]*ring] // rings from the other shards

	// Working storage.
	arena   []byte // of this round
	placing int    // how much of it is used
	req     stun.Message
	res     stun.Message
	mac     *mac
	peers   peerSet
	nonces  *nonces
	nextTID uint64

	noDontFragment bool // the driver cannot do it
}

// driver is the seam between the core and the operating system. All its methods
// are called by the shard, on the shard's own thread of control.
type driver interface {
	// bindRelay opens the socket of a relayed address.
	bindRelay(r *relay, port uint16) error
	// closeRelay closes it.
	closeRelay(r *relay)
	// toPeer sends a payload from a relayed address. The segment stays valid
	// until the round ends.
	toPeer(r *relay, peer endpoint, g segment, dontFragment bool)
	// toClient sends a message; media may be dropped when a stream is full.
	toClient(c *client, g segment, media bool)
	// closeClient ends a stream client after what is queued has been written.
	closeClient(c *client)
	// flush sends what is queued and ends the life of all segments of the round.
	flush()
	// wake makes the shard look at its rings. It is called by other shards.
	wake()
}

// relaySocket is the driver's handle of a relay socket.
type relaySocket interface{}

// client is a client's five-tuple (RFC 8656 section 3) and the allocation made
// over it, if any.
type client struct {
	transport Transport
	addr      endpoint
	key       fiveTuple // UDP only
	alloc     *allocation
	link      any // the driver's handle: a listener or a stream
	pend      pending
	control   ratelimit.Account
}

// localIP is the address of this host to which the client came, port 0; zero where
// the driver cannot tell.
func (c *client) localIP() endpoint {
	var local net.Addr
	switch link := c.link.(type) {
	case interface{ localIP(*client) endpoint }:
		return link.localIP(c)
	case interface{ LocalAddr() net.Addr }:
		local = link.LocalAddr()
	default:
		return endpoint{}
	}
	ap, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return endpoint{}
	}
	return endpointIP(ap.Addr().WithZone(""))
}

// pending is a driver's list of what a client or relay waits to send, as positions
// in its queue plus one.
type pending struct{ head, tail int32 }

func newShard(srv *Server, id int) *shard {
	s := &shard{
		srv: srv, id: id, log: srv.cfg.Logger,
		clients: make(map[fiveTuple]*client),
		mac:     newMAC(), nonces: newNonces(srv.nonceKey),
		allocs: make(map[*allocation]struct{}),
		count: counters{
			errors: make(map[int]uint64), denied: make(map[string]uint64), quota: make(map[string]uint64),
		},
	}
	s.tick(srv.clock())
	s.wheel.next = s.second
	return s
}

// tick takes the time at the start of a round and ends what is due.
func (s *shard) tick(now int64) {
	s.now = now
	if second := now / 1e9; second != s.second {
		s.second = second
		s.wheel.turn(second, s.due)
		if s.id == 0 {
			s.srv.reservations.sweep(second)
			for _, space := range s.srv.spaces().all {
				space.sweep(second)
			}
		}
	}
}

func (s *shard) due(a *allocation) {
	if a.expires > s.second {
		s.wheel.add(a, a.expires)
		return
	}
	s.count.expired++
	s.end(a)
}

// end deletes an allocation (RFC 8656 section 7.4) and its relayed addresses.
func (s *shard) end(a *allocation) {
	if a.dead {
		return
	}
	a.dead = true
	s.count.ended++
	s.wheel.remove(a)
	for _, r := range a.relays {
		if r != nil {
			s.closeRelay(r)
		}
	}
	delete(s.allocs, a)
	s.srv.directory.remove(a)
	a.client.alloc = nil
	if a.client.transport == TransportUDP {
		delete(s.clients, a.client.key)
	}
}

func (s *shard) closeRelay(r *relay) {
	r.alloc.relays[r.addr.family()] = nil
	r.alloc = nil
	s.io.closeRelay(r)
	r.space.release(r.addr.port)
}

// clientGone is called by the driver when a stream client's connection has ended.
func (s *shard) clientGone(c *client) {
	if c.alloc != nil {
		s.end(c.alloc)
	}
}

func (s *shard) drop(reason Drop) { s.count.drops[reason]++ }

// recheck asks the peer policy again for an allocation.
func (s *shard) recheck(a *allocation) {
	if a.dead {
		return
	}
	a.bumpEpoch()
	for i := range a.perms {
		s.reviewPermission(a, &a.perms[i])
	}
}

// reviewPermission asks the policy again about a permission that was given under
// an older epoch.
func (s *shard) reviewPermission(a *allocation, p *permission) {
	outside, reason := s.admit(a, p.ip)
	p.epoch = a.epoch()
	p.outside = outside
	if _, own := s.srv.spaces().lookup(p.ip); !outside && !own {
		s.count.denied[reason]++
		p.expires = 0
	}
}

// admit asks the peer policy about an address.
func (s *shard) admit(a *allocation, peer endpoint) (ok bool, reason string) {
	v := s.srv.policy.Load().Admit(a.user, peer.addr(), s.srv.directory.clientsAt)
	return v.Allowed, v.Reason
}

// together reports whether two relayed addresses of this server may exchange
// packets.
func (s *shard) together(a, b string) bool {
	p := s.srv.policy.Load()
	return p.Together(a, b) && p.Together(b, a)
}

// tombstones remember the last few allocations that a Refresh with lifetime 0
// ended, so that its retransmission gets the same answer.
type tombstones struct {
	ring [64]tombstone
	next int
}

type tombstone struct {
	transaction [12]byte
	client      fiveTuple
	username    string
}

func (t *tombstones) add(transaction [12]byte, client fiveTuple, username string) {
	t.ring[t.next%len(t.ring)] = tombstone{transaction, client, username}
	t.next++
}

func (t *tombstones) has(transaction [12]byte, client fiveTuple, username string) bool {
	for i := range t.ring {
		if e := &t.ring[i]; e.transaction == transaction && e.client == client && e.username == username {
			return e.username != ""
		}
	}
	return false
}

// arenaSize holds the largest message several times.
const arenaSize = 512 << 10

// moved copies a segment that has no room for a header or padding to where it has.
func (s *shard) moved(g segment) segment { return s.placed(g.bytes()) }

// placed copies a message into memory that lasts until the round ends.
func (s *shard) placed(b []byte) segment {
	need := headroom + len(b) + tailroom
	if s.placing+need > len(s.arena) {
		if s.arena == nil {
			s.arena = make([]byte, arenaSize)
		} else {
			s.io.flush()
		}
		s.placing = 0
	}
	lo := s.placing + headroom
	copy(s.arena[lo:], b)
	s.placing += (need + 63) &^ 63
	return segment{buf: s.arena, lo: lo, hi: lo + len(b), free: headroom, spare: tailroom}
}

// addInbox gives the shard one more ring to drain. Safe for concurrent use.
func (s *shard) addInbox(r *ring) {
	for {
		old := s.inbox.Load()
		var next []*ring
		if old != nil {
			next = append(next, *old...)
		}
		next = append(next, r)
		if s.inbox.CompareAndSwap(old, &next) {
			return
		}
	}
}

// waiting reports whether another shard has put something into a ring.
func (s *shard) waiting() bool {
	if rings := s.inbox.Load(); rings != nil {
		for _, r := range *rings {
			if !r.empty() {
				return true
			}
		}
	}
	return false
}

// drainRings delivers what other shards have passed, at most limit datagrams from
// each, and sends it.
func (s *shard) drainRings(limit int) (n int) {
	rings := s.inbox.Load()
	if rings == nil {
		return 0
	}
	for _, r := range *rings {
		if k := r.drain(limit, s.deliver); k > 0 {
			s.io.flush()
			r.free(k)
			n += k
		}
	}
	return n
}
