// Package portmux serves several protocols on one TCP port: TLS, HTTP with
// WebSocket, STUN and TURN are told apart by the first bytes a client sends,
// before the TLS handshake and after it. In TLS, the protocol may also be named
// by ALPN: http/1.1 (RFC 7301), stun.turn or stun.nat-discovery (RFC 7443).
//
// Everything is bounded. A connection that has not said what it is costs a
// goroutine and eight bytes, in TLS the handshake's state; it is cut off after
// Config.IdentifyTimeout. When there are Config.Unidentified of them, the one that has
// been silent for longest makes room, after Config.Patience; until then nothing more is accepted, and
// the kernel's queue holds who comes. So a crowd that comes at once, as after a
// restart of the server, is let in one after the other, each handshake only once, and
// whoever says nothing cannot shut the others out. An error of accept never ends a
// listener.
package portmux

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/netaddr"
)

// The ALPN protocol names.
const (
	ALPNHTTP = "http/1.1"
	ALPNTURN = "stun.turn"
	ALPNSTUN = "stun.nat-discovery" // STUN alone; whoever says so may ask for more
)

// ALPN returns the names that a Mux understands, the preferred one first.
func ALPN() []string { return []string{ALPNHTTP, ALPNTURN, ALPNSTUN} }

// Config is what a Mux is made of.
type Config struct {
	// HTTP answers requests; r.TLS is set for those that came over TLS.
	HTTP http.Handler
	// STUN takes over a STUN or TURN stream, secure when it is in TLS. The
	// connection is its own from then on: it closes it, sooner or later.
	STUN func(conn *Conn, secure bool)
	// TLS, nil for none, must have a certificate. NextProtos is set by New
	// where it is empty.
	TLS *tls.Config
	// ConnectionsPerIP bounds the connections of one household, and with
	// netaddr.NetworkShare those of its wider network; 0: no bound.
	ConnectionsPerIP int
	// Unlimited reports whether an address is not counted: that of a reverse proxy,
	// behind which there are many visitors. Nil: none is.
	Unlimited func(netip.Addr) bool
	// Unidentified bounds the connections that have not said what they are;
	// 0: 1024.
	Unidentified int
	// Patience is how long each of them may be silent before another one that
	// waits for its place crowds it out; 0: 2 s. The time that the handshake
	// takes here does not count.
	Patience time.Duration
	// IdentifyTimeout is how long a client may take to say it, the TLS
	// handshake included; 0: 10 s.
	IdentifyTimeout time.Duration
	// Times bounds what HTTP may take, for tests; zero fields take the usual values.
	Times  Times
	Logger *slog.Logger
}

// Times bounds what HTTP may take: no connection outlives them, whatever is said on it.
type Times struct {
	Header  time.Duration // until a request's header is there; 10 s
	Request time.Duration // until all of it is; 60 s
	Answer  time.Duration // from then until the answer is sent; 90 s, above the longest poll of Engine.IO
	Idle    time.Duration // until the next request; 60 s
}

// Stats counts connections since the start.
type Stats struct {
	// Open is the number of connections now.
	Open int64
	// Accepted counts by protocol: http, https, turn, turns.
	Accepted map[string]uint64
	// Refused counts by reason: per_ip, per_network, crowded, timeout, closed, tls,
	// tls_off, alpn, unknown, shutdown.
	Refused map[string]uint64
	// AcceptErrors counts failures of accept, such as EMFILE.
	AcceptErrors uint64
}

// Mux tells the connections of any number of listeners apart.
type Mux struct {
	cfg     Config
	log     *slog.Logger
	http    *http.Server
	httpIn  *chanListener
	handing sync.WaitGroup // connections on their way or in STUN's hands
	accepts sync.WaitGroup // goroutines that accept

	mu       sync.Mutex
	closed   bool
	leaving  bool            // StopAccepting was called
	ctx      context.Context // of Serve
	serving  []net.Listener
	clients  netaddr.Counts
	conns    map[*Conn]struct{}
	waiting  *list.List     // of *Conn, the oldest first
	places   netaddr.Counts // of those waiting
	told     time.Duration  // when the log was last told of a limit
	left     chan struct{}  // has room for one: somebody is not waiting any more
	clock    func() time.Duration
	accepted map[string]uint64
	refused  map[string]uint64

	acceptErrors atomic.Uint64
}

// New returns a Mux that serves when Serve is called.
func New(cfg Config) *Mux {
	if cfg.Unidentified == 0 {
		cfg.Unidentified = 1024
	}
	if cfg.Patience == 0 {
		cfg.Patience = 2 * time.Second
	}
	if cfg.IdentifyTimeout == 0 {
		cfg.IdentifyTimeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		if len(cfg.TLS.NextProtos) == 0 {
			cfg.TLS.NextProtos = ALPN()
		}
		// The relay writes what is ready together: small records at first would
		// cut it into several.
		cfg.TLS.DynamicRecordSizingDisabled = true
	}
	m := &Mux{
		cfg: cfg, log: cfg.Logger,
		httpIn:   newChanListener(),
		conns:    make(map[*Conn]struct{}),
		waiting:  list.New(),
		left:     make(chan struct{}, 1),
		accepted: make(map[string]uint64),
		refused:  make(map[string]uint64),
	}
	begin := time.Now()
	m.clock = func() time.Duration { return time.Since(begin) + 1 } // never 0
	m.http = &http.Server{
		Handler:           http.HandlerFunc(m.serveHTTP),
		ReadHeaderTimeout: cmp.Or(cfg.Times.Header, 10*time.Second),
		ReadTimeout:       cmp.Or(cfg.Times.Request, 60*time.Second),
		WriteTimeout:      cmp.Or(cfg.Times.Answer, 90*time.Second),
		IdleTimeout:       cmp.Or(cfg.Times.Idle, 60*time.Second),
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // what clients do wrong is theirs
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	return m
}

type connKey struct{}

// serveHTTP sets r.TLS, which http.Server does for its own TLS only.
func (m *Mux) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*Conn); ok {
		if secure, ok := c.Conn.(*tls.Conn); ok {
			state := secure.ConnectionState()
			r.TLS = &state
		}
	}
	m.cfg.HTTP.ServeHTTP(w, r)
}

// Serve accepts from the listeners until ctx ends, then closes them and every
// connection; requests being answered get up to two seconds. It owns the
// listeners. Call it once.
func (m *Mux) Serve(ctx context.Context, listeners ...net.Listener) error {
	m.mu.Lock()
	m.serving, m.ctx = listeners, ctx
	leaving := m.leaving
	for _, ln := range listeners {
		m.accepts.Go(func() { m.accept(ctx, ln) })
	}
	m.mu.Unlock()
	if leaving {
		m.StopAccepting()
	}
	var owned sync.WaitGroup
	owned.Go(func() { m.http.Serve(m.httpIn) })
	<-ctx.Done()
	m.mu.Lock()
	for _, ln := range m.serving {
		ln.Close()
	}
	m.mu.Unlock()
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	m.http.Shutdown(grace)
	m.http.Close()
	m.mu.Lock()
	m.closed = true
	left := slices.Collect(maps.Keys(m.conns)) // hijacked ones too
	m.mu.Unlock()
	for _, c := range left { // the TCP connections, under the TLS: none of them waits for its peer
		c.Close()
	}
	m.accepts.Wait()
	m.handing.Wait()
	owned.Wait()
	return nil
}

// StopAccepting leaves the listeners to a successor that shares them. What is
// connected is served on; HTTP connections close after their next answer, so that
// clients come back to the successor.
func (m *Mux) StopAccepting() {
	m.mu.Lock()
	m.leaving = true
	listeners := m.serving
	m.mu.Unlock()
	for _, ln := range listeners {
		ln.Close()
	}
	m.http.SetKeepAlivesEnabled(false)
}

// ResumeAccepting ends what StopAccepting has begun: the successor is gone, and these
// are its listeners. The Mux owns them from now on. Serve must have been called.
func (m *Mux) ResumeAccepting(listeners ...net.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		for _, ln := range listeners {
			ln.Close()
		}
		return
	}
	m.leaving, m.serving = false, listeners
	m.http.SetKeepAlivesEnabled(true)
	for _, ln := range listeners {
		m.accepts.Go(func() { m.accept(m.ctx, ln) })
	}
}

// accept hands out the connections of one listener. What the system refuses
// (EMFILE, ENFILE, ENOBUFS, ECONNABORTED) is waited out.
func (m *Mux) accept(ctx context.Context, ln net.Listener) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for m.room(ctx) {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			m.acceptErrors.Add(1)
			if pause == shortest || pause >= longest {
				m.log.Warn("cannot accept TCP connections; raise the limit of open files (LimitNOFILE) if this goes on", "listen", ln.Addr().String(), "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
		m.take(c)
	}
}

// roomPause is how often a listener looks for room.
const roomPause = 50 * time.Millisecond

// room waits until a connection more may say what it is. False: ctx has ended.
func (m *Mux) room(ctx context.Context) bool {
	for {
		m.mu.Lock()
		free := m.waiting.Len() < m.cfg.Unidentified
		if !free {
			_, silence := m.mostSilent()
			free = silence >= m.cfg.Patience
		}
		m.mu.Unlock()
		if free {
			return true
		}
		timer := time.NewTimer(roomPause) // the other listeners' loops wait for m.left too
		select {
		case <-ctx.Done():
		case <-m.left:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
}

// mostSilent is the one that has been waited for the longest, nil if all that
// clients have said is still being worked on. Call it under mu.
func (m *Mux) mostSilent() (most *list.Element, silence time.Duration) {
	now := m.clock()
	for e := m.waiting.Front(); e != nil; e = e.Next() {
		since := time.Duration(e.Value.(*Conn).silent.Load())
		if since > 0 && (most == nil || now-since > silence) {
			most, silence = e, now-since
		}
	}
	return most, silence
}

// crowds reports whether the wider network of an address has a quarter of all places
// of those who have not said what they are: it may have as many connections as there
// are places, and could keep everybody else waiting by saying it slowly. Where the
// operator lets one network have more connections than there are places, no crowd is
// unexpected. Call it under mu.
func (m *Mux) crowds(addr netip.Addr, share netaddr.Share) bool {
	return share.Household > 0 && share.Household*netaddr.NetworkShare <= m.cfg.Unidentified &&
		m.places.OfNetwork(addr) >= m.cfg.Unidentified/4
}

// stopWaiting takes a connection off the list of those waiting. Call it under mu.
func (m *Mux) stopWaiting(e *list.Element) *Conn {
	c := m.waiting.Remove(e).(*Conn)
	m.places.Remove(c.addr, 1)
	return c
}

// take counts a connection and finds out what it is.
func (m *Mux) take(raw net.Conn) {
	addr := remoteAddr(raw)
	share := netaddr.Share{Household: m.cfg.ConnectionsPerIP}
	if m.cfg.Unlimited != nil && m.cfg.Unlimited(addr) {
		share = netaddr.Share{}
	}
	c := &Conn{Conn: raw, clock: m.clock}
	c.silent.Store(int64(m.clock()))
	c.release = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.conns, c)
		m.clients.Remove(addr, 1)
	}

	m.mu.Lock()
	reason := "shutdown"
	switch {
	case m.closed:
	case m.crowds(addr, share):
		reason = "crowded"
	default:
		reason = string(m.clients.Add(addr, 1, share))
	}
	if reason != "" {
		m.refused[reason]++
		due := reason != "shutdown" && (m.told == 0 || m.clock()-m.told >= time.Minute)
		if due {
			m.told = m.clock()
		}
		m.mu.Unlock()
		reset(raw)
		if due {
			m.log.Info("TCP connections are refused; the next line like this comes in a minute at the earliest",
				"client", addr.String(), "reason", reason, "limit", "limits.connections_per_ip")
		}
		return
	}
	m.conns[c] = struct{}{}
	c.addr = addr
	place := m.waiting.PushBack(c)
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
		reset(silent.Conn)
	}
	go func() {
		defer m.handing.Done()
		m.identify(c, place)
	}()
}

// reset closes a connection at once, without leaving it in TIME_WAIT.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// identify sends a connection where it belongs.
func (m *Mux) identify(c *Conn, place *list.Element) {
	c.SetDeadline(time.Now().Add(m.cfg.IdentifyTimeout))
	top, protocol, reason := m.dissect(c)

	m.mu.Lock()
	if !c.crowdedOut {
		m.stopWaiting(place)
	}
	select {
	case m.left <- struct{}{}:
	default:
	}
	secure := top != c
	switch {
	case reason != "":
		if !c.crowdedOut { // else it is counted already
			m.refused[reason]++
		}
	case secure:
		m.accepted[map[Protocol]string{HTTP: "https", STUN: "turns"}[protocol]]++
	default:
		m.accepted[map[Protocol]string{HTTP: "http", STUN: "turn"}[protocol]]++
	}
	m.mu.Unlock()

	if reason != "" {
		m.log.Debug("connection refused", "client", c.RemoteAddr(), "reason", reason)
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
	if protocol == HTTP {
		if !m.httpIn.hand(top) {
			top.Close()
		}
		return
	}
	m.cfg.STUN(top, secure)
}

// dissect looks under the TLS, where there is any. It returns the connection to
// read from, or why there is none.
func (m *Mux) dissect(c *Conn) (top *Conn, protocol Protocol, reason string) {
	protocol, err := c.sniff()
	switch {
	case err != nil:
		return c, Unknown, failure(err)
	case protocol == Unknown:
		return c, Unknown, "unknown"
	case protocol != TLS:
		return c, protocol, ""
	case m.cfg.TLS == nil:
		return c, TLS, "tls_off"
	}
	secure := tls.Server(c, m.cfg.TLS)
	if err := secure.Handshake(); err != nil {
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

// Stats returns a snapshot.
func (m *Mux) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{Open: int64(len(m.conns)), Accepted: make(map[string]uint64), Refused: make(map[string]uint64), AcceptErrors: m.acceptErrors.Load()}
	for k, v := range m.accepted {
		s.Accepted[k] = v
	}
	for k, v := range m.refused {
		s.Refused[k] = v
	}
	return s
}
