package stream

import (
	"crypto/tls"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// wholeConn is a TCP connection of which each Write is a packet's end.
type wholeConn struct {
	*net.TCPConn
	raw   syscall.RawConn
	early []byte // was read before, and is read again
}

// KeepWhole does for a connection that is served as a net.Conn what Conn.KeepWhole does,
// and returns it; one whose layers cannot be put over another is as it was. It is called
// before anybody reads or writes.
func KeepWhole(conn net.Conn) net.Conn {
	under := conn
	var top Layer
	if layer, ok := under.(Layer); ok {
		top, under = layer, layer.NetConn()
	}
	if secure, ok := under.(*tls.Conn); ok {
		layer, ok := secure.NetConn().(Layer)
		if !ok {
			return conn
		}
		top, under = layer, layer.NetConn()
	}
	tcp, ok := under.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	whole := &wholeConn{TCPConn: tcp, raw: raw}
	if top == nil {
		return whole
	}
	whole.early = append([]byte(nil), top.Buffered()...)
	top.SetNetConn(whole)
	return conn
}

// NetConn returns the connection below.
func (c *wholeConn) NetConn() net.Conn { return c.TCPConn }

func (c *wholeConn) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.TCPConn.Read(b)
	}
	n := copy(b, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}

func (c *wholeConn) Write(b []byte) (n int, err error) {
	failed := c.raw.Write(func(fd uintptr) bool {
		for n < len(b) && err == nil {
			var sent int
			switch sent, err = unix.SendmsgN(int(fd), b[n:], nil, nil, unix.MSG_EOR|unix.MSG_NOSIGNAL); err {
			case unix.EAGAIN:
				err = nil
				return false
			case unix.EINTR:
				err = nil
			case nil:
				n += sent
			}
		}
		return true
	})
	if failed != nil {
		return n, failed
	}
	return n, os.NewSyscallError("sendmsg", err)
}
