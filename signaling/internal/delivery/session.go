package delivery

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/ratelimit"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// session is a numbered, resumable stream of one client. It outlives its socket by
// the window.
type session struct {
	node   *Node
	ref    Ref
	id     string
	user   string
	token  string   // the secret with which it is resumed
	olds   []string // under mu: earlier ones, which its client may know instead
	opener netip.Addr

	// in is held while one of the session's messages is handled, and while it
	// opens, resumes or ends: these never overlap.
	in       sync.Mutex
	messages ratelimit.Meter // received, under in
	reader   *conn           // under in: the socket whose message is being handled
	number   uint64          // under in: that message's number; 0: it has none
	anew     bool            // under in: it was handled once already, see redo
	claims   access.Claims   // under in
	seen     netip.Addr      // under in: where the newest socket came from, see netaddr.SeenAddress

	// parting says that it is being sent to another node, see Stop. Written under in.
	parting atomic.Bool

	mu               sync.Mutex
	conn             *conn // nil: lost
	out              outbox
	handled          uint64   // highest number of the client's that is handled
	told             uint64   // highest number that is acknowledged to the client
	mayWrite, mayAck uint64   // the gates: see mirror.go
	held             []uint64 // handled, but not to be acknowledged yet, see Hold
	gone             bool     // the others have been told that it is away
	ended            bool
	mirrored         bool   // there is a mirror, which never changes
	port             uint16 // by which its newest socket came, see Config.Port
	doom             string // it must end, for this reason
	adopted          bool   // it was another node's
	leaving          uint64 // it ends when this number may be written; 0: it does not
	lostAt           time.Time
	window           time.Duration
	ackAt            time.Time // zero where nothing waits for that time
	renew            time.Time
	notice           time.Time // when to say that the access token will expire
	expiry           time.Time // when the session ends because it has
	timer            timers.Timer
	imaged           uint64   // the newest number that Take has returned
	again            []uint64 // of held, those that are done again when they come, see redo
}

func (n *Node) session(ref Ref) *session { return n.sessions.Get(uint64(ref)) }

// standing is what may change of a session. session.in is held.
func (s *session) standing() Standing {
	return Standing{Seen: s.seen, Rooms: s.claims.Rooms, Host: s.claims.Host}
}

// push sends a numbered message: now, or when the socket is back. A session that
// does not take what it is sent ends with 4008.
func (s *session) push(b wire.Object) { s.pushBy(nil, b) }

// pushBy is push for what a message on the socket by has caused: its reader writes
// it. It reports whether the session has a socket.
func (s *session) pushBy(by *conn, b wire.Object) (reached bool) {
	return s.pushItem(item{text: b}, by)
}

func (s *session) pushItem(b item, by *conn) (reached bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(b, by)
	return s.conn != nil && !s.ended
}

func (s *session) pushLocked(b item, by *conn) {
	switch {
	case s.ended || s.doom != "":
	case s.out.add(b):
		s.changed()
		if s.mayWrite >= s.out.last() { // or there is nothing to write before open
			s.kick(by)
		}
	default:
		s.node.stats.dropped.Add("slow")
		s.doomLocked("lost", wire.CloseSlow)
	}
}

// readerOf returns the socket whose message is being handled on this goroutine: the
// one of the session cause, if that is not 0.
func (n *Node) readerOf(cause Ref) *conn {
	if cause == 0 {
		return nil
	}
	if s := n.session(cause); s != nil {
		return s.reader
	}
	return nil
}

// Send implements Post.
func (n *Node) Send(to, cause Ref, b wire.Object) (reached bool) {
	s := n.session(to)
	return s != nil && s.pushItem(item{text: b, cause: cause}, n.readerOf(cause))
}

// Fits implements Post.
func (n *Node) Fits(to, cause Ref, bytes int) bool {
	s := n.session(to)
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fitsLocked(cause, bytes)
}

// fitsLocked is outbox.fits of a session with a socket. Nobody is held up for one
// without: what waits for it is bounded by its end.
func (s *session) fitsLocked(cause Ref, bytes int) bool {
	return s.conn == nil || s.out.fits(cause, bytes, s.node.now)
}

// SendOnly implements Post.
func (n *Node) SendOnly(to, cause Ref, b wire.Object, buffer *[]byte) (fits bool) {
	return n.SendAs(to, cause, b, buffer, 0, false)
}

// SendAs implements Post.
func (n *Node) SendAs(to, cause Ref, b wire.Object, buffer *[]byte, number uint64, must bool) (fits bool) {
	s := n.session(to)
	if s == nil {
		return true
	}
	reader := n.readerOf(cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	fits = s.fitsLocked(cause, len(b))
	if !fits && !must {
		if buffer != nil {
			freeBuffer(buffer)
		}
		return false
	}
	s.pushLocked(item{b, buffer, cause, number}, reader)
	return fits
}

// doomLocked ends the session from the timers' goroutine: whoever is here holds
// locks that ending needs.
func (s *session) doomLocked(reason string, code wire.CloseCode) {
	if s.doom != "" || s.ended {
		return
	}
	s.doom = reason
	s.out.drop()
	if s.conn != nil {
		s.conn.shutLocked(code)
	}
	s.node.timers.Set(&s.timer, s.node.now())
}

// loose sends a message without number: it is lost with the socket.
func (s *session) loose(b wire.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looseLocked(b, s.reader)
}

func (s *session) looseLocked(b wire.Object, by *conn) {
	if c := s.conn; c != nil && len(c.loose) < maxLoose {
		c.loose = append(c.loose, b)
		s.kick(by)
	}
}

// kick gets the socket's writer going.
func (s *session) kick(by *conn) {
	if c := s.conn; c != nil {
		c.kick(by)
	}
}

// shut ends the session's socket with a code.
func (s *session) shut(code wire.CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.shutLocked(code)
	}
}

// end ends the session. reason is what the others are told, code what its
// socket is, if it has one.
func (s *session) end(reason string, code wire.CloseCode) {
	s.in.Lock()
	defer s.in.Unlock()
	s.endIn(reason, code)
}

// End implements Post. It waits for a message of the session that is being handled.
func (n *Node) End(ref Ref, reason string, code wire.CloseCode) {
	if s := n.session(ref); s != nil {
		s.end(reason, code)
	}
}

// endIn is end with session.in held.
func (s *session) endIn(reason string, code wire.CloseCode) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if s.conn != nil {
		s.conn.shutLocked(code)
	}
	if s.conn == nil || !s.conn.code.Flushes() {
		s.out.drop()
	}
	s.mu.Unlock()
	s.node.timers.Stop(&s.timer)
	s.node.logSession("session ended", s, "reason", reason)
	s.node.meaning.Ended(s.ref, reason)
	s.node.forget(s)
}

// lost is told that a socket of the session is gone. code is what it was closed
// with, goingAway that its page went.
func (s *session) lost(c *conn, goingAway bool) {
	s.node.enter()
	defer s.node.leave()
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return
	}
	s.conn = nil
	s.lostAt = s.node.now()
	s.window = s.node.timing.Window
	if goingAway {
		s.window = min(s.window, pageWindow)
	}
	if c.code == wire.CloseRestart && !s.node.draining.Load() { // it was reopened meanwhile
		s.window = min(s.window, reopenWindow)
	}
	end := !s.ended && c.code != 0 && !c.code.Lives() && c.code != wire.CloseRestart
	reason, code := "lost", c.code
	if s.leaving != 0 && !s.ended {
		end, reason, code = true, "leave", wire.CloseNormal
	}
	if !s.ended && !end {
		s.schedule()
	}
	s.mu.Unlock()
	if end {
		s.end(reason, code)
	}
}

// schedule sets the timer to the earliest thing that waits. session.mu is held.
func (s *session) schedule() {
	var at time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if s.conn == nil {
		earlier(s.lostAt.Add(s.window))
		if !s.gone {
			earlier(s.lostAt.Add(s.node.timing.Away))
		}
	} else {
		earlier(time.Unix(0, s.conn.heard.Load()).Add(s.node.timing.silence()))
		earlier(s.ackAt)
		earlier(s.renew)
		earlier(s.notice)
		earlier(s.expiry)
		if s.leaving != 0 && s.mayWrite >= s.leaving {
			at = s.node.now()
		}
	}
	s.node.timers.Set(&s.timer, at)
}

// tick does what is due. It runs on the timers' goroutine.
func (s *session) tick(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	if s.doom != "" || s.conn == nil && due(s.lostAt.Add(s.window)) {
		s.mu.Unlock()
		s.expire(now)
		return
	}
	if s.leaving != 0 && s.mayWrite >= s.leaving {
		s.mu.Unlock()
		s.end("leave", wire.CloseNormal)
		return
	}
	renew := false
	away := s.conn == nil && !s.gone && due(s.lostAt.Add(s.node.timing.Away))
	if c := s.conn; c != nil {
		if due(time.Unix(0, c.heard.Load()).Add(s.node.timing.silence())) {
			c.shutLocked(wire.CloseSilent)
			c.heard.Store(now.UnixNano()) // the socket's end comes by itself
		}
		if due(s.ackAt) {
			s.ackAt = time.Time{}
			c.ackDue = s.settled() != s.told
			c.kick(nil)
		}
		if due(s.renew) {
			s.renew = time.Time{}
			renew = true
		}
		s.tickToken(c, now, due)
	}
	if s.doom != "" { // by one of these
		s.mu.Unlock()
		s.expire(now)
		return
	}
	if away {
		s.gone = true
	}
	s.schedule()
	s.mu.Unlock()
	if away {
		s.tellAway(true)
	}
	if renew {
		s.sendConfig(nil)
	}
}

// expire ends a session that did not come back, unless it just has.
func (s *session) expire(now time.Time) {
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	reason := s.doom
	if reason == "" && s.conn == nil && !s.lostAt.Add(s.window).After(now) {
		reason = "lost"
	}
	s.mu.Unlock()
	if reason != "" {
		s.endIn(reason, wire.CloseSlow)
	}
}

// tellAway tells the others whether the session is away, if that is still so.
func (s *session) tellAway(away bool) {
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	tell := !s.ended && s.gone == away
	s.mu.Unlock()
	if tell {
		s.node.meaning.Away(s.ref, away)
	}
}

// sendConfig sends fresh credentials, as the answer to id if that is not nil,
// and sees to the next ones.
func (s *session) sendConfig(id []byte) {
	config, renew := s.node.iceConfig(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(item{text: wire.Answer("config", id, len(config)+16).Raw("config", config)}, nil)
	s.renew = renew
	if !s.ended && s.doom == "" {
		s.schedule()
	}
}

// renewAt makes the session get fresh credentials at that time, or when its
// socket is back.
func (s *session) renewAt(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew = at
	if !s.ended && s.doom == "" {
		s.schedule()
	}
}

// iceConfig returns a session's RTCConfiguration, and when to send the next.
func (n *Node) iceConfig(s *session) (config []byte, renew time.Time) {
	if n.cfg.IceConfig == nil {
		return []byte(`{"iceServers":[]}`), time.Time{}
	}
	s.mu.Lock()
	port := s.port
	s.mu.Unlock()
	config, life := n.cfg.IceConfig(s.id, s.user, port)
	if life > 0 {
		// At three quarters of their life, and never in a tight loop.
		renew = n.now().Add(max(life/4*3, 5*time.Second))
	}
	return config, renew
}
