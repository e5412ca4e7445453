// Package signaling is the hub: sessions, rooms and calls by name over the
// WebSocket protocol turnhub.v1, which protocol.md in this folder describes,
// and the account of the people who speak other dialects (its subfolders).
//
// A session (session.go) outlives its socket (conn.go): it numbers what it
// sends, keeps it until it is acknowledged, and hands it to whichever socket it
// has. Sockets only carry; what sessions know of each other (rooms, users,
// calls) lies behind one interface (state.go).
//
// Locks, from the outside in: Session.in (one message of a session at a time),
// then directory.mu or room.mu, then Session.mu, then timers.mu. Nothing blocks
// under any of them: sending is appending to a bounded queue.
package signaling

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/forwarded"
	"turnhub/internal/netaddr"
)

// Config is what a Hub is made of. Everything is optional.
type Config struct {
	Limits Limits
	// IceConfig returns an RTCConfiguration as JSON with credentials for the
	// TURN user session, and for how long they are good (0: for ever). user is the
	// session's user name.
	IceConfig func(session, user string) (config json.RawMessage, life time.Duration)
	// OnChange is told which sessions have lost somebody to relay to, so that
	// the relay takes the permissions away. It must not call the hub's methods
	// that end something.
	OnChange func(sessions ...string)
	// OnRevoke is told which session the operator has ended.
	OnRevoke func(session string)
	Logger   *slog.Logger
	// Access checks tokens; nil is access.mode open.
	Access *access.Verifier
	// AllowedOrigins is access.allowed_origins; empty allows every page.
	AllowedOrigins []string
	// ClientAddress says where the person behind a request is; nil is the
	// function of that name.
	ClientAddress func(*http.Request) (netip.AddrPort, bool)
	// Timing is for tests; zero fields take the values of protocol.md.
	Timing Timing
}

// Timing holds the protocol's times.
type Timing struct {
	Hello     time.Duration // until hello must have come
	Heartbeat time.Duration // between a client's pings
	InCall    time.Duration // the same while it is with others
	Timeout   time.Duration // after which a client takes its socket for dead
	Away      time.Duration // after which the others are told that a socket is lost
	Window    time.Duration // for which a session waits for its next socket
	Ring      time.Duration // until an unanswered call ends
	Ack       time.Duration // within which a message is acknowledged
	Write     time.Duration // for which a socket may block a write
	Close     time.Duration // for which a Close waits for the other side's
	Notice    time.Duration // before an access token expires, that its client is told
	Grace     time.Duration // for which a connection outlives its access token
}

func (t Timing) withDefaults() Timing {
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&t.Hello, 10*time.Second)
	set(&t.Heartbeat, 15*time.Second)
	set(&t.InCall, time.Second)
	set(&t.Timeout, 4*time.Second)
	set(&t.Away, 2*time.Second)
	set(&t.Window, time.Minute)
	set(&t.Ring, 45*time.Second)
	set(&t.Ack, time.Second)
	set(&t.Write, 10*time.Second)
	set(&t.Close, time.Second)
	set(&t.Notice, time.Minute)
	set(&t.Grace, 30*time.Second)
	return t
}

// silence is after how long without anything a socket counts as dead.
func (t Timing) silence() time.Duration { return t.Heartbeat * 5 / 2 }

// Hub joins people. Safe for concurrent use.
type Hub struct {
	cfg    Config
	timing Timing
	log    *slog.Logger
	now    func() time.Time // the hub's clock, see clock.go
	day    func() time.Time // the time of day, for Hub.until alone
	callID func() string
	timers *timers
	stats  stats

	limit     atomic.Pointer[Limits]
	origins   atomic.Pointer[[]string]
	sessions  sessions
	state     state
	strangers strangers
	departed  departed
	sockets   netaddr.Counts // every socket, of dialects too
	people    netaddr.Counts // sessions by the address that opened them

	draining atomic.Bool  // written under letting: who is let in under it has been told of the end, or sees it
	letting  sync.RWMutex // held while somebody is let in; before all other locks
	gate     sync.RWMutex // closed is set under it
	closed   bool
	conns    map[*conn]struct{} // under gate
	pollers  []*poller          // under gate
	turn     int                // under gate: whose turn it is to take a socket
	wait     sync.WaitGroup     // the sockets' goroutines
}

// NewHub returns a hub that takes connections at once; Serve drives its times.
func NewHub(cfg Config) *Hub {
	h := &Hub{
		cfg:    cfg,
		timing: cfg.Timing.withDefaults(),
		log:    cfg.Logger,
		now:    steady(),
		day:    time.Now,
		callID: func() string { return "c_" + secretText(12) },
		timers: newTimers(),
		conns:  make(map[*conn]struct{}),
		strangers: strangers{
			sockets: make(map[*Socket]struct{}),
			seen:    make(map[netip.Addr]int),
			rooms:   make(map[string]int),
		},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.cfg.ClientAddress == nil {
		h.cfg.ClientAddress = forwarded.New(nil, nil).ClientAddress
	}
	h.SetLimits(cfg.Limits)
	h.SetAllowedOrigins(cfg.AllowedOrigins)
	h.sessions.init()
	h.state = newDirectory(h)
	return h
}

func (h *Hub) limits() *Limits { return h.limit.Load() }

// SetLimits replaces the limits, as on a reload. What is open stays open.
func (h *Hub) SetLimits(l Limits) {
	l = l.withDefaults()
	h.limit.Store(&l)
}

// SetAllowedOrigins replaces access.allowed_origins, as on a reload.
func (h *Hub) SetAllowedOrigins(origins []string) {
	if len(origins) == 0 {
		origins = []string{"*"}
	}
	h.origins.Store(&origins)
}

// Serve runs the hub's timers until ctx ends, then closes the hub.
func (h *Hub) Serve(ctx context.Context) error {
	h.timers.serve(ctx, h.now)
	h.Close()
	return nil
}

// Restart tells every client that the server is going down and when to come
// back, spread evenly over smear, and lets nobody new in. Their sockets close
// with 4005.
func (h *Hub) Restart(smear time.Duration) {
	h.letting.Lock()
	h.draining.Store(true)
	h.letting.Unlock()
	h.gate.Lock()
	for c := range h.conns {
		if c.sess == nil {
			c.turnBack()
		}
	}
	h.gate.Unlock()
	h.strangers.part()
	h.departed.begin(true)
	const soonest = 250 * time.Millisecond
	for _, s := range h.sessions.all() {
		after := soonest
		if smear > soonest {
			after += rand.N(smear - soonest)
		}
		s.push(open("restart", 16).num("after", uint64(after.Milliseconds())))
		s.shut(CloseRestart)
	}
	for _, s := range h.strangers.all() {
		s.end()
	}
}

// Reopen lets people in again after a Restart: the process that was to take over
// has ended. Who was here before and does not come back soon is gone: most have a
// session of that other process by now, and come as somebody new.
func (h *Hub) Reopen() {
	h.letting.Lock()
	h.draining.Store(false)
	h.letting.Unlock()
	h.strangers.forget()
	h.departed.begin(false)
	for _, s := range h.sessions.all() {
		s.mu.Lock()
		if s.conn == nil && !s.ended {
			s.lostAt, s.window = h.now(), min(s.window, reopenWindow)
			s.schedule()
		}
		s.mu.Unlock()
	}
}

// reopenWindow is the window of a session that was sent to a process which has ended
// since. Its calls are relayed for as long, which must be enough to come back.
const reopenWindow = 20 * time.Second

// Close ends every socket and waits until their goroutines are gone. Clients
// that were not told before are told now. Calling it twice is harmless.
func (h *Hub) Close() {
	if !h.draining.Load() {
		h.Restart(2 * time.Second)
	}
	h.gate.Lock()
	h.closed = true
	pollers := h.pollers
	h.pollers = nil
	h.gate.Unlock()
	last := time.AfterFunc(h.timing.Close, func() { // those that have said no hello yet, too
		h.gate.Lock()
		defer h.gate.Unlock()
		for c := range h.conns {
			_ = c.nc.Close()
		}
	})
	defer last.Stop()
	h.wait.Wait()
	for _, p := range pollers {
		p.close()
	}
}

// RefreshConfig gives every session a new RTCConfiguration: the URLs have changed.
// Few get it at once, as after a restart, when calls wait for it; many within two
// seconds.
func (h *Hub) RefreshConfig() {
	now := h.now()
	all := h.sessions.all()
	spread := min(time.Duration(len(all)-1)*time.Millisecond, 2*time.Second)
	for _, s := range all {
		s.renewAt(now.Add(rand.N(spread + 1)))
	}
}

// Revoke ends the session with that id, or all sessions, dialect sockets and sockets
// without hello of that user and of those whom the user has invited, with 4004, and refuses from now on the tokens and the
// credentials that were given out until now. It returns how many it ended. With an
// error that is done, but does not outlast a restart.
func (h *Hub) Revoke(user string) (int, error) {
	if user == "" {
		return 0, nil
	}
	h.cfg.Access.Mark(user)
	h.shutOut(user)
	var ended []*Session
	if strings.HasPrefix(user, SessionPrefix) {
		if s := h.sessions.get(user); s != nil {
			ended = append(ended, s)
		}
	} else {
		for _, s := range h.sessions.all() {
			if s.user == user || s.began.InvitedBy(user) {
				ended = append(ended, s)
			}
		}
		for _, id := range h.departed.of(user) {
			if access.IsGuest(user) {
				h.cfg.Access.Mark(id)
			}
			if h.cfg.OnRevoke != nil {
				h.cfg.OnRevoke(id)
			}
		}
	}
	n := len(ended)
	for _, s := range ended {
		if access.IsGuest(s.user) {
			h.cfg.Access.Mark(s.id) // credentials of a guest's sessions do not tell which guest's
		}
		s.end("revoked", CloseRevoked)
		if h.cfg.OnRevoke != nil {
			h.cfg.OnRevoke(s.id)
		}
	}
	for _, s := range h.strangers.all() {
		if s.info.Claims.User == user || s.info.Claims.InvitedBy(user) {
			s.end()
			n++
		}
	}
	return n, h.cfg.Access.Keep() // last: the disk may be slow
}

// shutOut returns when everybody who is being let in has either been entered where
// Revoke looks, or will see that user is revoked. Sockets of the user that have not
// said hello end.
func (h *Hub) shutOut(user string) {
	h.letting.Lock()
	defer h.letting.Unlock()
	h.gate.Lock()
	defer h.gate.Unlock()
	for c := range h.conns {
		if c.sess == nil && (c.claims.User == user || c.claims.InvitedBy(user)) {
			c.turnBack()
		}
	}
}

// EndCall ends a call by its id. It reports whether there was one.
func (h *Hub) EndCall(id string) bool { return h.state.endCall(id) }

func (h *Hub) changed(sessions ...string) {
	if h.cfg.OnChange != nil && len(sessions) > 0 {
		h.cfg.OnChange(sessions...)
	}
}
