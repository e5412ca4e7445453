// Package delivery is the lower floor of the hub: numbered, resumable streams of
// messages (turnhub.v1, signaling/protocol.md) over WebSockets.
//
// A session outlives its socket (conn.go): it numbers what it sends, keeps it until
// it is acknowledged (outbox.go), and hands it to whichever socket it has. It opens
// and comes back by a handshake (handshake.go), reads numbers off what comes
// (receive.go), and ends when its client is lost, revoked, too slow or too fast. What
// sessions are to each other, and what their messages mean, is the business of the
// floor above, behind the five calls of Meaning (floors.go).
//
// Locks, from the outside in: Node.letting, session.in (one message of a session at a
// time), the locks of the floor above, then session.mu, then those of timers.
// Nothing blocks under any of them: sending is appending to a bounded queue.
package delivery

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/lookup"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Config is what a Node is made of. Access and IceConfig may be nil; all else is
// needed.
type Config struct {
	Meaning       Meaning
	Timers        *timers.Timers
	Now           func() time.Time // the hub's clock, which goes on evenly
	Day           func() time.Time // the time of day, for the expiry of tokens alone
	Timing        Timing
	Limits        Limits
	Log           *slog.Logger
	Access        *access.Verifier
	Origins       []string
	ClientAddress func(*http.Request) (client netip.AddrPort, direct bool)
	// Gateway may have more sockets than another address; nil: there is none.
	Gateway *netaddr.Gateway
	// Port says by which port the person behind a request came.
	Port func(*http.Request) uint16
	// IceConfig returns a session's RTCConfiguration and for how long it is good.
	IceConfig func(session, user string, port uint16) (config json.RawMessage, life time.Duration)
	// Mirror keeps images of the sessions; nil: nobody does.
	Mirror Mirror
	// TokenPrefix returns what the secrets by which sessions are resumed have in front of them
	// while they are this node's: the process, and a dot. nil: nothing.
	TokenPrefix func() string
	// Elsewhere reports whether a session that is not here may be on another node, or be
	// here in a moment; nil: it never is.
	Elsewhere func(session, token string) bool
}

// Node holds the sessions of one process. Safe for concurrent use.
type Node struct {
	cfg     Config
	meaning Meaning
	timing  Timing
	log     *slog.Logger
	now     func() time.Time
	day     func() time.Time
	timers  *timers.Timers
	stats   stats

	limit    atomic.Pointer[Limits]
	origins  atomic.Pointer[[]string]
	media    atomic.Pointer[[]byte] // what a welcome says of media sockets; nil: there are none
	push     atomic.Pointer[[]byte] // what it says of push to who has a name; nil: there is none
	sessions lookup.ByNumber[session]
	byID     *lookup.ByName[session]
	sockets  netaddr.Counts // every socket, of dialects too
	people   netaddr.Counts // sessions by the address that opened them

	draining atomic.Bool  // written under letting: who is let in under it has been told of the end, or sees it
	gated    atomic.Bool  // sessions open with their gates closed, see mirror.go
	emptying atomic.Bool  // likewise: draining, but who was here may come back, see Empty
	letting  sync.RWMutex // held while somebody is let in; before all other locks
	gate     sync.RWMutex // closed is set under it
	closed   bool
	conns    map[*conn]struct{} // under gate
	loops    *wsock.Loops
	wait     sync.WaitGroup // sockets
}

// New returns a node that takes connections at once. Its times are driven by
// Config.Timers.
func New(cfg Config) *Node {
	n := &Node{
		cfg: cfg, meaning: cfg.Meaning, timing: cfg.Timing.withDefaults(), log: cfg.Log,
		now: cfg.Now, day: cfg.Day, timers: cfg.Timers,
		byID: lookup.NewByName[session](), conns: make(map[*conn]struct{}),
	}
	n.loops = wsock.NewLoops(cfg.Now, func(err error) {
		n.log.Error("no event loop: each socket gets a goroutine", "error", err)
	})
	if cfg.Mirror != nil { // half of what is done is what other nodes say
		n.loops.Share()
	}
	n.SetLimits(cfg.Limits)
	n.SetAllowedOrigins(cfg.Origins)
	return n
}

// SetMeaning puts another floor above, before anybody connects: whoever stands between
// the two, such as another node.
func (n *Node) SetMeaning(m Meaning) { n.meaning = m }

func (n *Node) limits() *Limits { return n.limit.Load() }

// Limits returns the limits of the moment.
func (n *Node) Limits() Limits { return *n.limit.Load() }

// SetLimits replaces the limits, as on a reload. What is open stays open.
func (n *Node) SetLimits(l Limits) {
	l = l.withDefaults()
	n.limit.Store(&l)
}

// SetAllowedOrigins replaces access.allowed_origins, as on a reload.
func (n *Node) SetAllowedOrigins(origins []string) {
	if len(origins) == 0 {
		origins = []string{"*"}
	}
	n.origins.Store(&origins)
}

// SetPush says by which public key clients with a name subscribe to be rung while they are
// away; empty: they do not.
func (n *Node) SetPush(key string) {
	if key == "" {
		n.push.Store(nil)
		return
	}
	b := wire.Inner("key", key).End()
	n.push.Store(&b)
}

// SetMedia says where media may go through a WebSocket, as seen from the hub's own, and the
// largest frame in bytes; an empty path: nowhere. Each try may be at a path of its own below it.
func (n *Node) SetMedia(path string, frame int) {
	if path == "" {
		n.media.Store(nil)
		return
	}
	b := []byte(wire.Inner("path", path).Number("frame", uint64(frame)).Text("tries", path+"/").End())
	n.media.Store(&b)
}

// AllowsOrigin reports whether a page of the request's Origin may connect.
func (n *Node) AllowsOrigin(r *http.Request) bool { return access.AllowOrigin(r, *n.origins.Load()) }

// forget takes a session off the node's books.
func (n *Node) forget(s *session) {
	n.byID.Remove(s.id, s)
	n.sessions.Remove(uint64(s.ref))
	n.people.Remove(s.opener, 1)
}

// Admit lets somebody in who speaks another dialect, from addr: entered is called
// while nobody is shut out, so that a revocation either finds who entered or is seen
// here. The error is ErrDrain, ErrFull or access.ErrRevoked. Leave ends it.
func (n *Node) Admit(addr netip.Addr, claims access.Claims, entered func()) error {
	n.letting.RLock() // as for hello
	defer n.letting.RUnlock()
	if n.draining.Load() {
		n.stats.refused.Add("draining")
		return ErrDrain
	}
	if claims.Revoked() {
		n.stats.refused.Add("token")
		return access.ErrRevoked
	}
	if over := n.sockets.Add(addr, 1, n.limits().sockets(n.cfg.Gateway.Times(addr))); over != netaddr.Within {
		n.stats.refused.Add(string(over))
		return ErrFull
	}
	entered()
	return nil
}

// Leave ends Admit.
func (n *Node) Leave(addr netip.Addr) { n.sockets.Remove(addr, 1) }

// ShutOut returns when everybody who is being let in has either entered, or will see
// that their token is revoked. Sockets of theirs that have not said hello end.
func (n *Node) ShutOut(theirs func(access.Claims) bool) {
	n.letting.Lock()
	defer n.letting.Unlock()
	n.gate.Lock()
	defer n.gate.Unlock()
	for c := range n.conns {
		if c.sess == nil && theirs(c.claims) {
			c.turnBack()
		}
	}
}

// Draining reports whether the server is going down.
func (n *Node) Draining() bool { return n.draining.Load() }

// Drain lets nobody new in from now on.
func (n *Node) Drain() {
	n.letting.Lock()
	n.draining.Store(true)
	n.emptying.Store(false)
	n.letting.Unlock()
	n.gate.Lock()
	defer n.gate.Unlock()
	for c := range n.conns {
		if c.sess == nil {
			c.turnBack()
		}
	}
}

// SendAway tells every client that the server is going down and when to come back,
// spread evenly over smear. Their sockets close with 4005.
func (n *Node) SendAway(smear time.Duration) {
	const soonest = 250 * time.Millisecond
	for _, s := range n.byID.All() {
		after := soonest
		if smear > soonest {
			after += rand.N(smear - soonest)
		}
		s.push(wire.Begin("restart", 16).Number("after", uint64(after.Milliseconds())))
		s.shut(wire.CloseRestart)
	}
}

// Reopen lets people in again after Drain. Who was here before and does not come back
// soon is gone.
func (n *Node) Reopen() {
	n.letting.Lock()
	n.draining.Store(false)
	n.letting.Unlock()
	for _, s := range n.byID.All() {
		s.mu.Lock()
		if s.conn == nil && !s.ended {
			s.lostAt, s.window = n.now(), min(s.window, reopenWindow)
			s.schedule()
		}
		s.mu.Unlock()
	}
}

// Loops carry sockets.
type Loops = wsock.Loops

// Loops carry the hub's sockets, and those of dialects while the hub is open.
func (n *Node) Loops() *Loops { return n.loops }

// Close waits, after Drain and SendAway, until every socket is gone and the event loops
// are over, but for those that carry a dialect's socket still. Calling it twice is harmless.
func (n *Node) Close() {
	n.gate.Lock()
	n.closed = true
	n.gate.Unlock()
	last := time.AfterFunc(n.timing.Close, func() { // those that have said no hello yet, too
		n.gate.Lock()
		defer n.gate.Unlock()
		for c := range n.conns {
			if c.line != nil {
				c.line.Abort()
			}
		}
	})
	defer last.Stop()
	n.wait.Wait()
	n.loops.Close()
}

// RefreshConfig gives every session a new RTCConfiguration: the URLs have changed.
// Few get it at once, as after a restart, when calls wait for it; many within two
// seconds.
func (n *Node) RefreshConfig() {
	now := n.now()
	all := n.byID.All()
	spread := min(time.Duration(len(all)-1)*time.Millisecond, 2*time.Second)
	for _, s := range all {
		s.renewAt(now.Add(rand.N(spread + 1)))
	}
}
