package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/sys/unix"

	"turnhub/internal/proxyheader"
)

// A Server is where to find a TURN server: udp://, tcp:// or tls:// and an IP
// address with a port.
type Server struct {
	Transport string // udp, tcp or tls
	Address   netip.AddrPort
	Proxied   string // version of the PROXY header that streams begin with; empty: none
}

// ParseServer reads a Server from its URL.
func ParseServer(text string) (Server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Server{}, fmt.Errorf("server %q: %w", text, err)
	}
	address, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		return Server{}, fmt.Errorf("server %q: %w; write udp://, tcp:// or tls:// and an IP address with a port", text, err)
	}
	switch u.Scheme {
	case "udp", "tcp", "tls":
		return Server{Transport: u.Scheme, Address: address}, nil
	}
	return Server{}, fmt.Errorf("server %q: transport %q is not udp, tcp or tls", text, u.Scheme)
}

// A conn is one client's connection to the server. During set-up its calls
// wait; afterwards nothing does.
type conn struct {
	fd     int
	stream bool
	peer   bool          // not a client's: a plain UDP peer's socket
	rw     io.ReadWriter // streams: the socket itself or TLS over it
	raw    *rawStream
	in     []byte // streams: what has been read and not handled
	have   int
}

func dial(s Server, source netip.Addr) (*conn, error) {
	kind := unix.SOCK_DGRAM
	if s.Transport != "udp" {
		kind = unix.SOCK_STREAM
	}
	fd, err := socket(kind, s.Address.Addr())
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, stream: kind == unix.SOCK_STREAM}
	if err := c.connect(s, source); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s://%s: %w", s.Transport, s.Address, err)
	}
	return c, nil
}

func (c *conn) connect(s Server, source netip.Addr) error {
	if source.IsValid() {
		if err := unix.Bind(c.fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			return fmt.Errorf("bind %s: %w", source, err)
		}
	}
	err := unix.Connect(c.fd, sockaddr(s.Address))
	if err == unix.EINPROGRESS {
		if !wait(c.fd, unix.POLLOUT, 5*time.Second) {
			return errors.New("no answer in 5 s")
		}
		var code int
		if code, err = unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
			err = unix.Errno(code)
		}
	}
	if err != nil || !c.stream {
		return err
	}
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	c.in = make([]byte, 1<<16)
	c.raw = &rawStream{fd: c.fd, patient: true}
	c.rw = c.raw
	if s.Proxied != "" {
		if err := c.introduce(s); err != nil {
			return fmt.Errorf("PROXY header: %w", err)
		}
	}
	if s.Transport == "tls" {
		// The server under test has a certificate of its own making.
		t := tls.Client(c.raw, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err := t.Handshake(); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.rw = t
	}
	return nil
}

// introduce writes a PROXY header that names this end as the client.
func (c *conn) introduce(s Server) error {
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return err
	}
	own, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return errors.New("over IPv4 only")
	}
	_, err = c.raw.Write(proxyheader.Append(nil, s.Proxied, proxyheader.Header{
		Client: netip.AddrPortFrom(netip.AddrFrom4(own.Addr), uint16(own.Port)), Server: s.Address,
	}))
	return err
}

func (c *conn) close() { unix.Close(c.fd) }

// write sends one whole control message.
func (c *conn) write(b []byte) error {
	if !c.stream {
		if !sendTo(c.fd, b, nil, 0) {
			return errors.New("the socket refused to send")
		}
		return nil
	}
	_, err := c.rw.Write(b)
	return err
}

// messages reads what is there, without waiting, and hands each whole message
// to deliver. Datagrams come through b.
func (c *conn) messages(b *batch, deliver func([]byte)) (bool, error) {
	if !c.stream {
		return b.receive(c.fd, deliver), nil
	}
	n, err := c.rw.Read(c.in[c.have:])
	if n == 0 {
		if err == errWouldBlock {
			err = nil
		}
		return false, err
	}
	c.have += n
	rest := c.in[:c.have]
	for {
		size := messageSize(rest)
		if size == 0 || size > len(rest) {
			break
		}
		deliver(rest[:size])
		rest = rest[size:]
	}
	c.have = copy(c.in, rest)
	return true, nil
}

// A rawStream is a TCP socket as a net.Conn for crypto/tls. While patient it
// waits; otherwise Read reports errWouldBlock, and Write keeps what the kernel
// does not take (the run's window bounds it) until flush.
type rawStream struct {
	fd      int
	patient bool
	pending []byte
}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true } // crypto/tls goes on after it

var errWouldBlock net.Error = wouldBlock{}

func (r *rawStream) Read(b []byte) (int, error) {
	for {
		n, errno := rawRead(r.fd, b)
		switch {
		case errno == unix.EAGAIN && r.patient:
			if !wait(r.fd, unix.POLLIN, 5*time.Second) {
				return 0, errors.New("nothing came for 5 s")
			}
		case errno == unix.EAGAIN:
			return 0, errWouldBlock
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (r *rawStream) Write(b []byte) (int, error) {
	if len(r.pending) > 0 {
		r.pending = append(r.pending, b...)
		return len(b), nil
	}
	for done := 0; done < len(b); {
		n, errno := rawWrite(r.fd, b[done:])
		switch {
		case errno == unix.EAGAIN && r.patient:
			if !wait(r.fd, unix.POLLOUT, 5*time.Second) {
				return done, errors.New("the server took nothing for 5 s")
			}
		case errno == unix.EAGAIN:
			r.pending = append(r.pending, b[done:]...)
			return len(b), nil
		case errno == unix.EINTR:
		case errno != 0:
			return done, errno
		default:
			done += n
		}
	}
	return len(b), nil
}

// flush sends what Write kept back and reports whether all of it is gone.
func (r *rawStream) flush() (bool, error) {
	for len(r.pending) > 0 {
		n, errno := rawWrite(r.fd, r.pending)
		if errno == unix.EAGAIN {
			return false, nil
		}
		if errno != 0 {
			return false, errno
		}
		r.pending = r.pending[:copy(r.pending, r.pending[n:])]
	}
	return true, nil
}

// The rest of net.Conn; crypto/tls needs none of it here.
func (r *rawStream) Close() error                     { return nil }
func (r *rawStream) LocalAddr() net.Addr              { return nil }
func (r *rawStream) RemoteAddr() net.Addr             { return nil }
func (r *rawStream) SetDeadline(time.Time) error      { return nil }
func (r *rawStream) SetReadDeadline(time.Time) error  { return nil }
func (r *rawStream) SetWriteDeadline(time.Time) error { return nil }

func socket(kind int, family netip.Addr) (int, error) {
	domain := unix.AF_INET
	if family.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	if kind == unix.SOCK_DGRAM {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
