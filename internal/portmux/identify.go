package portmux

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"turnhub/internal/netaddr"
)

// take counts a connection and finds out what it is.
func (m *Mux) take(raw net.Conn) {
	c := &Conn{Conn: raw}
	place := m.admit(c, remoteAddr(raw))
	if place == nil {
		reset(raw)
		return
	}
	until := time.Now().Add(m.cfg.IdentifyTimeout)
	go func() {
		defer m.handing.Done()
		m.identify(c, place, until)
	}()
}

// admit counts a connection, which then waits at its place until it is known what it is.
// nil: it is refused. Else the caller says when it is done with it, to handing.
func (m *Mux) admit(c *Conn, addr netip.Addr) (place *list.Element) {
	share := m.share(addr)
	c.clock = m.clock
	c.silent.Store(int64(m.clock()))
	c.release = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.uncount(c)
	}

	var made *Conn
	defer func() {
		if made != nil {
			made.Close()
		}
	}()
	m.mu.Lock()
	reason := "shutdown"
	switch {
	case m.closed:
	case m.crowds(addr, share):
		reason = "crowded"
	default:
		var over netaddr.Bound
		over, made = m.count(addr, share)
		reason = string(over)
	}
	if reason != "" {
		due := m.refuse(reason)
		m.mu.Unlock()
		if due {
			m.tell(addr, reason)
		}
		return nil
	}
	m.conns[c] = struct{}{}
	c.addr = addr
	place = m.waiting.PushBack(c)
	m.places.Force(addr, 1)
	var silent *Conn
	if m.waiting.Len() > m.cfg.Unidentified {
		if e, _ := m.mostSilent(); e != nil {
			silent = m.stopWaiting(e)
			silent.crowdedOut = true
			m.refused["crowded"]++
		}
	}
	m.handing.Add(1)
	m.mu.Unlock()

	if silent != nil {
		reset(silent.lower())
	}
	return place
}

// share is what an address may have: a proxy, behind which there are many visitors,
// as much as there is.
func (m *Mux) share(addr netip.Addr) netaddr.Share {
	if m.cfg.Proxy != nil && m.cfg.Proxy(addr) {
		return netaddr.Share{}
	}
	return netaddr.Share{Household: m.cfg.ConnectionsPerIP * m.cfg.Gateway.Times(addr)}
}

// limits are the reasons that an operator may have to do something about.
var limits = []string{"crowded", string(netaddr.OverHousehold), string(netaddr.OverNetwork)}

// refuse counts a refusal, and reports whether the log is to be told. Call it under mu.
func (m *Mux) refuse(reason string) (due bool) {
	m.refused[reason]++
	if due = slices.Contains(limits, reason) && (m.told == 0 || m.clock()-m.told >= time.Minute); due {
		m.told = m.clock()
	}
	return due
}

// tell says in the log that a limit has been reached.
func (m *Mux) tell(addr netip.Addr, reason string) {
	m.log.Info("TCP connections are refused; the next line like this comes in a minute at the earliest",
		"client", addr.String(), "reason", reason, "limit", "limits.connections_per_ip")
}

// reset closes a connection at once, without leaving it in TIME_WAIT.
func reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// settle ends the waiting of a connection, since it is known what kind it is, or why it
// is refused.
func (m *Mux) settle(c *Conn, place *list.Element, kind, reason string) {
	m.mu.Lock()
	if !c.crowdedOut {
		m.stopWaiting(place)
	}
	select {
	case m.left <- struct{}{}:
	default:
	}
	due := false
	if reason == "" {
		m.accepted[kind]++
	} else if !c.crowdedOut { // else it is counted already
		due = m.refuse(reason)
	}
	m.mu.Unlock()
	if due {
		m.tell(remoteAddr(c), reason)
	}
	if reason != "" {
		m.log.Debug("connection refused", "client", c.RemoteAddr(), "reason", reason)
	}
}

// kinds are what connections are counted as: in plain TCP, and in TLS.
var kinds = map[Protocol][2]string{HTTP: {"http", "https"}, STUN: {"turn", "turns"}, TLS: {"forward", ""}}

// identify sends a connection where it belongs; until is when that must be known.
func (m *Mux) identify(c *Conn, place *list.Element, until time.Time) {
	c.SetDeadline(until)
	top, protocol, reason := m.dissect(c, until)
	secure := top != c
	if reason == "" && protocol == STUN {
		reason = m.relays(c)
	}
	kind := kinds[protocol][0]
	if secure {
		kind = kinds[protocol][1]
	}
	m.settle(c, place, kind, reason)
	if reason != "" {
		if reason == "tls_off" {
			// An alert, so that the client says what is wrong instead of "reset":
			// fatal handshake_failure, RFC 8446 section 6.
			c.Write([]byte{0x15, 3, 1, 0, 2, 2, 40})
		}
		c.Close()
		return
	}
	c.SetDeadline(time.Time{})
	c.clock = nil
	if protocol == TLS {
		reason, carried := m.pass(c)
		if carried {
			return
		}
		if reason != "" {
			m.mu.Lock()
			m.refused[reason]++
			m.mu.Unlock()
		}
		c.Close()
		return
	}
	if protocol == HTTP {
		if !m.httpIn.hand(top) {
			top.Close()
		}
		return
	}
	m.cfg.STUN(top, secure)
}

// dissect looks behind a PROXY header and under the TLS, where there are any. It
// returns the connection to read from, or why there is none. TLS that is another
// server's is left as it is.
func (m *Mux) dissect(c *Conn, until time.Time) (top *Conn, protocol Protocol, reason string) {
	protocol, err := c.sniff()
	if err == nil && protocol == Proxied {
		if reason = m.unwrap(c, until); reason != "" {
			return c, Unknown, reason
		}
		protocol, err = c.sniff()
	}
	switch {
	case err != nil:
		return c, Unknown, failure(err)
	case protocol == Unknown:
		return c, Unknown, "unknown"
	case protocol == Proxied: // a second one, which the client has written
		return c, Unknown, "proxy_late"
	case protocol != TLS:
		return c, protocol, ""
	}
	cfg := m.cfg.TLS
	if cfg == nil {
		if cfg = m.bare; len(m.forwards.Load().list) == 0 {
			return c, TLS, "tls_off"
		}
	}
	if to := m.glance(c); to != nil {
		c.to, c.kept, c.first = to, c.first, nil
		return c, TLS, ""
	}
	c.keeping = true
	secure := tls.Server(c, cfg)
	err = secure.Handshake()
	c.keeping, c.mute = false, false
	if errors.Is(err, errPassedOn) {
		return c, TLS, ""
	}
	c.kept = nil
	if errors.Is(err, errNoTLS) {
		return c, TLS, "tls_off"
	}
	if err != nil {
		m.log.Debug("TLS handshake failed", "client", c.RemoteAddr(), "error", err)
		return c, TLS, "tls"
	}
	top = &Conn{Conn: secure}
	switch secure.ConnectionState().NegotiatedProtocol {
	case ALPNTURN, ALPNSTUN:
		return top, STUN, ""
	case "", ALPNHTTP: // coturn's client offers both names, this one first, and then speaks TURN
	default: // such as acme-tls/1, whose handshake is all there is to it
		return top, Unknown, "alpn"
	}
	protocol, err = top.sniff()
	switch {
	case err != nil:
		return top, Unknown, failure(err)
	case protocol == HTTP, protocol == STUN:
		return top, protocol, ""
	case protocol == Proxied: // in TLS nobody but the client can have written it
		return top, Unknown, "proxy_late"
	}
	return top, Unknown, "unknown"
}

// failure names why a client did not say what it is.
func failure(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	return "closed"
}
