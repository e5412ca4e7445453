// Package portable is the relay's driver for every system: a goroutine for each socket,
// by the net package. On Linux it serves the streams whose socket the worker of package
// epoll cannot own.
package portable

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// Worker is the driver for every system: a goroutine per socket, and a mutex per
// shard that makes its single thread of control. Each packet is a round of its own
// and is sent at once. On Linux it serves the streams whose socket no worker can
// own.
//
// It lacks what needs the system's own interfaces: DONT-FRAGMENT is refused with 420.
type Worker struct {
	shard *core.Shard

	mu        sync.Mutex // the shard's thread of control
	listeners []*listener
	streams   map[*streamClient]struct{}
	ended     bool
	sockets   sync.WaitGroup

	mail   sync.Mutex
	posted []func(*core.Shard)
	over   bool          // nobody takes what is posted any more
	mailed chan struct{} // room for one
}

// New returns the driver of a shard.
func New(s *core.Shard) *Worker {
	p := &Worker{shard: s, streams: make(map[*streamClient]struct{}), mailed: make(chan struct{}, 1)}
	s.Attach(p, false)
	return p
}

// Listen binds a UDP socket.
func (p *Worker) Listen(address netip.AddrPort) (netip.AddrPort, error) {
	conn, err := listenUDP(address)
	if err != nil {
		return address, err
	}
	conn.SetReadBuffer(listenerBytes)
	conn.SetWriteBuffer(listenerBytes)
	p.listeners = append(p.listeners, newListener(conn))
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// listenUDP binds a UDP socket of the address's own family.
func listenUDP(ap netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if ap.Addr().Is6() {
		network = "udp6"
	}
	return net.ListenUDP(network, net.UDPAddrFromAddrPort(ap))
}

// Run serves until ctx ends.
func (p *Worker) Run(ctx context.Context) error {
	for i, l := range p.listeners {
		p.sockets.Go(func() { p.readClients(uint32(i), l) })
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-second.C:
			p.round(func(s *core.Shard) { p.sweepStreams() })
		case <-p.mailed:
			p.round(func(s *core.Shard) {
				for _, f := range p.take() {
					f(s)
				}
				s.Drain()
			})
		}
	}
	p.mu.Lock()
	p.shard.EndAll()
	for k := range p.streams {
		k.close()
	}
	p.ended = true
	for _, l := range p.listeners {
		l.conn.Close()
	}
	p.mu.Unlock()
	p.sockets.Wait()
	p.mail.Lock()
	p.over = true
	p.mail.Unlock()
	p.round(func(s *core.Shard) {
		for _, f := range p.take() {
			f(s)
		}
	})
	return nil
}

func (p *Worker) take() []func(*core.Shard) {
	p.mail.Lock()
	defer p.mail.Unlock()
	posted := p.posted
	p.posted = nil
	return posted
}

// round runs f in the shard's thread of control.
func (p *Worker) round(f func(*core.Shard)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shard.Tick()
	f(p.shard)
	p.shard.Reclaim()
	p.shard.WakeOthers()
}

// Post runs f in the shard's thread of control, soon and in order; after the worker
// has ended, at once.
func (p *Worker) Post(f func(*core.Shard)) {
	p.mail.Lock()
	over := p.over
	if !over {
		p.posted = append(p.posted, f)
	}
	p.mail.Unlock()
	if over {
		p.round(f)
		return
	}
	p.Wake()
}

// Wake makes the worker look at its shard's rings.
func (p *Worker) Wake() {
	select {
	case p.mailed <- struct{}{}:
	default:
	}
}

// readClients reads from a listener. Errors concern single packets (a client's
// ICMP unreachable) and end nothing.
func (p *Worker) readClients(number uint32, l *listener) {
	g := wire.Segment{Buf: &wire.Buffer{Mem: make([]byte, wire.Headroom+maxDatagram+wire.Tailroom)}, Lo: wire.Headroom, Free: wire.Headroom, Spare: wire.Tailroom}
	visitor := new(core.Client)
	var to netip.Addr
	receive := func(b []byte) (n int, from netip.AddrPort, err error) {
		n, from, to, err = l.receive(b)
		return n, from, err
	}
	p.read(receive, &g, func(s *core.Shard, from wire.Endpoint) {
		key := wire.FiveTuple{Client: from, Listener: number}
		if to.IsValid() {
			local := wire.EndpointIP(to)
			key.LocalHi, key.LocalLo = local.Hi, local.Lo
		}
		c := s.Client(key)
		if c == nil {
			c = visitor
			*c = core.Client{Transport: wire.UDP, Addr: from, Key: key, Handle: l}
		}
		s.FromClient(c, g)
	})
}

func (p *Worker) read(receive func([]byte) (int, netip.AddrPort, error), g *wire.Segment, f func(s *core.Shard, from wire.Endpoint)) {
	for {
		n, from, err := receive(g.Buf.Mem[wire.Headroom : wire.Headroom+maxDatagram])
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		g.Hi = wire.Headroom + n
		p.mu.Lock()
		p.shard.Tick()
		f(p.shard, wire.EndpointFrom(from))
		p.shard.Reclaim()
		p.shard.WakeOthers()
		p.mu.Unlock()
	}
}

// BindRelay opens the socket of a relayed address, and a goroutine that reads from it.
func (p *Worker) BindRelay(r *core.Relay, port uint16) error {
	if p.ended {
		return net.ErrClosed
	}
	conn, err := listenUDP(netip.AddrPortFrom(r.Bind(), port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return core.ErrPortInUse
	}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("%w: %w", core.ErrNoDescriptors, err)
	}
	if err != nil {
		return err
	}
	r.Handle = conn
	p.sockets.Go(func() {
		g := wire.Segment{Buf: &wire.Buffer{Mem: make([]byte, wire.Headroom+maxDatagram+wire.Tailroom)}, Lo: wire.Headroom, Free: wire.Headroom, Spare: wire.Tailroom}
		p.read(conn.ReadFromUDPAddrPort, &g, func(s *core.Shard, from wire.Endpoint) { s.FromPeer(r, from, g) })
	})
	return nil
}

// CloseRelay closes it.
func (p *Worker) CloseRelay(r *core.Relay) { r.Handle.(*net.UDPConn).Close() }

// ToPeer sends a payload from a relayed address.
func (p *Worker) ToPeer(r *core.Relay, peer wire.Endpoint, g wire.Segment, _ bool) {
	if _, err := r.Handle.(*net.UDPConn).WriteToUDPAddrPort(g.Bytes(), peer.AddrPort()); err != nil {
		p.shard.Drop(core.DropSend, 1)
	}
}

// ToClient sends a message, or queues it for a stream's writer.
func (p *Worker) ToClient(c *core.Client, g wire.Segment, media bool) {
	switch handle := c.Handle.(type) {
	case *listener:
		var from netip.Addr
		if local := localOf(c); local != (wire.Endpoint{}) {
			from = local.Addr()
		}
		if err := handle.send(g.Bytes(), c.Addr.AddrPort(), from); err != nil {
			p.shard.Drop(core.DropSend, 1)
		}
	case *streamClient:
		dropped, ok := handle.push(g.Bytes(), media, p.shard.Now(), p.shard.Waited(c.Transport))
		p.shard.Drop(core.DropQueueFull, dropped)
		if !ok {
			handle.close()
		}
	}
}

// CloseClient ends a stream client after what is queued has been written.
func (p *Worker) CloseClient(c *core.Client) { c.Handle.(*streamClient).finish() }

// localOf is the address of this host to which a UDP client sends, where the socket is for
// all of them and the system says it; zero: it is the socket's own, or not known.
func localOf(c *core.Client) wire.Endpoint {
	return wire.Endpoint{Hi: c.Key.LocalHi, Lo: c.Key.LocalLo}
}

// LocalIP is the address of this host to which a client came.
func (p *Worker) LocalIP(c *core.Client) wire.Endpoint {
	if k, ok := c.Handle.(*streamClient); ok {
		return wire.ParseIP(k.conn.LocalAddr().String())
	}
	if local := localOf(c); local != (wire.Endpoint{}) {
		return local
	}
	return wire.ParseIP(c.Handle.(*listener).conn.LocalAddr().String())
}

// Flush has little to do: everything was sent at once.
func (p *Worker) Flush() { p.shard.Reclaim() }
