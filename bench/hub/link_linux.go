package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A link is one client's socket, with TLS over it or without. The handshake
// runs in a goroutine of its own and waits for the socket; after it nothing
// waits any more: Read reports errWouldBlock, and Write keeps what the kernel
// does not take until flush.
type link struct {
	fd   int
	tls  *tls.Conn    // nil: plain
	tcp  *net.TCPConn // under TLS: owns fd
	open bool         // the handshake is over
	out  []byte       // what the kernel did not take
}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true } // crypto/tls goes on after it

var errWouldBlock net.Error = wouldBlock{}

// cipher is the one that all servers and the generator speak, so that a row
// compares servers and not ciphers.
const cipher = tls.TLS_AES_128_GCM_SHA256

// dialTLS connects and shakes hands.
func dialTLS(ctx context.Context, server string, source netip.Addr, config *tls.Config) (*link, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if source.IsValid() {
		// Without it the kernel would choose a port before it knows the server, and run out.
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) })
		}
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	conn, err := dialer.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	if err != nil {
		tcp.Close()
		return nil, err
	}
	l := &link{tcp: tcp}
	if err := raw.Control(func(fd uintptr) { l.fd = int(fd) }); err != nil {
		tcp.Close()
		return nil, err
	}
	l.tls = tls.Client(l, config)
	if err := l.tls.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if got := l.tls.ConnectionState().CipherSuite; got != cipher {
		tcp.Close()
		return nil, fmt.Errorf("the server chose %s; the rows are measured with %s", tls.CipherSuiteName(got), tls.CipherSuiteName(cipher))
	}
	l.open = true
	return l, nil
}

func (l *link) Read(b []byte) (int, error) {
	if !l.open && l.tcp != nil {
		return l.tcp.Read(b)
	}
	for {
		n, err := unix.Read(l.fd, b)
		switch {
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (l *link) Write(b []byte) (int, error) {
	if !l.open && l.tcp != nil {
		return l.tcp.Write(b)
	}
	busy := len(l.out) > 0
	l.out = append(l.out, b...)
	if busy {
		return len(b), nil
	}
	return len(b), l.flush()
}

// flush sends what Write kept back, as far as the kernel takes it.
func (l *link) flush() error {
	for len(l.out) > 0 {
		n, err := unix.Write(l.fd, l.out)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		l.out = l.out[:copy(l.out, l.out[n:])]
	}
	return nil
}

// send writes application bytes.
func (l *link) send(b []byte) error {
	if l.tls != nil {
		_, err := l.tls.Write(b)
		return err
	}
	_, err := l.Write(b)
	return err
}

// receive reads application bytes; errWouldBlock when there are none.
func (l *link) receive(b []byte) (int, error) {
	if l.tls != nil {
		return l.tls.Read(b)
	}
	return l.Read(b)
}

// Close ends the socket at once.
func (l *link) Close() error {
	if l.tcp != nil {
		return l.tcp.Close()
	}
	return unix.Close(l.fd)
}

// The rest of net.Conn, for crypto/tls.
func (l *link) LocalAddr() net.Addr                { return nil }
func (l *link) RemoteAddr() net.Addr               { return nil }
func (l *link) SetDeadline(t time.Time) error      { return l.deadline(t) }
func (l *link) SetReadDeadline(t time.Time) error  { return l.deadline(t) }
func (l *link) SetWriteDeadline(t time.Time) error { return l.deadline(t) }

func (l *link) deadline(t time.Time) error {
	if l.tcp == nil {
		return errors.New("a link without a connection")
	}
	return l.tcp.SetDeadline(t)
}
