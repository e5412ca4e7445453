// Package stream carries TCP connections, and TLS over them, in an event loop: one
// goroutine for thousands, so that an idle connection costs neither a stack nor a
// buffer. It knows nothing of what is spoken on them.
//
// A Loop waits for many sockets at once. Whoever owns it calls Poll or Sleep, then
// Dispatch, round after round, or leaves that to Run. Take takes the socket out of a
// net.Conn, below every layer that has looked at its first bytes and below TLS, and
// the Conn that it returns never waits: Receive returns what has come, and Send takes
// everything and keeps what the socket does not.
//
// What is here needs nothing of epoll(7) but that a Source is told when it can go on.
// So a loop whose reads and writes complete later can stand behind the same names: it
// fills what Receive returns, and Send hands it a buffer that it keeps.
package stream

import (
	"errors"
	"net"
	"syscall"
)

// ErrForeign is returned for a connection that is none of TCP, or one whose layers
// cannot be put over another: it has to be served as a net.Conn.
var ErrForeign = errors.New("no TCP connection whose socket could be taken over")

// ErrFlood ends a connection whose client makes TLS answer without reading the answers.
var ErrFlood = errors.New("answers of TLS itself are not read")

// Layer is a connection that has looked at the first bytes of the one below it.
type Layer interface {
	net.Conn
	// Buffered returns what was read from below and has not been returned by Read.
	Buffered() []byte
	NetConn() net.Conn
	// SetNetConn exchanges the connection below; what is Buffered is forgotten.
	SetNetConn(net.Conn)
}

// TCP returns the TCP connection below all layers of conn, nil if there is none.
func TCP(conn net.Conn) *net.TCPConn {
	for {
		switch layer := conn.(type) {
		case *net.TCPConn:
			return layer
		case interface{ NetConn() net.Conn }:
			conn = layer.NetConn()
		default:
			return nil
		}
	}
}

// Duplicate returns another descriptor of a socket, which a program that is started
// does not inherit and the runtime's poller does not know. Unlike that of os.File, it
// leaves the socket non-blocking.
func Duplicate(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = DuplicateFD(int(old)) })
	if err = errors.Join(err, dupErr); err != nil {
		return -1, err
	}
	return fd, nil
}
