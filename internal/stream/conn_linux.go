package stream

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection, or one of TLS over it, whose socket a loop watches. Nothing
// of it waits. Receive and Flush are the loop's goroutine's; Send is for one goroutine
// at a time; everything else may be called by anyone.
type Conn struct {
	top           net.Conn  // all layers, to be closed in the end
	tls           *tls.Conn // nil: none
	remote, local net.Addr
	whole         bool // see KeepWhole

	// The loop's goroutine's.
	early []byte // what a layer over TLS had read
	input []byte // what was read of the socket and not yet taken by TLS
	holds bool   // TLS has a buffer of the loop's to itself, see decrypt
	eof   bool   // nothing comes after input
	fail  error  // nor after eof

	sending atomic.Bool // Send is here, and TLS's own answers are not counted

	mu      sync.Mutex
	handle  *Handle // nil: not in a loop yet, or closed
	fd      int     // -1: closed
	wants   Events
	unsent  []byte // what the socket did not take
	answers int    // bytes of TLS's own in unsent
	read    time.Time
	write   time.Time
	timer   *time.Timer // nil: no deadline is set
}

// maxAnswers is how many bytes of TLS's own, alerts and key updates, wait at most.
const maxAnswers = 16 << 10

// Take takes the socket out of conn: from then on it is the Conn's, and conn and its
// layers go on over that. On an error conn is as it was.
func Take(conn net.Conn) (*Conn, error) {
	c := &Conn{top: conn, remote: conn.RemoteAddr(), local: conn.LocalAddr()}
	under := conn
	var swap Layer
	if layer, ok := under.(Layer); ok {
		c.early = append([]byte(nil), layer.Buffered()...)
		swap, under = layer, layer.NetConn()
	}
	if secure, ok := under.(*tls.Conn); ok {
		layer, ok := secure.NetConn().(Layer)
		if !ok {
			return nil, ErrForeign
		}
		c.tls = secure
		c.input = append([]byte(nil), layer.Buffered()...)
		swap, under = layer, layer.NetConn()
	}
	tcp, ok := under.(*net.TCPConn)
	if !ok {
		return nil, ErrForeign
	}
	var err error
	if c.fd, err = Duplicate(tcp); err != nil {
		return nil, err
	}
	if swap != nil {
		swap.SetNetConn((*bottom)(c))
	} else {
		c.top = (*bottom)(c)
	}
	tcp.Close() // ours is a duplicate, so the connection lives on
	return c, nil
}

// Attach has a loop watch the connection. Its source is called once without events:
// something may be here already.
func (c *Conn) Attach(l *Loop, s Source) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	c.wants = Readable
	if len(c.unsent) > 0 {
		c.wants |= Writable
	}
	h, err := l.Add(c.fd, s, c.wants)
	if err != nil {
		return err
	}
	c.handle = h
	h.Rouse()
	return nil
}

// Receive reads what has come, as much as fits into b, which has room for a byte at
// least. It returns 0 and no error when there is nothing now, and an error together
// with what came before it: io.EOF when the client has ended. After the read deadline it
// is os.ErrDeadlineExceeded, without anything.
func (c *Conn) Receive(b []byte) (n int, err error) {
	if c.late() {
		return 0, os.ErrDeadlineExceeded
	}
	n = copy(b, c.early)
	if c.early = c.early[n:]; len(c.early) > 0 {
		c.Rouse()
		return n, nil
	}
	c.early = nil
	got := 0
	if c.tls == nil {
		got, err = c.readSocket(b[n:])
		n += got
	} else {
		got, err = c.decrypt(b[n:])
		n += got
	}
	return n, err
}

// late reports whether the read deadline is over.
func (c *Conn) late() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return over(c.read)
}

func over(deadline time.Time) bool { return !deadline.IsZero() && time.Until(deadline) <= 0 }

// readSocket returns what the socket has, and io.EOF at its end.
func (c *Conn) readSocket(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
		return 0, nil // told again, if there is something
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return int(n), nil
}

func (c *Conn) loop() *Loop {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handle == nil {
		return nil
	}
	return c.handle.loop
}

// Rouse has the source called soon without events.
func (c *Conn) Rouse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handle != nil {
		c.handle.Rouse()
	}
}

// Send takes all of b, encrypted where there is TLS. What the socket does not take waits
// in the Conn, and the source is told when there is room: call Flush then.
func (c *Conn) Send(b []byte) error {
	if c.tls == nil {
		return c.push(b)
	}
	c.sending.Store(true)
	_, err := c.tls.Write(b)
	c.sending.Store(false)
	return err
}

// push gives the socket what is to be sent, behind what waits already.
func (c *Conn) push(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	if len(c.unsent) == 0 {
		n, err := c.send(b)
		if err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		c.answers = 0
	}
	if c.tls != nil && !c.sending.Load() {
		if c.answers += len(b); c.answers > maxAnswers {
			_ = unix.Shutdown(c.fd, unix.SHUT_RDWR) // TLS keeps the error until the next Send
			return ErrFlood
		}
	}
	c.unsent = append(c.unsent, b...)
	return c.watch(c.wants | Writable)
}

// send writes as much as the socket takes. It does not raise SIGPIPE. c.mu is held.
func (c *Conn) send(b []byte) (int, error) {
	flags := unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if c.whole {
		flags |= unix.MSG_EOR
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(flags), 0, 0)
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, os.NewSyscallError("write", errno)
	}
	return int(n), nil
}

// KeepWhole keeps the kernel from adding to a packet that waits to be sent: what is
// added is not counted against TCP_NOTSENT_LOWAT, and 40 KB too much would wait there on
// a slow line. It is called before anything is sent.
func (c *Conn) KeepWhole() { c.whole = true }

// Flush sends what waits and returns how many bytes still do.
func (c *Conn) Flush() (left int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unsent) == 0 {
		return 0, nil
	}
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	if over(c.write) {
		return len(c.unsent), os.ErrDeadlineExceeded
	}
	n, err := c.send(c.unsent)
	if err != nil {
		return len(c.unsent), err
	}
	if c.unsent = c.unsent[n:]; len(c.unsent) == 0 {
		c.unsent = nil
	}
	return len(c.unsent), nil
}

// Waiting is how many bytes the socket has not taken.
func (c *Conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unsent)
}

// Await has the source told when the socket takes more, whether something waits or not:
// it wants to send more then. Without it that ends, if nothing waits.
func (c *Conn) Await(room bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return
	}
	wants := c.wants &^ Writable
	if room || len(c.unsent) > 0 {
		wants |= Writable
	}
	_ = c.watch(wants)
}

// Deafen ends the reading, until Hear: a client that has ended would be ready for ever.
// Hangup is told all the same.
func (c *Conn) Deafen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		_ = c.watch(c.wants &^ Readable)
	}
}

// Hear ends Deafen.
func (c *Conn) Hear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		_ = c.watch(c.wants | Readable)
	}
}

// Unacknowledged is how many bytes the other side's TCP has not acknowledged.
func (c *Conn) Unacknowledged() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	n, err := unix.IoctlGetInt(c.fd, unix.SIOCOUTQ)
	return n + len(c.unsent), err
}

// watch says what the source waits for. Not to get it ends the connection. c.mu is held.
func (c *Conn) watch(wants Events) error {
	if wants == c.wants || c.handle == nil {
		return nil
	}
	c.wants = wants
	err := c.handle.Watch(wants)
	if err != nil {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
	return err
}

// CloseWrite ends what is sent, with TLS's close_notify (RFC 8446 section 6.1) unless
// something waits before it.
func (c *Conn) CloseWrite() {
	if c.tls != nil && c.Waiting() == 0 {
		_ = c.tls.CloseWrite()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 && len(c.unsent) == 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
}

// Close ends the connection at once and closes all its layers; the source is not called
// any more. It reports whether this call has done it.
func (c *Conn) Close() bool {
	if c.tls != nil && c.Waiting() == 0 {
		_ = c.tls.CloseWrite()
	}
	c.mu.Lock()
	if c.fd < 0 {
		c.mu.Unlock()
		return false
	}
	if c.handle != nil {
		c.handle.Forget()
		c.handle = nil
	}
	unix.Close(c.fd)
	c.fd = -1
	c.unsent = nil
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.mu.Unlock()
	_ = c.top.Close()
	return true
}

// Abort has the loop see the end of the connection.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
}

// SetReadDeadline has the source called at t, when Receive returns
// os.ErrDeadlineExceeded; the zero time: never.
func (c *Conn) SetReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	c.arm()
}

// SetWriteDeadline has the source told of room to write at t, when Flush returns
// os.ErrDeadlineExceeded if something waits still; the zero time: never.
func (c *Conn) SetWriteDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	c.arm()
}

// arm sets the timer to the earlier deadline. An idle connection has none. c.mu is held.
func (c *Conn) arm() {
	at := c.read
	if at.IsZero() || !c.write.IsZero() && c.write.Before(at) {
		at = c.write
	}
	switch {
	case c.fd < 0:
	case at.IsZero():
		if c.timer != nil {
			c.timer.Stop()
			c.timer = nil
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(at), c.due)
	default:
		c.timer.Reset(time.Until(at))
	}
}

// due is the timer's: a deadline is over, and the other may be still to come.
func (c *Conn) due() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handle != nil {
		c.handle.Rouse()
	}
	later := c.read
	if later.Before(c.write) {
		later = c.write
	}
	if c.timer != nil && !later.IsZero() && !over(later) {
		c.timer.Reset(time.Until(later))
	}
}

// NetConn is the connection with all its layers, over the Conn. Its Close is Abort, and
// write deadlines set on it do nothing.
func (c *Conn) NetConn() net.Conn { return c.top }

// FD is the socket, for its options; -1: closed.
func (c *Conn) FD() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd
}

// LocalAddr is where the client has connected to.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is where the client is.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }
