// Package signaling is the hub: sessions, rooms and calls by name over the
// WebSocket protocol turnhub.v1, which protocol.md in this folder describes,
// and the account of the people who speak other dialects (its subfolders).
//
// It has two floors. The lower one, internal/delivery, carries numbered, resumable
// streams of messages and knows no room. This package is the upper one: what the
// sessions of those streams are to each other. The directory (directory.go) keeps a
// member for each session, and is told by delivery what happens to it; the Hub
// (hub.go) is what the rest of the program sees of both. Between the floors go plain
// values only (internal/delivery/floors.go).
//
// Locks, from the outside in: what delivery holds while one session's message is
// handled, then hostings.mu, then lobbies.mu, then directory.mu or room.mu, then delivery's own.
// Nothing blocks under any of them: sending is appending to a bounded queue.
package signaling

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/forwarded"
	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// Config is what a Hub is made of. Everything is optional.
type Config struct {
	Limits Limits
	// IceConfig returns an RTCConfiguration as JSON with credentials for the
	// TURN user session, and for how long they are good (0: for ever). user is the
	// session's user name, port that by which its newest socket came.
	IceConfig func(session, user string, port uint16) (config json.RawMessage, life time.Duration)
	// OnChange is told which sessions have lost somebody to relay to, so that
	// the relay takes the permissions away. It must not call the hub's methods
	// that end something.
	OnChange func(sessions ...string)
	// OnEnd is told of a session that ends, before OnChange is, and why: see the reasons
	// of peer-left. It must not call the hub's methods that end something.
	OnEnd func(session, reason string)
	// OnRevoke is told which session the operator has ended.
	OnRevoke func(session string)
	// OnRoom is told of a room that has its first person, or the first in its lobby. It
	// must not block, nor call the hub.
	OnRoom func(room string)
	// OnCall is told of the steps of calls, in the order of each call. It must not block,
	// nor call the hub.
	OnCall func(CallStep)
	Logger *slog.Logger
	// Access checks tokens; nil is access.mode open.
	Access *access.Verifier
	// AllowedOrigins is access.allowed_origins; empty allows every page.
	AllowedOrigins []string
	// ClientAddress says where the person behind a request is; nil is the
	// function of that name.
	ClientAddress func(*http.Request) (netip.AddrPort, bool)
	// Port says by which port that person came; nil is the function of that name.
	Port func(*http.Request) uint16
	// Gateway may have more sockets than another address; nil: there is none.
	Gateway *netaddr.Gateway
	// Absent reaches people who have no session; nil: nobody is reached then.
	Absent Absent
	// Nodes are the streams to other nodes; nil: this is the only one. Node is this one's name.
	Nodes Nodes
	Node  string
	// Seconds is where nodes ask who may go on with a dead one's sessions; nil: nobody may.
	Seconds Seconds
	// Succeeds says that this process has succeeded another one of this node, which sends its
	// people here: they get fresh sessions at once.
	Succeeds bool
	// Secrets are credentials.secrets, by which this process knows what another one of this
	// server, or another node, has said of who is in a hosted room; none: it says nothing.
	Secrets []string
	// Relays are the addresses at which this node relays, as others see them; nil: none.
	Relays func() []netip.Addr
	// Timing is for tests; zero fields take the values of protocol.md.
	Timing Timing
	// Now is the hub's clock, for tests; nil: one that goes on evenly.
	Now func() time.Time
}

// Timing holds the times of the protocol that are delivery's.
type Timing = delivery.Timing

// Limits bounds what one person can ask of the hub.
type Limits = delivery.Limits

// ringFor is until when an unanswered call ends, after about seven rings.
const ringFor = 45 * time.Second

// Hub joins people. Safe for concurrent use.
type Hub struct {
	cfg            Config
	log            *slog.Logger
	now            func() time.Time // the hub's clock, see clock.go
	day            func() time.Time // the time of day, for the expiry of tokens alone
	callID         func() string
	ring           time.Duration
	timers         *timers.Timers
	stats          stats
	node           *delivery.Node
	directory      *directory
	dialectClients dialectClients
	elsewhere      *seenElsewhere // nil: there are no other nodes
	departed       departed
	began          time.Time                      // by the hub's clock
	guesses        *ratelimit.Table[netip.Prefix] // see keeps
	seats          *seats
	second         *second // where this node's sessions are kept as well; nil: nowhere
	wanted         wanted
}

// NewHub returns a hub that takes connections at once; Serve drives its times.
func NewHub(cfg Config) *Hub {
	h := &Hub{
		cfg:    cfg,
		log:    cfg.Logger,
		now:    cfg.Now,
		day:    time.Now,
		callID: newCallID,
		ring:   ringFor,
		timers: timers.New(),
		dialectClients: dialectClients{
			clients: make(map[*DialectClient]struct{}),
			seen:    make(map[netip.Addr]int),
			rooms:   make(map[string]int),
		},
	}
	if h.now == nil {
		h.now = steady()
	}
	h.began, h.guesses = h.now(), ratelimit.NewTable[netip.Prefix](4096)
	h.seats = newSeats(cfg.Secrets, h.now())
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.cfg.ClientAddress == nil {
		h.cfg.ClientAddress = forwarded.New(nil, nil).ClientAddress
	}
	if h.cfg.Port == nil {
		h.cfg.Port = forwarded.New(nil, nil).Port
	}
	h.directory = newDirectory(h)
	out := cfg.Nodes
	var mirror delivery.Mirror
	var prefix func() string
	var elsewhere func(session, token string) bool
	if cfg.Nodes != nil && cfg.Seconds != nil {
		h.second = newSecond(h, cfg.Nodes, cfg.Seconds, newRun())
		h.timers.Surround(h.enter, h.leave)
		out, mirror, prefix, elsewhere = h.second, h.second, h.second.prefix, h.resumes
	}
	h.node = delivery.New(delivery.Config{
		Mirror: mirror, TokenPrefix: prefix, Elsewhere: elsewhere,
		Meaning: h.directory, Timers: h.timers,
		Now: func() time.Time { return h.now() }, Day: func() time.Time { return h.day() },
		Timing: cfg.Timing, Limits: cfg.Limits, Log: h.log, Access: cfg.Access, Origins: cfg.AllowedOrigins,
		ClientAddress: h.cfg.ClientAddress, Port: h.cfg.Port, Gateway: cfg.Gateway, IceConfig: cfg.IceConfig,
	})
	h.directory.post = h.node
	if cfg.Nodes != nil {
		h.directory.post = post{h.node}
		h.directory.nodes = newNodes(h.directory, cfg.Node, out, cfg.Relays)
	}
	return h
}

// newCallID returns the id of a new call, which nobody can guess.
func newCallID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return "c_" + base64.RawURLEncoding.EncodeToString(b)
}

// ServeHTTP is GET /ws, and GET /ws/ with any one part after it.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.node.ServeHTTP(w, r) }

// SetLimits replaces the limits, as on a reload. What is open stays open.
func (h *Hub) SetLimits(l Limits) { h.node.SetLimits(l) }

// SetAllowedOrigins replaces access.allowed_origins, as on a reload.
func (h *Hub) SetAllowedOrigins(origins []string) { h.node.SetAllowedOrigins(origins) }

// RefreshConfig gives every session a new RTCConfiguration: the URLs have changed.
func (h *Hub) RefreshConfig() { h.node.RefreshConfig() }

// TokenGrace is for how long a connection outlives its access token: a call does
// not end in the middle of a word, and the client has the time to bring a new one.
func (h *Hub) TokenGrace() time.Duration { return h.node.TokenGrace() }

// Serve runs the hub's timers until ctx ends, then closes the hub.
func (h *Hub) Serve(ctx context.Context) error {
	var sending sync.WaitGroup
	if h.second != nil {
		sending.Go(func() { h.second.serve(ctx) })
	}
	h.timers.Serve(ctx, h.now)
	sending.Wait()
	h.Close()
	return nil
}

// Restart tells every client that the server is going down and when to come
// back, spread evenly over smear, and lets nobody new in. Their sockets close
// with 4005.
func (h *Hub) Restart(smear time.Duration) {
	h.enter()
	defer h.leave()
	if h.second != nil {
		h.second.stop()
	}
	h.node.Drain()
	h.dialectClients.part()
	h.departed.begin(true)
	h.directory.endAccounts("restart")
	h.node.SendAway(smear)
	for _, c := range h.dialectClients.all() {
		c.end()
	}
}

// Reopen lets people in again after a Restart: the process that was to take over
// has ended. Who was here before and does not come back soon is gone: most have a
// session of that other process by now, and come as somebody new.
func (h *Hub) Reopen() {
	h.directory.departing.Store(false)
	h.dialectClients.forget()
	h.departed.begin(false)
	h.node.Reopen()
	if h.second != nil {
		h.enter()
		defer h.leave()
		h.second.resume()
	}
}

// Close ends every socket and waits until their goroutines are gone. Clients
// that were not told before are told now. Calling it twice is harmless.
func (h *Hub) Close() {
	if !h.node.Draining() {
		h.Restart(2 * time.Second)
	}
	h.node.Close()
}

// Revoke ends the session with that id, or all sessions, dialect sockets and sockets
// without hello of that user and of those whom the user has invited, with 4004, and refuses from now on the tokens and the
// credentials that were given out until now. It returns how many it ended. With an
// error that is done, but does not outlast a restart.
func (h *Hub) Revoke(user string) (int, error) {
	if user == "" {
		return 0, nil
	}
	n := h.revoke(user, h.cfg.Access.Mark)
	return n, h.cfg.Access.Keep() // last: the disk may be slow
}

// Revoked is Revoke for what was revoked at a time on another node: tokens and
// credentials of later stay good. What it has done outlasts a restart once
// access.Verifier.Keep has been called.
func (h *Hub) Revoked(user string, at time.Time) int {
	if user == "" || !at.After(h.cfg.Access.RevokedAt(user)) {
		return 0
	}
	return h.revoke(user, func(name string) { h.cfg.Access.Add(map[string]time.Time{name: at}) })
}

// revoke ends what there is of a user or session. mark refuses a name from now on.
func (h *Hub) revoke(user string, mark func(name string)) int {
	mark(user)
	h.enter()
	defer h.leave()
	if h.cfg.Absent != nil {
		h.cfg.Absent.Forget(user)
	}
	h.node.ShutOut(func(c access.Claims) bool { return c.User == user || c.InvitedBy(user) })
	var ended []*member
	if strings.HasPrefix(user, SessionPrefix) {
		if s := h.directory.members.Get(user); s != nil && s.node == nil {
			ended = append(ended, s)
		}
	} else {
		for _, s := range h.directory.own() {
			if s.user == user || slices.Contains(s.inviters, user) {
				ended = append(ended, s)
			}
		}
		for _, id := range h.departed.of(user) {
			if access.IsGuest(user) {
				mark(id)
			}
			if h.cfg.OnRevoke != nil {
				h.cfg.OnRevoke(id)
			}
		}
	}
	if x := h.directory.nodes; x != nil {
		x.revokeImages(user)
	}
	n := len(ended)
	for _, s := range ended {
		if access.IsGuest(s.user) {
			mark(s.id) // credentials of a guest's sessions do not tell which guest's
		}
		h.directory.post.End(s.ref, "revoked", wire.CloseRevoked)
		if h.cfg.OnRevoke != nil {
			h.cfg.OnRevoke(s.id)
		}
	}
	for _, c := range h.dialectClients.all() {
		if c.info.Claims.User == user || c.info.Claims.InvitedBy(user) {
			c.end()
			n++
		}
	}
	return n
}

// EndCall ends a call by its id. It reports whether there was one.
func (h *Hub) EndCall(id string) bool {
	h.enter()
	defer h.leave()
	return h.directory.endCall(id)
}

func (h *Hub) changed(sessions ...string) {
	if h.cfg.OnChange != nil && len(sessions) > 0 {
		h.cfg.OnChange(sessions...)
	}
}
