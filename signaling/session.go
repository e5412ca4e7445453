package signaling

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/ratelimit"
)

// Session is one device of one person. It outlives its socket by the window.
type Session struct {
	hub    *Hub
	id     string
	name   string
	user   string
	token  string // the secret with which it is resumed
	opener netip.Addr
	since  time.Time

	// in is held while one of the session's messages is handled, and while it
	// enters, resumes or ends: these never overlap.
	in       sync.Mutex
	messages ratelimit.Account // received, under in
	reader   *conn             // under in: the socket whose message is being handled
	claims   access.Claims
	// began is what claims were at first: they are renewed, but for whose they are.
	began access.Claims

	// Written under in and directory.mu; read without a lock by the relay.
	rooms atomic.Pointer[[]*room]
	calls atomic.Pointer[[]*call]
	visit atomic.Pointer[visit] // the lobby it is in; nil: none
	addr  atomic.Pointer[netip.Addr]

	subs    map[string]struct{} // under directory.mu
	pending []*call             // its calls that ring somebody, under directory.mu
	quality *Report             // the last one, under directory.mu

	reported map[string]time.Time // when about whom, under directory.mu

	mu      sync.Mutex
	conn    *conn // nil: lost
	out     outbox
	handled uint64 // highest number of the client's that is handled
	told    uint64 // highest number that is acknowledged to the client
	gone    bool   // the others have been told that it is away
	ended   bool
	doom    string // it must end, for this reason
	lostAt  time.Time
	window  time.Duration
	ackAt   time.Time // zero where nothing waits for that time
	renew   time.Time
	notice  time.Time // when to say that the access token will expire
	expiry  time.Time // when the session ends because it has
	timer   timer
}

func (s *Session) roomList() []*room {
	if p := s.rooms.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Session) callList() []*call {
	if p := s.calls.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Session) seenAt() netip.Addr {
	if p := s.addr.Load(); p != nil {
		return *p
	}
	return netip.Addr{}
}

// push sends a numbered message: now, or when the socket is back. A session
// that does not take what it is sent ends with 4008.
func (s *Session) push(b body) { s.pushBy(nil, b) }

// pushBy is push for what the session by causes by a message of its own: its
// reader writes it.
func (s *Session) pushBy(by *Session, b body) {
	var reader *conn
	if by != nil {
		reader = by.reader
	}
	s.mu.Lock()
	s.pushLocked(item{body: b}, reader)
	s.mu.Unlock()
}

// pushOnly is pushBy for a message that goes to nobody else, in a buffer of
// newBuffer.
func (s *Session) pushOnly(by *Session, b body, buffer *[]byte) {
	s.mu.Lock()
	s.pushLocked(item{b, buffer}, by.reader)
	s.mu.Unlock()
}

func (s *Session) pushLocked(b item, by *conn) {
	switch {
	case s.ended || s.doom != "":
	case s.out.add(b):
		s.kick(by)
	default:
		s.hub.stats.drop("slow")
		s.doomLocked("lost", CloseSlow)
	}
}

// doomLocked ends the session from the timers' goroutine: whoever is here holds
// locks that ending needs.
func (s *Session) doomLocked(reason string, code CloseCode) {
	if s.doom != "" || s.ended {
		return
	}
	s.doom = reason
	s.out.drop()
	if s.conn != nil {
		s.conn.shutLocked(code)
	}
	s.hub.timers.set(&s.timer, s.hub.now())
}

// loose sends a message without number: it is lost with the socket.
func (s *Session) loose(b body) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conn; c != nil && len(c.loose) < maxLoose {
		c.loose = append(c.loose, b)
		s.kick(s.reader)
	}
}

// kick gets the socket's writer going.
func (s *Session) kick(by *conn) {
	if c := s.conn; c != nil {
		c.kick(by)
	}
}

// online reports whether the session has a socket.
func (s *Session) online() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil && !s.ended
}

// away reports whether the others have been told that the socket is lost.
func (s *Session) away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// shut ends the session's socket with a code.
func (s *Session) shut(code CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.shutLocked(code)
	}
}

// end ends the session. reason is what the others are told, code what its
// socket is, if it has one.
func (s *Session) end(reason string, code CloseCode) {
	s.in.Lock()
	defer s.in.Unlock()
	s.endIn(reason, code)
}

// endIn is end with Session.in held.
func (s *Session) endIn(reason string, code CloseCode) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if s.conn != nil {
		s.conn.shutLocked(code)
	}
	if s.conn == nil || !s.conn.code.flushes() {
		s.out.drop()
	}
	s.mu.Unlock()
	s.hub.timers.stop(&s.timer)
	s.hub.departed.add(s)
	partners := s.partners()
	s.hub.logSession("session ended", s, "reason", reason)
	s.hub.state.exit(s, reason)
	s.hub.sessions.remove(s)
	s.hub.people.Remove(s.opener, 1)
	s.hub.changed(partners...)
}

// lost is told that a socket of the session is gone. code is what it was closed
// with, goingAway that its page went.
func (s *Session) lost(c *conn, goingAway bool) {
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return
	}
	s.conn = nil
	s.lostAt = s.hub.now()
	s.window = s.hub.timing.Window
	if goingAway {
		s.window = min(s.window, pageWindow)
	}
	if c.code == CloseRestart && !s.hub.draining.Load() { // it was reopened meanwhile
		s.window = min(s.window, reopenWindow)
	}
	end := !s.ended && c.code != 0 && !c.code.lives() && c.code != CloseRestart
	if !s.ended && !end {
		s.schedule()
	}
	s.mu.Unlock()
	if end {
		s.end("lost", c.code)
	}
}

// pageWindow is the window of a session whose client closed its socket with
// 1001: a browser says that when the page goes, and it may be a reload.
const pageWindow = 5 * time.Second

// schedule sets the timer to the earliest thing that waits. Session.mu is held.
func (s *Session) schedule() {
	var at time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if s.conn == nil {
		earlier(s.lostAt.Add(s.window))
		if !s.gone {
			earlier(s.lostAt.Add(s.hub.timing.Away))
		}
	} else {
		earlier(time.Unix(0, s.conn.heard.Load()).Add(s.hub.timing.silence()))
		earlier(s.ackAt)
		earlier(s.renew)
		earlier(s.notice)
		earlier(s.expiry)
	}
	s.hub.timers.set(&s.timer, at)
}

// tick does what is due. It runs on the timers' goroutine.
func (s *Session) tick(now time.Time) {
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
	renew := false
	away := s.conn == nil && !s.gone && due(s.lostAt.Add(s.hub.timing.Away))
	if c := s.conn; c != nil {
		if due(time.Unix(0, c.heard.Load()).Add(s.hub.timing.silence())) {
			c.shutLocked(CloseSilent)
			c.heard.Store(now.UnixNano()) // the socket's end comes by itself
		}
		if due(s.ackAt) {
			s.ackAt = time.Time{}
			c.ackDue = s.handled != s.told
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
func (s *Session) expire(now time.Time) {
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	reason := s.doom
	if reason == "" && s.conn == nil && !s.lostAt.Add(s.window).After(now) {
		reason = "lost"
	}
	s.mu.Unlock()
	if reason != "" {
		s.endIn(reason, CloseSlow)
	}
}

// tellAway tells the others whether the session is away, if that is still so.
func (s *Session) tellAway(away bool) {
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	tell := !s.ended && s.gone == away
	s.mu.Unlock()
	if tell {
		s.hub.state.away(s, away)
	}
}

// sendConfig sends fresh credentials, as the answer to id if that is not nil,
// and sees to the next ones.
func (s *Session) sendConfig(id []byte) {
	config, renew := s.hub.iceConfig(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(item{body: answer("config", id, len(config)+16).raw("config", config)}, nil)
	s.renew = renew
	if !s.ended && s.doom == "" {
		s.schedule()
	}
}

// renewAt makes the session get fresh credentials at that time, or when its
// socket is back.
func (s *Session) renewAt(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew = at
	if !s.ended && s.doom == "" {
		s.schedule()
	}
}

// iceConfig returns a session's RTCConfiguration, and when to send the next.
func (h *Hub) iceConfig(s *Session) (config []byte, renew time.Time) {
	if h.cfg.IceConfig == nil {
		return []byte(`{"iceServers":[]}`), time.Time{}
	}
	config, life := h.cfg.IceConfig(s.id, s.user)
	if life > 0 {
		// At three quarters of their life, and never in a tight loop.
		renew = h.now().Add(max(life/4*3, 5*time.Second))
	}
	return config, renew
}

// sessions finds sessions by id.
type sessions struct {
	shards [64]struct {
		mu sync.RWMutex
		m  map[string]*Session
	}
}

func (x *sessions) init() {
	for i := range x.shards {
		x.shards[i].m = make(map[string]*Session)
	}
}

// shard picks by the last character: ids are random.
func (x *sessions) shard(id string) int {
	if id == "" {
		return 0
	}
	return int(id[len(id)-1]+2*id[len(id)/2]) % len(x.shards)
}

func (x *sessions) get(id string) *Session {
	sh := &x.shards[x.shard(id)]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.m[id]
}

// find is get for an id in a buffer.
func (x *sessions) find(id []byte) *Session {
	if len(id) == 0 {
		return nil
	}
	sh := &x.shards[int(id[len(id)-1]+2*id[len(id)/2])%len(x.shards)]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.m[string(id)]
}

func (x *sessions) put(s *Session) {
	sh := &x.shards[x.shard(s.id)]
	sh.mu.Lock()
	sh.m[s.id] = s
	sh.mu.Unlock()
}

func (x *sessions) remove(s *Session) {
	sh := &x.shards[x.shard(s.id)]
	sh.mu.Lock()
	delete(sh.m, s.id)
	sh.mu.Unlock()
}

func (x *sessions) all() []*Session {
	var list []*Session
	for i := range x.shards {
		sh := &x.shards[i]
		sh.mu.RLock()
		for _, s := range sh.m {
			list = append(list, s)
		}
		sh.mu.RUnlock()
	}
	return list
}
