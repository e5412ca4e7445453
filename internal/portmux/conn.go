package portmux

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/netaddr"
)

// Conn is an accepted connection, plain or TLS, whose first bytes were read to
// find out what it is. Read returns these again.
//
// Who wants to own the socket itself takes Buffered and then NetConn.
type Conn struct {
	net.Conn
	first   []byte // read already, and still to be read by who is served
	small   [sniffLength]byte
	release func() // nil for the TLS layer: the connection below releases
	closing sync.Once
	addr    netip.Addr // by which it is counted; set for the connection below TLS, under Mux.mu
	relays  bool       // it is counted as one to the relay; under Mux.mu
	told    *told      // what a proxy has said of its ends, by the PROXY protocol; nil: nothing
	keeping bool       // what is read is kept, until it is known whose it is
	kept    []byte     // that, for another server
	to      *Forward   // where it is passed on to; nil: nowhere
	mute    bool       // nothing more is written, until it is known to whom
	below   sync.Mutex // Close may come while the connection below is exchanged

	// silent is when the client was last waited for, while it has not said what it
	// is: nanoseconds of Mux.clock, 0 while its bytes are being worked on.
	silent     atomic.Int64
	clock      func() time.Duration // nil once it is known what it is
	crowdedOut bool                 // closed to make room; under Mux.mu
}

// Read returns the bytes that were read for sniffing, then those of the
// connection.
func (c *Conn) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil
		}
		if c.keeping {
			return n, c.keep(b[:n])
		}
		return n, nil
	}
	if c.clock == nil {
		return c.Conn.Read(b)
	}
	c.silent.Store(int64(c.clock()))
	defer c.silent.Store(0)
	n, err := c.Conn.Read(b)
	if c.keeping && n > 0 {
		if long := c.keep(b[:n]); long != nil {
			return n, long
		}
	}
	return n, err
}

// Write writes to the client.
func (c *Conn) Write(b []byte) (int, error) {
	if c.mute {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Close closes the connection and frees its place in the limits.
func (c *Conn) Close() error {
	err := c.lower().Close()
	c.closing.Do(func() {
		if c.release != nil {
			c.release()
		}
	})
	return err
}

// lower is the connection below, for who does not own it.
func (c *Conn) lower() net.Conn {
	c.below.Lock()
	defer c.below.Unlock()
	return c.Conn
}

// Buffered returns the bytes that were read from the connection and that Read
// has not returned yet.
func (c *Conn) Buffered() []byte { return c.first }

// NetConn returns the connection below: a *net.TCPConn, or a *tls.Conn. Close
// the Conn all the same, not it alone.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// SetNetConn exchanges the connection below for one over the same socket, for
// who owns the socket itself but goes on with a TLS layer over this one. The
// bytes that were read for sniffing are the caller's to take care of.
func (c *Conn) SetNetConn(conn net.Conn) {
	c.below.Lock()
	defer c.below.Unlock()
	c.Conn, c.first = conn, nil
}

// sniff reads until the protocol is known.
func (c *Conn) sniff() (Protocol, error) {
	if c.first == nil {
		c.first = c.small[:0]
	}
	for {
		if p := Sniff(c.first); p != Undecided {
			return p, nil
		}
		have := len(c.first)
		n, err := c.Conn.Read(c.first[have:sniffLength])
		c.first = c.first[:have+n]
		if n == 0 && err != nil {
			return Undecided, err
		}
	}
}

// addrPortOf is an address of TCP; the zero value for any other.
func addrPortOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(netaddr.Plain(ap.Addr()), ap.Port())
}

// remoteAddr is the client's address, unmapped and without zone.
func remoteAddr(c net.Conn) netip.Addr {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return netaddr.Plain(tcp.AddrPort().Addr())
}
