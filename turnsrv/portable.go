package turnsrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// portable is the driver for every system: a goroutine per socket, and a mutex per
// shard that makes its single thread of control. Each packet is a round of its own
// and is sent at once. On Linux it serves the streams whose socket no worker can
// own.
//
// It lacks two things that need the system's own interfaces: on a host with
// several addresses a listener bound to all of them may answer from another one,
// and DONT-FRAGMENT is refused with 420.
type portable struct {
	shard *shard

	mu        sync.Mutex // the shard's thread of control
	listeners []*net.UDPConn
	streams   map[*portableStream]struct{}
	ended     bool
	sockets   sync.WaitGroup

	mail   sync.Mutex
	posted []func(*shard)
	over   bool          // nobody takes what is posted any more
	mailed chan struct{} // room for one
}

func newPortable(s *shard) worker {
	p := &portable{shard: s, streams: make(map[*portableStream]struct{}), mailed: make(chan struct{}, 1)}
	s.io = p
	s.noDontFragment = true
	return p
}

func (p *portable) core() *shard { return p.shard }

func (p *portable) listen(address netip.AddrPort) (netip.AddrPort, error) {
	conn, err := listenUDP(address)
	if err != nil {
		return address, err
	}
	conn.SetReadBuffer(4 << 20)
	conn.SetWriteBuffer(4 << 20)
	p.listeners = append(p.listeners, conn)
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// listenUDP binds a UDP socket of the address's own family.
func listenUDP(ap netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if ap.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(ap))
	if err != nil {
		return nil, classify(err)
	}
	return conn, nil
}

// classify gives the errors that the core tells apart their names.
func classify(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.Join(errPortInUse, err)
	case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.Join(errNoFamily, err)
	}
	return err
}

// run serves until ctx ends.
func (p *portable) run(ctx context.Context) error {
	for i, conn := range p.listeners {
		p.sockets.Go(func() { p.readClients(uint32(i), conn) })
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-second.C:
			p.round(func(s *shard) { p.sweepStreams() })
		case <-p.mailed:
			p.round(func(s *shard) {
				for _, f := range p.take() {
					f(s)
				}
				s.drainRings(ringSlots)
			})
		}
	}
	p.mu.Lock()
	for a := range p.shard.allocs {
		p.shard.end(a)
	}
	for k := range p.streams {
		k.close()
	}
	p.ended = true
	for _, conn := range p.listeners {
		conn.Close()
	}
	p.mu.Unlock()
	p.sockets.Wait()
	p.mail.Lock()
	p.over = true
	p.mail.Unlock()
	p.round(func(s *shard) {
		for _, f := range p.take() {
			f(s)
		}
	})
	return nil
}

func (p *portable) take() []func(*shard) {
	p.mail.Lock()
	defer p.mail.Unlock()
	posted := p.posted
	p.posted = nil
	return posted
}

// round runs f in the shard's thread of control.
func (p *portable) round(f func(*shard)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shard.tick(p.shard.srv.clock())
	f(p.shard)
	p.shard.placing = 0
	p.shard.ringWakes()
}

func (p *portable) post(f func(*shard)) {
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
	p.wake()
}

func (p *portable) wake() {
	select {
	case p.mailed <- struct{}{}:
	default:
	}
}

// readClients reads from a listener. Errors concern single packets (a client's
// ICMP unreachable) and end nothing.
func (p *portable) readClients(number uint32, conn *net.UDPConn) {
	g := segment{buf: make([]byte, headroom+rxDatagramMax+tailroom), lo: headroom, free: headroom, spare: tailroom}
	visitor := new(client)
	p.read(conn, &g, func(s *shard, from endpoint) {
		key := fiveTuple{client: from, listener: number}
		c := s.clients[key]
		if c == nil {
			c = visitor
			*c = client{transport: TransportUDP, addr: from, key: key, link: conn}
		}
		s.fromClient(c, g)
	})
}

const rxDatagramMax = 1<<16 - 1

func (p *portable) read(conn *net.UDPConn, g *segment, f func(s *shard, from endpoint)) {
	for {
		n, from, err := conn.ReadFromUDPAddrPort(g.buf[headroom : headroom+rxDatagramMax])
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		g.hi = headroom + n
		p.mu.Lock()
		p.shard.tick(p.shard.srv.clock())
		f(p.shard, endpointFrom(from))
		p.shard.placing = 0
		p.shard.ringWakes()
		p.mu.Unlock()
	}
}

func (p *portable) bindRelay(r *relay, port uint16) error {
	if p.ended {
		return net.ErrClosed
	}
	conn, err := listenUDP(netip.AddrPortFrom(r.space.Bind, port))
	if err != nil {
		return err
	}
	r.sock = conn
	p.sockets.Go(func() {
		g := segment{buf: make([]byte, headroom+rxDatagramMax+tailroom), lo: headroom, free: headroom, spare: tailroom}
		p.read(conn, &g, func(s *shard, from endpoint) { s.fromPeer(r, from, g) })
	})
	return nil
}

func (p *portable) closeRelay(r *relay) { r.sock.(*net.UDPConn).Close() }

func (p *portable) toPeer(r *relay, peer endpoint, g segment, _ bool) {
	if _, err := r.sock.(*net.UDPConn).WriteToUDPAddrPort(g.bytes(), peer.addrPort()); err != nil {
		p.shard.drop(DropSend)
	}
}

func (p *portable) toClient(c *client, g segment, media bool) {
	switch link := c.link.(type) {
	case *net.UDPConn:
		if _, err := link.WriteToUDPAddrPort(g.bytes(), c.addr.addrPort()); err != nil {
			p.shard.drop(DropSend)
		}
	case *portableStream:
		dropped, ok := link.push(g.bytes(), media, p.shard.now, &p.shard.count.waited[c.transport])
		p.shard.count.drops[DropQueueFull] += uint64(dropped)
		if !ok {
			link.close()
		}
	}
}

func (p *portable) closeClient(c *client) { c.link.(*portableStream).finish() }

// flush has nothing to do: everything was sent at once.
func (p *portable) flush() {}
