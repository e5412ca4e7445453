package core

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/wire"
)

// Relay is one relayed transport address (RFC 8656 section 3). The first group
// of fields is set before it is published in its relaySpace and read by every
// worker; the others belong to the shard that owns the allocation.
type Relay struct {
	shard *Shard
	space *relaySpace
	user  string
	addr  wire.Endpoint // as advertised
	epoch atomic.Uint32

	alloc  *allocation // nil when it has ended
	bare   bool        // has no socket: see sockets.go
	echoes bool        // its port has sent for somebody else a short time ago: see unasked.go
	looked int64       // second of the last look at an unasked packet
	Handle any         // the driver's
}

// Bind is the IP address of this host on which the relayed address is.
func (r *Relay) Bind() netip.Addr { return r.space.Bind }

// relaySpace is the table of the relay ports of one relay address. The data path
// looks peers up in it without a lock.
type relaySpace struct {
	netaddr.RelayAddress
	bind, advertise wire.Endpoint
	first           uint16                  // port
	ports           []atomic.Pointer[Relay] // from first on
	used            atomic.Int32
	elders          atomic.Pointer[[portBytes]byte] // ports of older processes of this server, by port; nil: none
	spoke           []uint32                        // second in which each port's last user ended that has sent anything; 0: none has

	mu      sync.Mutex // guards:
	foreign []foreignPort
}

// reserved holds a port that is claimed but carries no traffic (yet).
var reserved = new(Relay)

func newRelaySpace(a netaddr.RelayAddress, low, high uint16) *relaySpace {
	return &relaySpace{
		RelayAddress: a, bind: wire.EndpointIP(a.Bind), advertise: wire.EndpointIP(a.Advertise),
		first: low, ports: make([]atomic.Pointer[Relay], int(high)-int(low)+1),
		spoke: make([]uint32, int(high)-int(low)+1),
	}
}

func (s *relaySpace) family() wire.Family { return s.advertise.Family() }

// owns reports whether an IP address (whatever its port) is this space's.
func (s *relaySpace) owns(e wire.Endpoint) bool {
	return e.SameIP(s.advertise) || e.SameIP(s.bind) && !s.Bind.IsUnspecified()
}

func (s *relaySpace) claim(port uint16) bool {
	if s.elsewhere(port) || !s.ports[port-s.first].CompareAndSwap(nil, reserved) {
		return false
	}
	s.used.Add(1)
	return true
}

func (s *relaySpace) release(port uint16) {
	s.ports[port-s.first].Store(nil)
	s.used.Add(-1)
}

// publish lets every worker find a relay.
func (s *relaySpace) publish(r *Relay) { s.ports[r.addr.Port-s.first].Store(r) }

// claims yields free ports that it has claimed: some at random (RFC 8656 section
// 7.2 wants them hard to guess), then all that are left, one after the other. With
// even they are even ones, with pair the next one is claimed as well. The caller
// keeps the port at which it breaks the loop, and has given back each earlier one.
func (s *relaySpace) claims(even, pair bool) iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		size := len(s.ports)
		start := rand.IntN(size)
		for i := range portGuesses + size {
			if int(s.used.Load()) >= size {
				return
			}
			n := (start + i) % size
			if i < portGuesses {
				n = rand.IntN(size)
			}
			port := s.first + uint16(n)
			if even && port&1 != 0 || pair && n+1 == size || !s.claim(port) {
				continue
			}
			if pair && !s.claim(port+1) {
				s.release(port)
				continue
			}
			if !yield(port) {
				return
			}
		}
	}
}

// foreignPort is a claimed port that another program holds.
type foreignPort struct {
	port  uint16
	until int64
}

// setAside keeps a claimed port from being tried for a while.
func (s *relaySpace) setAside(port uint16, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.foreign = append(s.foreign, foreignPort{port, now + foreignTime})
}

// sweep gives the ports back that were set aside long enough.
func (s *relaySpace) sweep(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.foreign) && s.foreign[n].until <= now {
		s.release(s.foreign[n].port)
		n++
	}
	if n > 0 {
		s.foreign = append([]foreignPort(nil), s.foreign[n:]...)
	}
}

// relaySpaces is the set of all relay addresses: those in use for new
// allocations first, and behind them those which a reload has removed but whose
// allocations live on. It is immutable.
type relaySpaces struct {
	all    []*relaySpace
	active int
}

func (r *relaySpaces) with(addresses []netaddr.RelayAddress, low, high uint16) *relaySpaces {
	next := new(relaySpaces)
	for _, a := range addresses {
		next.all = append(next.all, r.find(a, low, high))
	}
	next.active = len(next.all)
	for _, old := range r.all {
		if old.used.Load() > 0 && !next.has(old) {
			next.all = append(next.all, old)
		}
	}
	return next
}

// preferring returns those in use for new allocations, the one first that is bound
// to the address to which a client came.
func (r *relaySpaces) preferring(d Driver, c *Client) []*relaySpace {
	active := r.all[:r.active]
	if len(active) < 2 {
		return active
	}
	came := d.LocalIP(c)
	for i, s := range active {
		if i > 0 && s.bind.SameIP(came) {
			return append([]*relaySpace{s}, slices.Delete(slices.Clone(active), i, i+1)...)
		}
	}
	return active
}

func (r *relaySpaces) find(a netaddr.RelayAddress, low, high uint16) *relaySpace {
	for _, s := range r.all {
		if s.RelayAddress == a {
			return s
		}
	}
	return newRelaySpace(a, low, high)
}

func (r *relaySpaces) has(space *relaySpace) bool {
	for _, s := range r.all {
		if s == space {
			return true
		}
	}
	return false
}

// lookup returns the relay at a transport address, and whether the IP address is
// one of this server's relay addresses at all.
func (r *relaySpaces) lookup(e wire.Endpoint) (target *Relay, own bool) {
	for _, s := range r.all {
		if s.owns(e) {
			if n := int(e.Port) - int(s.first); n >= 0 && n < len(s.ports) {
				if t := s.ports[n].Load(); t != nil && t != reserved {
					return t, true
				}
			}
			own = true
		}
	}
	return nil, own
}
