// Package portmux serves several protocols on one TCP port: TLS, HTTP with
// WebSocket, STUN and TURN are told apart by the first bytes a client sends,
// before the TLS handshake and after it. In TLS, the protocol may also be named
// by ALPN: http/1.1 (RFC 7301), stun.turn or stun.nat-discovery (RFC 7443). Before all
// that, a proxy that the operator has named may say by the PROXY protocol who came. TLS
// for the names of other servers is passed on to them as it is.
//
// Everything is bounded. A connection that has not said what it is costs a
// goroutine and eight bytes, in TLS the handshake's state (where names are passed on, no
// goroutine, and what it has said so far); it is cut off after
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
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/forwarded"
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
	// netaddr.NetworkShare those of its wider network; 0: no bound. One more takes the
	// place of one on which HTTP waits for a request, if there is one; the relay's may be
	// three quarters of them.
	ConnectionsPerIP int
	// Gateway may have more of them; nil: there is none.
	Gateway *netaddr.Gateway
	// Proxy reports whether the operator has named an address as a proxy's: behind it
	// are many visitors, so it is not counted, and what it says in a header of the PROXY
	// protocol, with which each of its connections may begin, is believed. Nil: none is.
	Proxy func(netip.Addr) bool
	// Unnamed is told of a PROXY header from an address that is not, and of the client
	// that it names, the zero Addr for none. Nil: nobody is.
	Unnamed func(sender, claimed netip.Addr)
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
	// Own is this server's own name and Forwards what is passed on by name, as in
	// SetForwards.
	Own      string
	Forwards []Forward
	// Pass bounds what is passed on, for tests; zero fields take the usual values.
	Pass PassTimes
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
	// Forwarded is how many of them are passed on.
	Forwarded int64
	// Accepted counts by protocol: http, https, turn, turns, forward.
	Accepted map[string]uint64
	// Refused counts by reason: per_ip, per_network, crowded, timeout, closed, tls,
	// tls_off, alpn, unknown, shutdown; and of PROXY headers: proxy_stranger (of an
	// address that is not named), proxy_late (not at the very beginning),
	// proxy_malformed, proxy_long, proxy_family (no TCP over IPv4 or IPv6) and
	// proxy_timeout; and of what is to be passed on: forward_down (the other server
	// takes nothing) and forward_full.
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
	doors    map[*door]struct{} // which accept from them
	clients  netaddr.Counts
	relaying netaddr.Counts // of these, those to the relay
	conns    map[*Conn]struct{}
	idle     idle
	waiting  *list.List     // of *Conn, the oldest first
	places   netaddr.Counts // of those waiting
	told     time.Duration  // when the log was last told of a limit
	left     chan struct{}  // has room for one: somebody is not waiting any more
	clock    func() time.Duration
	accepted map[string]uint64
	refused  map[string]uint64

	acceptErrors atomic.Uint64

	forwards  atomic.Pointer[forwards]
	passing   atomic.Int64    // connections that are passed on
	loops     passLoops       // which do it
	resuming  *tls.Config     // for those who come with a ticket, see marked
	bare      *tls.Config     // where there is no TLS but by name for others
	upstreams *http.Transport // to the others' plain HTTP
	toldDown  time.Duration   // when the log was last told that one of them is down
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
	cfg.Pass.Idle, cfg.Pass.Half = cmp.Or(cfg.Pass.Idle, time.Hour), cmp.Or(cfg.Pass.Half, 2*time.Minute)
	cfg.Pass.HTTP = cmp.Or(cfg.Pass.HTTP, 10*time.Minute)
	m := &Mux{
		cfg: cfg, log: cfg.Logger,
		httpIn:   newChanListener(),
		conns:    make(map[*Conn]struct{}),
		idle:     make(idle),
		doors:    make(map[*door]struct{}),
		waiting:  list.New(),
		left:     make(chan struct{}, 1),
		accepted: make(map[string]uint64),
		refused:  make(map[string]uint64),
	}
	m.bare = &tls.Config{GetConfigForClient: m.route}
	if cfg.TLS != nil {
		m.resuming = markTickets(cfg.TLS)
		cfg.TLS.GetConfigForClient = m.route
	}
	m.upstreams = newUpstreams()
	m.SetForwards(cfg.Own, cfg.Forwards)
	begin := time.Now()
	m.clock = func() time.Duration { return time.Since(begin) + 1 } // never 0
	m.http = &http.Server{
		Handler:           http.HandlerFunc(m.serveHTTP),
		ReadHeaderTimeout: cmp.Or(cfg.Times.Header, 10*time.Second),
		ReadTimeout:       cmp.Or(cfg.Times.Request, 60*time.Second),
		WriteTimeout:      cmp.Or(cfg.Times.Answer, 90*time.Second),
		IdleTimeout:       cmp.Or(cfg.Times.Idle, 60*time.Second),
		MaxHeaderBytes:    16 << 10,
		ConnState:         m.follow,
		ErrorLog:          log.New(io.Discard, "", 0), // what clients do wrong is theirs
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*Conn); ok && c.Told() {
				ctx = forwarded.Told(ctx)
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	return m
}

// SetTicketKeys sets the keys of TLS session tickets; the first is the one that new
// tickets are sealed with. Without it they are the process's own.
func (m *Mux) SetTicketKeys(keys [][32]byte) {
	if m.cfg.TLS != nil {
		m.cfg.TLS.SetSessionTicketKeys(keys)
		m.resuming.SetSessionTicketKeys(keys)
	}
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
	if m.forwardHTTP(w, r) {
		return
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
	m.closeListeners()
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
	m.upstreams.CloseIdleConnections()
	m.accepts.Wait()
	m.handing.Wait()
	m.loops.close()
	owned.Wait()
	return nil
}

// StopAccepting leaves the listeners to a successor that shares them. What is
// connected is served on; HTTP connections close after their next answer, so that
// clients come back to the successor.
func (m *Mux) StopAccepting() {
	m.mu.Lock()
	m.leaving = true
	m.closeListeners()
	m.mu.Unlock()
	m.http.SetKeepAlivesEnabled(false)
}

// closeListeners ends accepting. Call it under mu.
func (m *Mux) closeListeners() {
	for _, ln := range m.serving {
		ln.Close()
	}
	for d := range m.doors {
		d.close()
	}
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
		var c net.Conn
		var err error
		if d := m.open(ln); d != nil {
			if err = d.wait(); err == nil {
				pause = shortest
				continue
			}
		} else {
			c, err = ln.Accept()
		}
		if tcp, ok := ln.(*net.TCPListener); ok && errors.Is(err, os.ErrDeadlineExceeded) {
			tcp.SetDeadline(time.Time{}) // SetForwards wants to know who accepts
			continue
		}
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

// Stats returns a snapshot.
func (m *Mux) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{Open: int64(len(m.conns)), Forwarded: m.passing.Load(), Accepted: make(map[string]uint64), Refused: make(map[string]uint64), AcceptErrors: m.acceptErrors.Load()}
	for k, v := range m.accepted {
		s.Accepted[k] = v
	}
	for k, v := range m.refused {
		s.Refused[k] = v
	}
	return s
}
