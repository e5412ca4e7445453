// Package turnsrv is a STUN and TURN server: RFC 8489 and RFC 8656, IPv4 and
// IPv6, clients over UDP, TCP and TLS, peers over UDP. It is the front desk; the rooms
// behind it, each of which knows only those named after it, are
//
//	internal/epoll, internal/portable   the drivers, which do the I/O: on Linux one
//	    worker per core with its own epoll and batched system calls, elsewhere a
//	    goroutine per socket
//	internal/kernel   forwards the packets of running calls past the drivers, in the
//	    Linux kernel
//	internal/core     the protocol, without any I/O, in shards that share nothing on
//	    the data path
//	internal/backlog  what waits for clients on slow lines
//	policy            which peers a client may reach
//	credentials       how time-limited credentials are made and verified
//	internal/wire     the form of messages and addresses
//
// A client's packets always arrive at the same shard (SO_REUSEPORT spreads UDP
// clients by their address, a stream is given to one), so its allocation, relay
// sockets, permissions, channels, timers and counters live there and need no lock.
package turnsrv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/kernel"
	"turnhub/turnsrv/internal/portable"
	"turnhub/turnsrv/policy"
)

// Server is a STUN and TURN server. All its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	shared *core.Shared
	kernel *kernel.Kernel // nil: none

	workers []worker // the last one serves streams that cannot be handed to another
	next    atomic.Uint32

	mu      sync.Mutex
	running bool
	closed  bool
	started chan struct{} // closed when it runs
	streams sync.WaitGroup
}

// worker is a shard with the driver that runs it.
type worker interface {
	core.Driver
	// Listen binds a UDP address; it is served by Run.
	Listen(address netip.AddrPort) (netip.AddrPort, error)
	// Run serves until ctx ends and closes everything.
	Run(ctx context.Context) error
	// Serve takes a stream over; it returns when it ends or a worker owns it. It
	// reports false when it cannot take this kind of connection.
	Serve(conn net.Conn, transport Transport) bool
}

// New returns a server that neither listens nor serves yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	inKernel, err := cfg.openKernel()
	if err != nil {
		return nil, err
	}
	var offload core.Offload
	if inKernel != nil {
		offload = inKernel
	}
	s := &Server{cfg: cfg, kernel: inKernel, started: make(chan struct{}), shared: core.NewShared(core.Config{
		Realm: cfg.Realm, Software: cfg.Software, Credentials: cfg.Credentials, Policy: cfg.Policy,
		Relay: cfg.Relay, PortMin: cfg.PortMin, PortMax: cfg.PortMax, Limits: cfg.Limits, Sockets: cfg.Sockets, Logger: cfg.Logger, Offload: offload,
		Revoked: cfg.Revoked, Refused: cfg.Refused, Ended: cfg.Ended, NoRoom: cfg.NoRoom, Unproved: cfg.Unproved, Consumer: cfg.Consumer, Gateway: cfg.Gateway,
	})}
	if inKernel != nil {
		inKernel.Start(s.shared)
	}
	for i := range cfg.Workers {
		w, err := newWorker(core.NewShard(s.shared), &cfg)
		if err != nil {
			s.closeKernel()
			return nil, fmt.Errorf("start relay worker %d: %w", i, err)
		}
		s.workers = append(s.workers, w)
	}
	s.workers = append(s.workers, portable.New(core.NewShard(s.shared)))
	return s, nil
}

// Driver is how the server sends and receives.
func (s *Server) Driver() Driver { return s.cfg.Driver }

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
			if i > 0 && noFamily(err) {
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
	if s.cfg.Driver == DriverPortable {
		workers = workers[:1] // one socket, since nothing spreads clients there
	}
	if err := probeUDP(ap); err != nil {
		return netip.AddrPort{}, err
	}
	for _, w := range workers {
		bound, err := w.Listen(ap)
		if err != nil {
			return netip.AddrPort{}, err
		}
		ap = bound
	}
	return ap, nil
}

// noFamily reports whether an error of a bind means that the host lacks an address
// family.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// probeUDP reports a port that another program holds. The workers' own sockets
// share theirs (SO_REUSEPORT) and would share it with that program too.
func probeUDP(ap netip.AddrPort) error {
	network := "udp4"
	if ap.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(ap))
	if err != nil {
		return err
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
	close(s.started)
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(s.workers))
	for _, w := range s.workers {
		go func() { errs <- w.Run(ctx) }()
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
	s.closeKernel()
	return first
}

// ServeStream takes over a TCP or TLS connection of a client. It returns when the
// connection ends, or when a worker has taken it. Whoever comes before Serve waits for
// that, as datagrams do in their sockets.
func (s *Server) ServeStream(conn net.Conn, transport Transport) {
	<-s.started
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		conn.Close()
		return
	}
	s.streams.Add(1)
	s.mu.Unlock()
	defer s.streams.Done()
	n := uint32(len(s.workers) - 1)
	if s.workers[s.next.Add(1)%n].Serve(conn, transport) {
		return
	}
	s.workers[n].Serve(conn, transport)
}

// Recheck asks the peer policy again for every permission of these users'
// allocations, or of all when none is named: their rooms have changed. It does not
// wait until that is done, which takes the workers one round.
func (s *Server) Recheck(users ...string) { s.shared.Recheck(users...) }

// Volumes returns what users have relayed of their day, or with since only what has
// come after the last time it was asked; the largest first and at most 20,000 of them.
// There is something only where Limits.VolumePerUserDay is set.
func (s *Server) Volumes(since bool) []Volume { return s.shared.Volumes(since) }

// AddVolumes adds what another process of this server has counted.
func (s *Server) AddVolumes(volumes []Volume) { s.shared.AddVolumes(volumes) }

// Held returns what of the limits is held by those who have an eighth of one at least.
func (s *Server) Held() Held { return s.shared.Held() }

// SetElsewhere has what other servers have told by Held count here too, by the names of the
// servers. It replaces what was said before; of the day's volume it adds what is new.
func (s *Server) SetElsewhere(servers map[string]Held) { s.shared.SetElsewhere(servers) }

// Beside opens the account of a user's path from that address that goes past the relay,
// within the limits of one allocation and those of the user.
func (s *Server) Beside(user string, client netip.Addr) *Beside {
	return s.shared.Beside(user, client)
}

// Revoke ends all allocations of a user, and all others whose credentials
// Config.Revoked names, within one round of the workers, and returns how many there
// are. Allocations that are being made see by Config.Revoked what comes before Revoke.
func (s *Server) Revoke(user string) int { return s.shared.Revoke(user) }

// SetLimits replaces the limits. Allocations that exist stay, even above them.
func (s *Server) SetLimits(l Limits) { s.shared.SetLimits(l) }

// SetRelay replaces the addresses on which new allocations get their relayed
// addresses. Those that exist stay.
func (s *Server) SetRelay(addresses []netaddr.RelayAddress) { s.shared.SetRelay(addresses) }

// SetPolicy replaces the peer policy and applies it to what exists.
func (s *Server) SetPolicy(p *policy.Policy) { s.shared.SetPolicy(p) }

// Drain refuses new allocations from now on with 508; those that exist go on.
func (s *Server) Drain() { s.shared.SetDraining(true) }

// ShortRealm is the realm that the shortest requests over UDP are answered with,
// where the realm is longer than RealmBytes and would make the answer more than
// 1.5 times as long as the request.
func (s *Server) ShortRealm() string { return s.shared.ShortRealm() }

// Stats returns the counters of all workers.
func (s *Server) Stats() Stats {
	stats := s.shared.Stats()
	stats.KernelFlows, stats.KernelRefused = s.shared.Offloaded()
	stats.Workers = len(s.workers) - 1 // without the one for odd streams
	return stats
}

// Reached is how long ago a packet from outside has last come to a relayed address of a
// family from an address to which that had sent nothing, so that its firewall lets
// strangers in; negative: never.
func (s *Server) Reached(f Family) time.Duration { return s.shared.Reached(f) }

// AddReached adds what another process of this server knows of it, as Reached tells it.
func (s *Server) AddReached(f Family, ago time.Duration) { s.shared.AddReached(f, ago) }

// SetSockets says which allocations get sockets from now on. Those that exist stay.
func (s *Server) SetSockets(mode Sockets) { s.shared.SetSockets(mode) }

// Left reports whether a relayed packet has ever left the server: then SocketsAuto makes
// no allocation without a socket.
func (s *Server) Left() bool { return s.shared.Left() }

// SetLeft says that one has left another process of this server.
func (s *Server) SetLeft() { s.shared.SetLeft() }

// Ports returns the relay ports that this process has given out, and those of SetElders.
func (s *Server) Ports() []Ports { return s.shared.Ports() }

// SetElders keeps clear of the ports that older processes of this server have given out.
// It replaces what was said before.
func (s *Server) SetElders(ports []Ports) { s.shared.SetElders(ports) }

// Relayed is how many payload bytes the allocations of each user have relayed that there
// are now, both ways. It takes the workers one round, as Allocations does.
func (s *Server) Relayed(users ...string) []uint64 { return s.shared.Relayed(users) }

// Allocations returns all allocations, in no order.
func (s *Server) Allocations() []AllocationInfo { return s.shared.Allocations() }
