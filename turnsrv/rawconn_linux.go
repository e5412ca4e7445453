//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"io"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawConn is a stream's socket under a worker's epoll, in the shape of a net.Conn,
// so that a *tls.Conn can go on over it: Read never waits, and Write only
// collects. Only the worker uses it, but Close may be called by anyone.
type rawConn struct {
	remote, local net.Addr

	input []byte  // read from the socket, not yet taken by Read
	eof   bool    // nothing comes after input
	out   *[]byte // where Write collects

	mu     sync.Mutex
	fd     int
	closed bool
}

// errNoInput is a temporary error, which crypto/tls does not remember.
type errNoInput struct{}

func (errNoInput) Error() string   { return "no input now" }
func (errNoInput) Timeout() bool   { return true }
func (errNoInput) Temporary() bool { return true }

func (c *rawConn) Read(b []byte) (int, error) {
	if len(c.input) == 0 {
		if c.eof {
			return 0, io.EOF
		}
		return 0, errNoInput{}
	}
	n := copy(b, c.input)
	c.input = c.input[n:]
	return n, nil
}

func (c *rawConn) Write(b []byte) (int, error) {
	if c.out != nil {
		*c.out = append(*c.out, b...)
	}
	return len(b), nil
}

// Close ends the connection; the worker notices and closes the socket.
func (c *rawConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
	return nil
}

// release is called by the worker just before it closes the socket.
func (c *rawConn) release() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

func (c *rawConn) LocalAddr() net.Addr              { return c.local }
func (c *rawConn) RemoteAddr() net.Addr             { return c.remote }
func (c *rawConn) SetDeadline(time.Time) error      { return nil }
func (c *rawConn) SetReadDeadline(time.Time) error  { return nil }
func (c *rawConn) SetWriteDeadline(time.Time) error { return nil }

func readFD(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// writeFD does not raise SIGPIPE. MSG_EOR keeps the kernel from adding to a packet
// that waits to be sent: what is added is not counted against TCP_NOTSENT_LOWAT, and
// 40 KB too much would wait there on a slow line.
func writeFD(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL|unix.MSG_EOR, 0, 0)
	return int(n), errno
}
