package portmux

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// flow is one direction.
type flow struct {
	pipe    pipe
	piped   int    // bytes in the pipe, which is the flow's own as long as there are any
	unsent  []byte // instead, where there was no pipe
	eof     bool   // nothing comes any more
	done    bool   // and the other end knows
	blocked time.Time
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
