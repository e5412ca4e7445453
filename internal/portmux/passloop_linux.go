package portmux

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// What is passed on runs in event loops, one for each processor: a connection costs
// neither a goroutine nor a stack, and a piece that passes three system calls.

const (
	passEvents = 256
	pipeSize   = 1 << 20 // asked for; the kernel may give less
	maxPipes   = 64      // that a loop keeps while nothing is in them
	maxCopied  = 64 << 10

	// Where something passes, a loop waits in a raw system call and keeps its P, so that it
	// needs no scheduler on the way back; the others get one P more for each loop. After
	// passIdle without anything it waits as everybody does.
	maxPassLoops = 4
	passWait     = 10 // ms
	passIdle     = 100 * time.Millisecond
)

// passLoops are the loops; they are begun when the first connection is passed on.
type passLoops struct {
	mu     sync.Mutex
	loops  []*passLoop
	last   int
	closed bool
}

type passLoop struct {
	events *stream.Loop
	ended  atomic.Bool
	done   chan struct{}

	// The loop's goroutine's.
	now    time.Time // at the start of the round
	pipes  []pipe    // with nothing in them
	copied [maxCopied]byte
}

// next returns the loop of the next connection; nil: there is none.
func (s *passLoops) next() *passLoop {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := min(runtime.NumCPU(), maxPassLoops)
	for !s.closed && len(s.loops) < most {
		events, err := stream.NewLoop(passEvents)
		if err != nil {
			break
		}
		if len(s.loops) == 0 {
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + most)
		}
		l := &passLoop{events: events, done: make(chan struct{}), now: time.Now()}
		s.loops = append(s.loops, l)
		go l.run()
	}
	if s.closed || len(s.loops) == 0 {
		return nil
	}
	s.last++
	return s.loops[s.last%len(s.loops)]
}

// close ends the loops and waits for them. Nothing is passed on any more.
func (s *passLoops) close() {
	s.mu.Lock()
	s.closed = true
	loops := s.loops
	s.mu.Unlock()
	for _, l := range loops {
		l.ended.Store(true)
		l.events.Wake()
		<-l.done
	}
}

func (l *passLoop) run() {
	defer close(l.done)
	defer l.events.Close()
	for last := time.Now(); !l.ended.Load(); {
		n := 0
		if time.Since(last) < passIdle {
			n = l.events.Poll(passWait)
		} else {
			n = l.events.Sleep(-1)
		}
		l.now = time.Now()
		if n > 0 {
			last = l.now
			l.events.Dispatch()
		}
	}
	for _, p := range l.pipes {
		p.close()
	}
}

// pipe is what splice(2) needs between two sockets.
type pipe struct{ in, out int }

func (p pipe) close() {
	unix.Close(p.in)
	unix.Close(p.out)
}

// pipe returns an empty pipe, unless there are no descriptors.
func (l *passLoop) pipe() (p pipe, ok bool) {
	if n := len(l.pipes); n > 0 {
		p, l.pipes = l.pipes[n-1], l.pipes[:n-1]
		return p, true
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return p, false
	}
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	return pipe{in: fds[1], out: fds[0]}, true
}

// keepPipe takes back an empty one.
func (l *passLoop) keepPipe(p pipe) {
	if len(l.pipes) == maxPipes {
		p.close()
		return
	}
	l.pipes = append(l.pipes, p)
}

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

// flow is one direction.
type flow struct {
	pipe    pipe
	piped   int    // bytes in the pipe, which is the flow's own as long as there are any
	unsent  []byte // instead, where there was no pipe
	eof     bool   // nothing comes any more
	done    bool   // and the other end knows
	blocked time.Time
}

// passed is one connection that is passed on. It is the net.Conn below its Conn, which
// ends it from outside.
type passed struct {
	mux           *Mux
	conn          *Conn
	loop          *passLoop
	remote, local net.Addr

	mu      sync.Mutex
	first   *stream.Handle // to rouse: the other server's, which is there from the beginning, unless that has hung up
	aborted bool

	// The loop's goroutine's, once it has begun.
	client, server end
	hello          []byte // what the other server is still to be told
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
	// On this machine the other server has accepted by now, or will not.
	n, err := unix.Write(p.server.fd, p.hello)
	if err != nil && err != unix.EAGAIN {
		unix.Close(p.server.fd)
		return false
	}
	p.hello = p.hello[max(n, 0):]
	p.connected = len(p.hello) == 0
	if p.client.fd, err = stream.Duplicate(tcp); err != nil {
		unix.Close(p.server.fd)
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

// begin has the loop watch what can be watched so far. Nobody else is here, but for the
// loop once the first is watched, which waits for mu.
func (p *passed) begin() {
	p.server.wants, p.client.wants = stream.Writable, stream.Readable
	if p.connected {
		p.server.wants = stream.Readable
		p.hello = nil
		p.timer.Reset(p.patience())
	}
	var err error
	if p.server.handle == nil {
		if p.server.handle, err = p.loop.events.Add(p.server.fd, &p.server, p.server.wants); err != nil {
			go p.end("forward_down") // as if it had not answered; not here, where mu is held
			return
		}
		p.first = p.server.handle
	}
	if p.connected {
		if p.client.handle, err = p.loop.events.Add(p.client.fd, &p.client, p.client.wants); err != nil {
			p.aborted = true
		}
	}
	if p.aborted {
		p.first.Rouse()
	}
}

// connect begins to connect to another server.
func connect(to netip.AddrPort) (fd int, err error) {
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(to.Port()), Addr: [4]byte{}}
	family := unix.AF_INET
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if !to.Addr().IsLoopback() { // there may be a firewall between that forgets
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	}
	if err = unix.Connect(fd, sa); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
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
	if events == 0 {
		p.look()
		return
	}
	if !p.connected {
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
	if p.server.handle.Watch(p.server.wants) != nil {
		p.end("")
	}
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
				unix.Shutdown(to.fd, unix.SHUT_WR)
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
		if wants != e.wants {
			e.wants = wants
			if e.handle.Watch(wants) != nil {
				p.end("")
				return
			}
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
	if reason != "" { // counted before the client can know
		m.mu.Lock()
		m.refused[reason]++
		m.mu.Unlock()
	}
	for _, e := range []*end{&p.client, &p.server} {
		if e.handle != nil {
			e.handle.Forget()
		}
		e.out.drop(p.loop)
		unix.Close(e.fd)
	}
	m.passing.Add(-1)
	p.conn.Close()
	m.handing.Done()
}

// drop forgets what has come and cannot be given.
func (f *flow) drop(l *passLoop) {
	if f.piped > 0 {
		f.pipe.close()
	}
	f.piped, f.unsent, f.eof, f.done = 0, nil, true, true
	f.blocked = time.Time{}
}

// take reads what has come. again: nothing has.
func (f *flow) take(l *passLoop, fd int) (again bool, err error) {
	pipe, ok := l.pipe()
	if !ok {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, l.copied[:]) })
		if err == unix.EAGAIN {
			return true, nil
		}
		if n > 0 {
			f.unsent = append([]byte(nil), l.copied[:n]...)
		}
		f.eof = err == nil && n == 0
		return false, err
	}
	n, err := splice(fd, pipe.in, pipeSize)
	if n > 0 {
		f.pipe, f.piped = pipe, n
		return false, nil
	}
	l.keepPipe(pipe)
	if err == unix.EAGAIN {
		return true, nil
	}
	f.eof = err == nil
	return false, err
}

// give writes what has come, as much as the socket takes.
func (f *flow) give(l *passLoop, fd int) error {
	for f.piped > 0 {
		n, err := splice(f.pipe.out, fd, f.piped)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return err
		}
		if f.piped -= n; f.piped == 0 {
			l.keepPipe(f.pipe)
		}
	}
	if len(f.unsent) > 0 {
		n, err := write(fd, f.unsent)
		if f.unsent = f.unsent[n:]; len(f.unsent) == 0 {
			f.unsent = nil
		}
		return err
	}
	return nil
}

func splice(from, to, n int) (int, error) {
	return ignoringEINTR(func() (int, error) {
		n, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		return int(n), err
	})
}

// write writes what the socket takes; that it takes nothing now is no error.
func write(fd int, b []byte) (int, error) {
	n, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, b) })
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(n, 0), err
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// Close ends the connection from outside, by its loop.
func (p *passed) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aborted = true
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
