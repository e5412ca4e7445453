package stream

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Swift returns a connection over the socket of tcp whose reads and writes are tried
// without the scheduler's knowledge, and wait as those of net do where they have to. On one
// processor a write wakes its reader, which takes the processor meanwhile: the runtime's
// monitor then looks every 20 us who is in a system call, for a millisecond or longer.
func Swift(tcp *net.TCPConn) net.Conn {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return tcp
	}
	c := &swift{TCPConn: tcp, raw: raw}
	c.in.try, c.out.try = c.in.read, c.out.write
	return c
}

type swift struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out way
}

// way is one direction. Reads and writes of several goroutines come one after the other.
type way struct {
	mu   sync.Mutex
	try  func(fd uintptr) (done bool)
	left []byte
	n    int
	err  error
}

func (c *swift) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := c.in.move(b, c.raw.Read)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c *swift) Write(b []byte) (int, error) { return c.out.move(b, c.raw.Write) }

func (w *way) move(b []byte, wait func(func(uintptr) bool) error) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.n, w.err = b, 0, nil
	if err := wait(w.try); err != nil {
		w.err = err
	}
	w.left = nil
	return w.n, w.err
}

func (w *way) read(fd uintptr) (done bool) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(w.left))), uintptr(len(w.left)))
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case 0:
			w.n = int(n)
			return true
		default:
			w.err = os.NewSyscallError("read", errno)
			return true
		}
	}
}

func (w *way) write(fd uintptr) (done bool) {
	for len(w.left) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(w.left))), uintptr(len(w.left)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case 0:
			w.left, w.n = w.left[n:], w.n+int(n)
		default:
			w.err = os.NewSyscallError("write", errno)
			return true
		}
	}
	return true
}
