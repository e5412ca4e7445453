package portmux

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// What a loop has accepted is heard there until it is known whose it is: a ClientHello that
// is whole and in one record, for the name of another server, is passed on at once. All
// else leaves the loop and goes the usual way, with what was read of it.

// welcome counts a connection that has been accepted now and has a loop hear it.
func (m *Mux) welcome(now time.Time, fd int, remote *net.TCPAddr) {
	p := &passed{mux: m, loop: m.loops.next(), remote: remote, hearing: true, last: now}
	p.client, p.server = end{of: p, fd: fd}, end{of: p, fd: -1}
	p.conn = &Conn{Conn: p}
	if p.loop == nil { // the server ends
		closeFD(fd)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.place = m.admit(p.conn, remoteAddr(p.conn)); p.place == nil {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		closeFD(fd)
		return
	}
	p.timer = time.AfterFunc(m.cfg.IdentifyTimeout, p.rouse)
	p.client.wants = stream.Readable
	var err error
	if p.client.handle, err = p.loop.events.Add(fd, &p.client, p.client.wants); err != nil {
		m.acceptErrors.Add(1)
		go p.end("closed") // not here, where mu is held
		return
	}
	if p.first = p.client.handle; p.aborted {
		p.first.Rouse()
	}
}

// hear reads what a client says first.
func (p *passed) hear() {
	c, l := p.conn, p.loop
	before := copy(l.copied[:], c.first)
	n, err := read(p.client.fd, l.copied[before:max(before+sniffLength, recordHeader+usualHello)])
	switch {
	case err == unix.EAGAIN:
		return
	case n <= 0:
		p.end("closed")
		return
	}
	c.silent.Store(int64(c.clock()))
	said := l.copied[:before+n]
	to, more := p.mux.whose(said)
	if to != nil && p.send(to, said) {
		return
	}
	if room := max(more, len(said), sniffLength); cap(c.first) < room {
		if room <= len(c.small) {
			c.first = c.small[:0]
		} else {
			c.first = make([]byte, 0, room)
		}
	}
	c.first = append(c.first[:0], said...)
	if more == 0 {
		p.handOver()
	}
}

// whose tells where a connection that begins so is passed on to. nil: nowhere, or so many
// bytes must be there before that is known.
func (m *Mux) whose(said []byte) (to *Forward, more int) {
	switch Sniff(said) {
	case Undecided:
		return nil, sniffLength
	case TLS:
	default:
		return nil, 0
	}
	if len(said) < recordHeader {
		return nil, sniffLength
	}
	whole := recordHeader + int(said[3])<<8 + int(said[4])
	switch {
	case whole > usualHello: // more than is kept of it here
		return nil, 0
	case len(said) < whole:
		return nil, whole
	}
	if name, ok := serverName(said); ok {
		return m.forwards.Load().find(name), 0
	}
	return nil, 0
}

// send begins to pass on a connection that has said this. False: that is no work for a loop.
func (p *passed) send(to *Forward, said []byte) bool {
	address, err := netip.ParseAddrPort(to.To)
	if err != nil {
		return false
	}
	m, c := p.mux, p.conn
	c.to, c.first = to, nil
	if m.passing.Add(1) > maxPassed {
		m.passing.Add(-1)
		p.end("forward_full")
		return true
	}
	m.settle(c, p.place, "forward", "")
	p.hearing, p.hello, p.last = false, said, p.loop.now
	if to.ProxyProtocol != "" {
		p.local = localAddr(p.client.fd)
		c.kept = said
		p.hello = firstBytes(c)
		c.kept = nil
	}
	unix.SetsockoptInt(p.client.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if p.server.fd, err = connect(address); err == nil {
		err = p.tell()
	}
	if err != nil {
		m.upstreamDown(to, err)
		p.end("forward_down")
		return true
	}
	p.timer.Reset(dialPatience)
	p.hello = append([]byte(nil), p.hello...) // it was the loop's memory
	p.mu.Lock()
	p.begin()
	p.mu.Unlock()
	return true
}

// localAddr is a descriptor's own address.
func localAddr(fd int) *net.TCPAddr {
	switch sa, _ := unix.Getsockname(fd); sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	}
	return new(net.TCPAddr)
}

// handOver gives a connection to who answers it here, with what it has said.
func (p *passed) handOver() {
	p.timer.Stop()
	p.client.handle.Remove()
	p.ended = true
	p.mu.Lock()
	p.first = nil
	p.mu.Unlock()
	go func() {
		m, c := p.mux, p.conn
		defer m.handing.Done()
		conn, err := netConn(p.client.fd)
		if err != nil { // no descriptor is left
			m.acceptErrors.Add(1)
			m.settle(c, p.place, "", "closed")
			c.Close()
			return
		}
		first := c.first
		p.mu.Lock()
		c.SetNetConn(conn)
		p.handed = conn
		if p.aborted {
			conn.Close()
		}
		p.mu.Unlock()
		c.first = first
		m.identify(c, p.place, p.last.Add(m.cfg.IdentifyTimeout))
	}()
}

// SetLinger has the connection end with a reset.
func (p *passed) SetLinger(int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tcp, ok := p.handed.(*net.TCPConn); ok {
		return tcp.SetLinger(0)
	}
	if p.first != nil { // so the descriptor is there
		return unix.SetsockoptLinger(p.client.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	return nil
}
