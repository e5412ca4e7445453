// Package turnsrv is a STUN and TURN server: RFC 8489 and RFC 8656, IPv4 and
// IPv6, clients over UDP, TCP and TLS, peers over UDP.
//
// The server is divided into shards that share nothing on the data path. A
// client's packets always arrive at the same shard (SO_REUSEPORT spreads UDP
// clients by their address, a stream is given to one), so its allocation, relay
// sockets, permissions, channels, timers and counters live there and need no lock.
// A shard is pure protocol; the driver below it does the I/O: on Linux one worker
// per core with its own epoll and batched system calls, elsewhere a goroutine per
// socket. What all shards share is either immutable and swapped as a whole
// (policy, limits, relay addresses), a lock-free table (relay ports), or touched
// by the control path only (quotas, reservations).
package turnsrv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/netaddr"
)

// Limits bound what clients can use. Zero means no limit.
type Limits struct {
	AllocationsPerUser       int
	AllocationsPerIP         int
	AllocationsTotal         int
	PermissionsPerAllocation int     // and as many channels
	BandwidthPerAllocation   int64   // payload bytes per second, each direction
	UnauthenticatedPerPrefix float64 // answers per second, per IPv4 /24 and IPv6 /48
}

// Config is what a Server is made of.
type Config struct {
	Realm       string
	Software    string // the SOFTWARE attribute; empty: none
	Credentials *Credentials
	// Revoked reports whether a user's credentials that expire then open no
	// allocation any more, because they are older than the user's revocation. It
	// must be quick and safe for concurrent use. It is asked when an allocation is
	// made, when that is done, and at each later request for it. Nil: none are.
	Revoked func(user string, expires time.Time) bool
	// Refused is told of each request whose credentials are wrong, and why. The
	// client's address is genuine. It is called on the relay's workers, so it must
	// be quick and safe for concurrent use. Nil: nobody is told.
	Refused func(client netip.Addr, transport Transport, why AuthResult)
	// Unproved reports whether anybody may have credentials for that user name: then
	// what a household has allocated under it counts against the quota of nobody else
	// who uses it. Nil: each name is one person's.
	Unproved func(user string) bool
	Relay    []netaddr.RelayAddress
	PortMin  uint16 // of relayed addresses
	PortMax  uint16
	Policy   *Policy
	Limits   Limits
	Workers  int // 0: one per CPU
	// Portable makes the server run on the driver for other systems on Linux too.
	Portable bool
	Logger   *slog.Logger
}

// Server is a STUN and TURN server. All its methods are safe for concurrent use.
type Server struct {
	cfg        Config
	started    time.Time
	shortRealm string // see realm.go

	limits    atomic.Pointer[Limits]
	bandwidth atomic.Int64
	policy    atomic.Pointer[Policy]
	relays    atomic.Pointer[relaySpaces]
	draining  atomic.Bool

	nonceKey     []byte
	prefixes     *prefixLimit
	churn        *prefixLimit // of new allocations
	directory    *directory
	reservations reservations

	workers []worker // the last one serves streams that cannot be handed to another
	next    atomic.Uint32

	mu      sync.Mutex
	running bool
	closed  bool
	streams sync.WaitGroup
}

// worker is a shard with the driver that runs it.
type worker interface {
	core() *shard
	listen(address netip.AddrPort) (netip.AddrPort, error)
	// run serves until ctx ends and closes everything.
	run(ctx context.Context) error
	// post runs f in the shard's thread of control, soon and in order.
	post(f func(*shard))
	// serve takes a stream over; it returns when it ends or a worker owns it. It
	// reports false when it cannot take this kind of connection.
	serve(conn net.Conn, transport Transport) bool
}

// New returns a server that neither listens nor serves yet.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Credentials == nil:
		return nil, errors.New("turnsrv: no credentials")
	case cfg.Realm == "" || len(cfg.Realm) > 127:
		return nil, errors.New("turnsrv: the realm must have 1 to 127 bytes")
	case cfg.PortMin == 0 || cfg.PortMin > cfg.PortMax:
		return nil, fmt.Errorf("turnsrv: relay ports %d to %d are no range", cfg.PortMin, cfg.PortMax)
	case len(cfg.Software) > 127:
		return nil, errors.New("turnsrv: the software name is longer than 127 bytes")
	}
	if cfg.Policy == nil {
		cfg.Policy = NewPolicy(PolicyConfig{})
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.NumCPU()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Portable = cfg.Portable || portableOnly
	s := &Server{
		cfg: cfg, started: time.Now(), shortRealm: shortRealm(cfg.Realm),
		nonceKey: newNonceKey(), prefixes: newPrefixLimit(), churn: newPrefixLimit(), directory: newDirectory(cfg.Unproved),
	}
	s.reservations.directory = s.directory
	s.policy.Store(cfg.Policy)
	s.relays.Store(new(relaySpaces))
	s.SetRelay(cfg.Relay)
	s.SetLimits(cfg.Limits)
	if err := s.makeWorkers(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) makeWorkers() error {
	n := s.cfg.Workers
	for i := range n {
		shard := newShard(s, i)
		var w worker
		var err error
		if s.cfg.Portable {
			w = newPortable(shard)
		} else if w, err = newWorker(shard); err != nil {
			return fmt.Errorf("start relay worker %d: %w", i, err)
		}
		s.workers = append(s.workers, w)
	}
	s.workers = append(s.workers, newPortable(newShard(s, n)))
	return nil
}

// clock is the server's coarse clock: nanoseconds since it was made, plus a day so
// that nothing ever happened at time 0.
func (s *Server) clock() int64 { return int64(time.Since(s.started) + 24*time.Hour) }

func (s *Server) spaces() *relaySpaces { return s.relays.Load() }

// ListenUDP binds a UDP address ("host:port", the host may be empty) at once; it
// is served by Serve. It returns the address, with the port if that was 0.
func (s *Server) ListenUDP(address string) (netip.AddrPort, error) {
	addresses, err := resolveListen(address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen on udp %s: %w", address, err)
	}
	var first netip.AddrPort
	for i, ap := range addresses {
		if first.IsValid() {
			ap = netip.AddrPortFrom(ap.Addr(), first.Port())
		}
		bound, err := s.listen(ap)
		if err != nil {
			if i > 0 && errors.Is(err, errNoFamily) {
				continue // a host without IPv6
			}
			return netip.AddrPort{}, fmt.Errorf("listen on udp %s: %w", ap, err)
		}
		if !first.IsValid() {
			first = bound
		}
	}
	return first, nil
}

func (s *Server) listen(ap netip.AddrPort) (netip.AddrPort, error) {
	workers := s.workers[:len(s.workers)-1]
	if s.cfg.Portable {
		workers = workers[:1] // one socket, since nothing spreads clients there
	}
	if err := probeUDP(ap); err != nil {
		return netip.AddrPort{}, err
	}
	for _, w := range workers {
		bound, err := w.listen(ap)
		if err != nil {
			return netip.AddrPort{}, err
		}
		ap = bound
	}
	return ap, nil
}

// errNoFamily means that the host lacks an address family.
var errNoFamily = errors.New("address family not supported")

// probeUDP reports a port that another program holds. The workers' own sockets
// share theirs (SO_REUSEPORT) and would share it with that program too.
func probeUDP(ap netip.AddrPort) error {
	network := "udp4"
	if ap.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(ap))
	if err != nil {
		return classify(err)
	}
	return conn.Close()
}

func resolveListen(address string) ([]netip.AddrPort, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		a, err := net.ResolveUDPAddr("udp4", address)
		if err != nil {
			return nil, err
		}
		port := uint16(a.Port)
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port),
		}, nil
	}
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	ap := a.AddrPort()
	return []netip.AddrPort{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
}

// Serve runs the server until ctx ends, and then ends all allocations and closes
// all sockets. It returns nil after ctx ended.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	if s.running || s.closed {
		s.mu.Unlock()
		return errors.New("turnsrv: Serve called twice")
	}
	s.running = true
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(s.workers))
	for _, w := range s.workers {
		go func() { errs <- w.run(ctx) }()
	}
	var first error
	for range s.workers {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
		cancel() // one worker less is no service
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
	s.streams.Wait()
	return first
}

// ServeStream takes over a TCP or TLS connection of a client. It returns when the
// connection ends, or when a worker has taken it.
func (s *Server) ServeStream(conn net.Conn, transport Transport) {
	s.mu.Lock()
	if s.closed || !s.running {
		s.mu.Unlock()
		conn.Close()
		return
	}
	s.streams.Add(1)
	s.mu.Unlock()
	defer s.streams.Done()
	n := uint32(len(s.workers) - 1)
	if s.workers[s.next.Add(1)%n].serve(conn, transport) {
		return
	}
	s.workers[n].serve(conn, transport)
}

// each runs f on every shard, one after the other, in its thread of control.
func (s *Server) each(f func(*shard)) {
	for _, w := range s.workers {
		done := make(chan struct{})
		w.post(func(sh *shard) {
			f(sh)
			close(done)
		})
		<-done
	}
}

// on has f done to allocations by the shards that own them. It does not wait:
// the caller may hold a lock that the peer policy needs too.
func (s *Server) on(allocs []*allocation, f func(*shard, *allocation)) {
	byShard := make([][]*allocation, len(s.workers))
	for _, a := range allocs {
		id := a.owner.id
		byShard[id] = append(byShard[id], a)
	}
	for id, mine := range byShard {
		if len(mine) > 0 {
			s.workers[id].post(func(sh *shard) {
				for _, a := range mine {
					f(sh, a)
				}
			})
		}
	}
}

// Recheck asks the peer policy again for every permission of these users'
// allocations, or of all when none is named: their rooms have changed. It does not
// wait until that is done, which takes the workers one round.
func (s *Server) Recheck(users ...string) {
	if len(users) == 0 {
		for _, w := range s.workers {
			w.post(func(sh *shard) {
				for a := range sh.allocs {
					sh.recheck(a)
				}
			})
		}
		return
	}
	var allocs []*allocation
	for _, user := range users {
		allocs = append(allocs, s.directory.of(user)...)
	}
	s.on(allocs, (*shard).recheck)
}

// Revoke ends all allocations of a user, and all others whose credentials
// Config.Revoked names, within one round of the workers, and returns how many there
// are. Allocations that are being made see by Config.Revoked what comes before Revoke.
func (s *Server) Revoke(user string) int {
	allocs := s.directory.which(func(a *allocation) bool { return a.user == user || s.revoked(a.username) })
	s.on(allocs, func(sh *shard, a *allocation) {
		if a.dead {
			return
		}
		sh.count.revoked++
		c := a.client
		sh.end(a)
		if c.transport != TransportUDP {
			sh.io.closeClient(c)
		}
	})
	return len(allocs)
}

// SetLimits replaces the limits. Allocations that exist stay, even above them.
func (s *Server) SetLimits(l Limits) {
	s.limits.Store(&l)
	s.bandwidth.Store(l.BandwidthPerAllocation)
}

// SetRelay replaces the addresses on which new allocations get their relayed
// addresses. Those that exist stay.
func (s *Server) SetRelay(addresses []netaddr.RelayAddress) {
	for {
		old := s.relays.Load()
		if s.relays.CompareAndSwap(old, old.with(addresses, s.cfg.PortMin, s.cfg.PortMax)) {
			return
		}
	}
}

// SetPolicy replaces the peer policy and applies it to what exists.
func (s *Server) SetPolicy(p *Policy) {
	s.policy.Store(p)
	s.Recheck()
}

// Drain refuses new allocations from now on with 508; those that exist go on.
func (s *Server) Drain() { s.draining.Store(true) }

// Stats returns the counters of all workers.
func (s *Server) Stats() Stats {
	stats := newStats()
	stats.Workers = len(s.workers) - 1
	s.each(func(sh *shard) {
		stats.merge(&sh.count)
		for a := range sh.allocs {
			for f, r := range a.relays {
				if r != nil {
					stats.Allocations[a.client.transport][f]++
				}
			}
		}
	})
	return stats
}

// Allocations returns all allocations, in no order.
func (s *Server) Allocations() []AllocationInfo {
	var all []AllocationInfo
	s.each(func(sh *shard) {
		for a := range sh.allocs {
			all = append(all, a.info(sh.second))
		}
	})
	return all
}
