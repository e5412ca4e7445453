package portmux

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"turnhub/internal/stream"
)

// An end is one of the two sockets of a passed connection.
type end struct {
	of     *passed
	fd     int // -1: none yet
	handle *stream.Handle
	wants  stream.Events
	// hung: it is reset, and can only be read. It is not in the loop any more.
	hung bool
	out  flow // what comes from it
}

// passed is one connection that is passed on. It is the net.Conn below its Conn, which
// ends it from outside.
type passed struct {
	mux           *Mux
	conn          *Conn
	loop          *passLoop
	remote, local net.Addr

	mu      sync.Mutex
	first   *stream.Handle // to rouse: of the end that was there first, unless that has hung up
	aborted bool
	handed  net.Conn // what it is now that it has left the loop: it is answered here

	// The loop's goroutine's, once it has begun.
	client, server end
	hearing        bool          // it is not known yet whose it is
	place          *list.Element // until then
	hello          []byte        // what the other server is still to be told
	begun          bool
	connected      bool
	ended          bool
	last           time.Time // when something has passed
	timer          *time.Timer
}

// carry passes c on in a loop, and closes it in the end. False: it is as it was.
// upstream is the other server, nil: it is at an address, to which a connection is begun.
func (m *Mux) carry(c *Conn, upstream *net.TCPConn) bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return false
	}
	to, err := netip.ParseAddrPort(c.to.To)
	if upstream == nil && err != nil {
		return false
	}
	loop := m.loops.next()
	if loop == nil {
		return false
	}
	p := &passed{mux: m, conn: c, loop: loop, remote: tcp.RemoteAddr(), local: tcp.LocalAddr(), hello: firstBytes(c), last: time.Now()}
	p.client, p.server = end{of: p, fd: -1}, end{of: p, fd: -1}
	if upstream != nil {
		p.server.fd, err = stream.Duplicate(upstream)
	} else {
		p.server.fd, err = connect(to)
	}
	if err != nil {
		return false // the other way tells of it
	}
	if p.tell() != nil {
		closeFD(p.server.fd)
		return false
	}
	if p.client.fd, err = stream.Duplicate(tcp); err != nil {
		closeFD(p.server.fd)
		return false
	}
	m.handing.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	c.kept = nil
	c.SetNetConn(p)
	tcp.Close()
	if upstream != nil {
		upstream.Close()
	}
	m.mu.Lock()
	p.aborted = m.closed // whoever closed it a moment ago has closed the other descriptor
	m.mu.Unlock()
	p.timer = time.AfterFunc(dialPatience, p.rouse)
	p.begin()
	return true
}

// tell tells the other server what it takes at once of what the client has said: on this
// machine it has accepted by now, or will not.
func (p *passed) tell() error {
	n, err := write(p.server.fd, p.hello)
	p.hello = p.hello[n:]
	p.connected = err == nil && len(p.hello) == 0
	return err
}

// begin has the loop watch what can be watched so far. Nobody else is here, but for the
// loop once the first is watched, which waits for mu.
func (p *passed) begin() {
	server, client := stream.Writable, stream.Events(0)
	if p.connected {
		server, client = stream.Readable, stream.Readable
		p.hello = nil
		p.timer.Reset(p.patience())
	}
	if p.watched(&p.server, server) != nil {
		if p.aborted = true; p.first == nil {
			go p.end("forward_down") // as if it had not answered; not here, where mu is held
			return
		}
	}
	if p.first == nil {
		p.first = p.server.handle
	}
	if (p.connected || p.client.handle != nil) && p.watched(&p.client, client) != nil {
		p.aborted = true
	}
	if p.aborted {
		p.first.Rouse()
	}
}

// watched has the loop tell of what an end waits for, for the first time too.
func (p *passed) watched(e *end, wants stream.Events) (err error) {
	switch {
	case e.handle == nil:
		e.handle, err = p.loop.events.Add(e.fd, e, wants)
	case e.wants != wants:
		err = e.handle.Watch(wants)
	}
	e.wants = wants
	return err
}

func (p *passed) rouse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first != nil {
		p.first.Rouse()
	}
}

// Ready goes on with what can go on.
func (e *end) Ready(events stream.Events) {
	p := e.of
	if p.ended {
		return
	}
	if !p.begun { // carry may still be at it
		p.mu.Lock()
		p.begun = true
		p.mu.Unlock()
	}
	switch {
	case events == 0:
		p.look()
		return
	case p.hearing:
		p.hear()
		return
	case !p.connected && e == &p.client: // it is reset
		p.end("")
		return
	case !p.connected:
		p.greet()
		return
	}
	other := p.other(e)
	if events&stream.Hangup != 0 {
		e.hung = true
		other.out.drop(p.loop)
		p.mu.Lock()
		p.first = other.handle // its own leaves the loop
		p.mu.Unlock()
		p.timer.Reset(p.patience()) // Half from now on
	}
	if events&stream.Writable != 0 && !e.hung {
		p.pump(other, e)
	}
	if events&(stream.Readable|stream.Hangup) != 0 && !p.ended {
		p.pump(e, other)
	}
	if !p.ended {
		p.watch()
	}
}

func (p *passed) other(e *end) *end {
	if e == &p.client {
		return &p.server
	}
	return &p.client
}

// greet tells the other server, once it has accepted, what the client has said already.
func (p *passed) greet() {
	if n, err := write(p.server.fd, p.hello); err != nil {
		p.mux.upstreamDown(p.conn.to, err)
		p.end("forward_down")
		return
	} else if p.hello = p.hello[n:]; len(p.hello) > 0 {
		return
	}
	p.connected, p.last = true, p.loop.now
	p.mu.Lock()
	p.begin()
	p.mu.Unlock()
}

// pump passes on what has come from one end, as far as the other takes it.
func (p *passed) pump(from, to *end) {
	f := &from.out
	for !f.done {
		if f.piped == 0 && len(f.unsent) == 0 && !f.eof {
			again, err := f.take(p.loop, from.fd)
			switch {
			case err != nil:
				p.end("")
				return
			case again:
				return
			}
		}
		before := f.piped + len(f.unsent)
		if err := f.give(p.loop, to.fd); err != nil {
			p.end("")
			return
		}
		left := f.piped + len(f.unsent)
		if left < before {
			p.last, f.blocked = p.loop.now, time.Time{}
		}
		if left > 0 {
			if f.blocked.IsZero() {
				f.blocked = p.loop.now
			}
			return
		}
		if f.eof {
			f.done = true
			if !to.out.done { // else it is closed at once
				shutdownWrite(to.fd)
			}
			break
		}
		if !from.hung {
			return // level-triggered: more is told of
		}
	}
	switch {
	case p.client.out.done && p.server.out.done:
		p.end("")
	case f.eof: // only then is Half another time
		p.timer.Reset(p.patience())
	}
}

// watch has the loop tell of what each end waits for.
func (p *passed) watch() {
	for _, e := range []*end{&p.client, &p.server} {
		if e.hung {
			e.handle.Remove()
			continue
		}
		var wants stream.Events
		if f := &e.out; !f.eof && f.piped == 0 && len(f.unsent) == 0 {
			wants |= stream.Readable
		}
		if f := &p.other(e).out; f.piped > 0 || len(f.unsent) > 0 {
			wants |= stream.Writable
		}
		if p.watched(e, wants) != nil {
			p.end("")
			return
		}
	}
}

func (p *passed) patience() time.Duration {
	if p.client.out.eof || p.server.out.eof {
		return p.mux.cfg.Pass.Half
	}
	return p.mux.cfg.Pass.Idle
}

// look ends what has been ended from outside, or has been silent or stuck for too long.
func (p *passed) look() {
	p.mu.Lock()
	aborted := p.aborted
	p.mu.Unlock()
	now := p.loop.now
	if p.hearing {
		switch left := p.mux.cfg.IdentifyTimeout - now.Sub(p.last); {
		case aborted:
			p.end("closed")
		case left <= 0:
			p.end("timeout")
		default:
			p.timer.Reset(left)
		}
		return
	}
	if !p.connected {
		if aborted || now.Sub(p.last) >= dialPatience {
			if !aborted {
				p.mux.upstreamDown(p.conn.to, os.ErrDeadlineExceeded)
			}
			p.end("forward_down")
			return
		}
		p.timer.Reset(dialPatience - now.Sub(p.last))
		return
	}
	patience := p.patience()
	due := p.last.Add(patience)
	for _, f := range []*flow{&p.client.out, &p.server.out} {
		if stuck := f.blocked.Add(patience); !f.blocked.IsZero() && stuck.Before(due) {
			due = stuck
		}
	}
	if aborted || !now.Before(due) {
		p.end("")
		return
	}
	p.timer.Reset(due.Sub(now))
}

// end frees everything; reason is why nothing was passed on.
func (p *passed) end(reason string) {
	if p.ended {
		return
	}
	p.ended = true
	p.timer.Stop()
	p.mu.Lock()
	p.first = nil // nobody rouses it any more
	p.mu.Unlock()
	m := p.mux
	if p.hearing {
		m.settle(p.conn, p.place, "", reason)
	} else if reason != "" { // counted before the client can know
		m.mu.Lock()
		m.refused[reason]++
		m.mu.Unlock()
	}
	for _, e := range []*end{&p.client, &p.server} {
		if e.handle != nil {
			e.handle.Forget()
		}
		e.out.drop(p.loop)
		if e.fd >= 0 {
			closeFD(e.fd)
		}
	}
	if !p.hearing {
		m.passing.Add(-1)
	}
	p.conn.Close()
	m.handing.Done()
}

// Close ends the connection from outside, by its loop.
func (p *passed) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aborted = true
	if p.handed != nil {
		return p.handed.Close()
	}
	if p.first != nil {
		p.first.Rouse()
	}
	return nil
}

// errPassed is for whoever would read or write beside the loop.
var errPassed = errors.New("the connection is passed on")

func (p *passed) Read([]byte) (int, error)         { return 0, errPassed }
func (p *passed) Write([]byte) (int, error)        { return 0, errPassed }
func (p *passed) RemoteAddr() net.Addr             { return p.remote }
func (p *passed) LocalAddr() net.Addr              { return p.local }
func (p *passed) SetDeadline(time.Time) error      { return nil }
func (p *passed) SetReadDeadline(time.Time) error  { return nil }
func (p *passed) SetWriteDeadline(time.Time) error { return nil }
