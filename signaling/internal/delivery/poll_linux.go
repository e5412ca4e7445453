package delivery

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/signaling/internal/timers"
)

const (
	pollInput  = 64 << 10 // bytes per read, of all of a poller's sockets in turn
	pollEvents = 256      // sockets per turn
	// A poller that has handled busy sockets in a row without a pause gathers for
	// so long what comes next, instead of waking up for each: at such rates a
	// message costs a third less, and nobody notices the time.
	busy   = 8
	gather = 500 * time.Microsecond
)

// poller carries the WebSockets of plain TCP connections: one goroutine for
// thousands of them, so that an idle one costs neither a stack nor a buffer.
// What a turn has caused is written at its end. Connections over TLS are read by
// goroutines of their own.
type poller struct {
	node  *Node
	epoll int
	event int // an eventfd, to wake it up
	done  chan struct{}
	out   flusher

	mu    sync.Mutex
	links map[int32]*link // by descriptor
	ended bool

	events [pollEvents]unix.EpollEvent
	ready  [pollEvents]*link
	input  [pollInput]byte
}

func newPoller(n *Node) (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)})
	}
	if err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &poller{node: n, epoll: epoll, event: event, done: make(chan struct{}), links: make(map[int32]*link)}
	go p.run()
	return p, nil
}

// pollerCount is how many pollers a hub has: one for each processor.
func pollerCount() int { return min(runtime.NumCPU(), 16) }

// close ends the poller, which carries nothing any more.
func (p *poller) close() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	_, _ = unix.Write(p.event, []byte{7: 1})
	<-p.done
	unix.Close(p.event)
	unix.Close(p.epoll)
}

// run handles what is ready, turn after turn.
func (p *poller) run() {
	defer close(p.done)
	handled := 0 // sockets since the last pause
	for {
		n := p.poll()
		if n == 0 && handled >= busy {
			pause := unix.NsecToTimespec(int64(gather))
			unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
			n, handled = p.poll(), 0
		}
		if n == 0 {
			handled = 0
			var err error
			if n, err = unix.EpollWait(p.epoll, p.events[:], -1); err != nil {
				continue // EINTR
			}
		}
		handled += n
		now := p.node.now()
		p.mu.Lock()
		if p.ended {
			p.mu.Unlock()
			return
		}
		for i := range p.events[:n] {
			p.ready[i] = p.links[p.events[i].Fd] // a stale event finds another link, which does no harm
		}
		p.mu.Unlock()
		for i, l := range p.ready[:n] {
			p.ready[i] = nil
			if l != nil {
				l.event(p.events[i].Events, now)
			}
		}
		p.out.flush()
	}
}

// poll asks what is ready, without the scheduler's knowing: it takes no time.
func (p *poller) poll() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events)), pollEvents, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// link is a TCP socket under a poller. It stands in for the net.Conn that it was
// taken from: it cannot be read, its deadlines end it, and Close makes the poller
// see its end.
type link struct {
	poller        *poller
	conn          *conn
	remote, local net.Addr

	reading bool // the poller's: it is still read from

	mu          sync.Mutex
	fd          int    // -1: closed
	mask        uint32 // what the epoll waits for
	expired     bool
	read, write time.Time // deadlines of the hub's clock; zero: none
	timer       timers.Timer
}

// layer is a connection that has looked at the first bytes of the one below.
type layer interface {
	Buffered() []byte
	NetConn() net.Conn
	SetNetConn(net.Conn)
}

// newLink takes the socket of c.nc over, and c.nc is over the link from then on.
// False: it is none that a poller could carry, and is as it was.
func (p *poller) newLink(c *conn) bool {
	under, layered := c.nc, false
	var top layer
	if top, layered = under.(layer); layered {
		under = top.NetConn()
	}
	tcp, ok := under.(*net.TCPConn)
	if !ok || layered && len(top.Buffered()) > 0 {
		return false
	}
	fd := -1
	raw, err := tcp.SyscallConn()
	if err == nil {
		err = raw.Control(func(old uintptr) { fd, _ = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	}
	if err != nil || fd < 0 {
		return false
	}
	l := &link{poller: p, conn: c, remote: tcp.RemoteAddr(), local: tcp.LocalAddr(), fd: fd, reading: true}
	l.timer.Fire = l.expire
	if layered {
		top.SetNetConn(l)
	} else {
		c.nc = l
	}
	c.link, c.out = l, &p.out
	tcp.Close() // ours is a duplicate, so the connection lives on
	return true
}

// start begins to read.
func (l *link) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.poller
	p.mu.Lock()
	p.links[int32(l.fd)] = l
	p.mu.Unlock()
	mask := uint32(unix.EPOLLIN)
	if len(l.conn.first) > 0 {
		mask |= unix.EPOLLOUT // ready at once, for what is here to be handled
	}
	l.watch(unix.EPOLL_CTL_ADD, mask)
}

// watch says what the epoll waits for. Not to get it can only mean that the
// kernel is out of memory: the socket ends. l.mu is held.
func (l *link) watch(op int, mask uint32) {
	l.mask = mask
	if unix.EpollCtl(l.poller.epoll, op, l.fd, &unix.EpollEvent{Events: mask, Fd: int32(l.fd)}) != nil {
		_ = unix.Shutdown(l.fd, unix.SHUT_RDWR)
	}
}

// event is what the poller calls when the socket is ready.
func (l *link) event(events uint32, now time.Time) {
	l.mu.Lock() // also waits for start, of which an event of the number's former socket may be ahead
	first := l.conn.first
	l.conn.first = nil
	l.mu.Unlock()
	if len(first) > 0 {
		l.await(false, 0)
		if err := l.conn.take(first, now); err != nil {
			l.over(err)
			return
		}
	}
	l.mu.Lock()
	stuck := l.mask&unix.EPOLLOUT != 0
	l.mu.Unlock()
	if stuck && events&^unix.EPOLLIN != 0 {
		l.conn.writeRest()
	}
	if !l.reading {
		return
	}
	b, err := l.input()
	if err == nil && len(b) > 0 {
		err = l.conn.take(b, now)
	}
	if err != nil {
		l.over(err)
	}
}

// over tells the socket that no more can be handled, and why.
func (l *link) over(err error) {
	if !l.conn.over(err) {
		l.reading = false
		l.conn.finish(err)
	}
}

// input reads what there is.
func (l *link) input() ([]byte, error) {
	b := l.poller.input[:]
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.fd < 0:
		return nil, net.ErrClosed
	case l.expired:
		l.expired = false
		return nil, os.ErrDeadlineExceeded
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(l.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
		return nil, nil // asked again, if there is something
	case errno != 0:
		return nil, os.NewSyscallError("read", errno)
	case n == 0:
		return nil, errEnded
	}
	return b[:n], nil
}

// try writes as much of b as the socket takes at once.
func (l *link) try(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return 0, net.ErrClosed
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(l.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, os.NewSyscallError("write", errno)
	}
	return int(n), nil
}

// await has the poller call writeRest when the socket takes more, or not: then
// it has taken all.
func (l *link) await(more bool, within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return
	}
	l.write = time.Time{}
	mask := l.mask &^ unix.EPOLLOUT
	if more {
		mask |= unix.EPOLLOUT
		l.write = l.poller.node.now().Add(within)
	}
	l.arm()
	if mask != l.mask {
		l.watch(unix.EPOLL_CTL_MOD, mask)
	}
}

// deaf stops reading: the other side has ended, and would be ready for ever.
func (l *link) deaf() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		l.watch(unix.EPOLL_CTL_MOD, l.mask&^unix.EPOLLIN)
	}
}

// release closes the socket. Calling it twice is harmless.
func (l *link) release() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return false
	}
	p := l.poller
	p.mu.Lock()
	delete(p.links, int32(l.fd))
	p.mu.Unlock()
	p.node.timers.Stop(&l.timer)
	_ = unix.Close(l.fd)
	l.fd = -1
	return true
}

// arm sets the timer to the earlier deadline. l.mu is held.
func (l *link) arm() {
	at := l.read
	if at.IsZero() || !l.write.IsZero() && l.write.Before(at) {
		at = l.write
	}
	if at.IsZero() {
		l.poller.node.timers.Stop(&l.timer)
	} else {
		l.poller.node.timers.Set(&l.timer, at)
	}
}

// expire is the timer's. The poller sees the end of input.
func (l *link) expire(time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return
	}
	l.expired = true
	how := unix.SHUT_RD // a Close may still be sent
	if l.mask&unix.EPOLLIN == 0 {
		how = unix.SHUT_RDWR
	}
	_ = unix.Shutdown(l.fd, how)
}

// Close implements net.Conn for whoever ends the connection from outside.
func (l *link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		_ = unix.Shutdown(l.fd, unix.SHUT_RDWR)
	}
	return nil
}

// SetReadDeadline implements net.Conn. What crosses to the hub's clock, on which the
// timers run, is for how long.
func (l *link) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		if !t.IsZero() {
			t = l.poller.node.now().Add(left(t))
		}
		l.read = t
		l.arm()
	}
	return nil
}

// SetWriteDeadline implements net.Conn; await sets it.
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn.
func (l *link) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

// Read implements net.Conn. The poller reads, nobody else.
func (l *link) Read([]byte) (int, error) { return 0, syscall.ENOTSUP }

// Write implements net.Conn; conn writes by try.
func (l *link) Write(b []byte) (int, error) { return l.try(b) }

// LocalAddr implements net.Conn.
func (l *link) LocalAddr() net.Addr { return l.local }

// RemoteAddr implements net.Conn.
func (l *link) RemoteAddr() net.Addr { return l.remote }
