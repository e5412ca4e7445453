package portmux

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/internal/proxyheader"
)

// headerPatience is how long a PROXY header may take from its first byte to its last:
// proxies send it whole, as the first thing of all.
const headerPatience = 500 * time.Millisecond

// told is what a proxy has said of a connection's ends.
type told struct{ client, server *net.TCPAddr }

// RemoteAddr is the client's address: that of a PROXY header where the operator has
// named who sent it.
func (c *Conn) RemoteAddr() net.Addr {
	if c.told != nil {
		return c.told.client
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the address that the client has connected to, by the same header.
func (c *Conn) LocalAddr() net.Addr {
	if c.told != nil {
		return c.told.server
	}
	return c.Conn.LocalAddr()
}

// Told reports whether the client's address is known from a PROXY header, and not
// from the connection itself.
func (c *Conn) Told() bool {
	if c.told != nil {
		return true
	}
	secure, ok := c.Conn.(interface{ NetConn() net.Conn })
	if !ok {
		return false
	}
	below, ok := secure.NetConn().(*Conn)
	return ok && below.Told()
}

// readHeader reads a PROXY header, of which the first bytes are there. What the
// client has said after it is read again by Read.
func (c *Conn) readHeader() (proxyheader.Header, error) {
	buf := make([]byte, len(c.first), max(len(c.first), proxyheader.MaxLength))
	copy(buf, c.first)
	for {
		h, length, err := proxyheader.Parse(buf)
		if err == nil {
			rest := buf[length:]
			c.first = append(make([]byte, 0, max(len(rest), sniffLength)), rest...)
			return h, nil
		}
		if !errors.Is(err, proxyheader.ErrShort) {
			return h, err
		}
		n, err := c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return h, err
		}
	}
}

// unwrap takes the PROXY header off a connection that begins with one, or says why it
// is refused. until is when the client must have said what it is.
func (m *Mux) unwrap(c *Conn, until time.Time) (reason string) {
	sender := remoteAddr(c.Conn)
	deadline := time.Now().Add(headerPatience)
	if until.Before(deadline) {
		deadline = until
	}
	c.Conn.SetReadDeadline(deadline)
	h, err := c.readHeader()
	c.Conn.SetReadDeadline(until)
	if m.cfg.Proxy == nil || !m.cfg.Proxy(sender) {
		if m.cfg.Unnamed != nil {
			m.cfg.Unnamed(sender, h.Client.Addr())
		}
		return "proxy_stranger"
	}
	switch {
	case errors.Is(err, proxyheader.ErrFamily):
		return "proxy_family"
	case errors.Is(err, proxyheader.ErrLong):
		return "proxy_long"
	case errors.Is(err, proxyheader.ErrMalformed):
		return "proxy_malformed"
	case err != nil && failure(err) == "timeout":
		return "proxy_timeout"
	case err != nil:
		return failure(err)
	case !h.Client.IsValid(): // the proxy speaks for itself
		return ""
	}
	c.told = &told{net.TCPAddrFromAddrPort(h.Client), net.TCPAddrFromAddrPort(h.Server)}
	return m.recount(c, netaddr.Plain(h.Client.Addr()))
}

// recount counts a connection for the client behind a proxy, and for the proxy no
// more, or says which bound refuses it.
func (m *Mux) recount(c *Conn, client netip.Addr) (reason string) {
	share := m.share(client)
	var made *Conn
	defer func() {
		if made != nil {
			made.Close()
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.crowdedOut || m.closed {
		return "shutdown" // closed already, and counted where that counts
	}
	m.clients.Remove(c.addr, 1)
	m.places.Remove(c.addr, 1)
	defer func() { m.places.Force(client, 1) }()
	c.addr = client
	var over netaddr.Bound
	over, made = m.count(client, share)
	reason = string(over)
	if reason == "" && m.crowds(client, share) {
		return "crowded"
	}
	if reason != "" {
		m.clients.Force(client, 1) // until it is closed
	}
	return reason
}
