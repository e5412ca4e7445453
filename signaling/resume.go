package signaling

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
)

// resume is hello.resume.
type resume struct {
	Session string `json:"session"`
	Token   string `json:"token"`
	Seq     uint64 `json:"seq"`
}

// hello opens or resumes a session. Where it fails the socket is refused and
// c.sess stays nil.
func (c *conn) hello(b []byte, isText bool, now time.Time) {
	var m message
	if !isText {
		c.refuse(CloseBadHello, faultf(CodeBadMessage, "messages are text, not binary"))
		return
	}
	if f := m.parse(b); f != nil {
		c.refuse(CloseBadHello, f)
		return
	}
	if string(m.typ) != `"hello"` {
		c.refuse(CloseBadHello, faultf(CodeBadMessage, "the first message must be of type hello"))
		return
	}
	c.hub.letting.RLock() // nobody slips in between while the server begins to go down
	defer c.hub.letting.RUnlock()
	if c.hub.draining.Load() {
		c.refuse(CloseRestart, nil)
		return
	}
	if c.claims.Revoked() {
		c.refuse(CloseRevoked, nil)
		return
	}
	if m.resume != nil && string(m.resume) != "null" {
		var r resume
		if json.Unmarshal(m.resume, &r) != nil {
			c.refuse(CloseBadHello, faultf(CodeBadMessage, "resume must hold session, token and seq"))
			return
		}
		if c.resume(r, now) {
			return
		}
	}
	c.begin(&m, now)
}

// begin opens a fresh session.
func (c *conn) begin(m *message, now time.Time) {
	h := c.hub
	name, f := displayName(m.name)
	if f != nil {
		c.refuse(CloseBadHello, f)
		return
	}
	user, secret, f := c.identity(m)
	if f != nil {
		code := CloseBadHello
		if f.code == CodeForbidden {
			code = CloseRefused
		}
		c.refuse(code, f)
		return
	}
	limits := h.limits()
	if over := h.people.Add(c.remote, 1, limits.sessions()); over != netaddr.Within {
		h.stats.refuse(string(over))
		c.refuse(CloseFull, nil)
		return
	}
	s := &Session{
		hub: h, id: newSessionID(user), token: secretText(24),
		name: name, user: user, claims: c.claims, began: c.claims, opener: c.remote, since: now,
	}
	s.timer.fire = s.tick
	if c.seen.IsValid() {
		s.addr.Store(&c.seen)
	}
	s.in.Lock()
	defer s.in.Unlock()
	h.sessions.put(s)
	if f := h.state.enter(s, secret); f != nil {
		h.sessions.remove(s)
		h.people.Remove(s.opener, 1)
		c.refuse(CloseRefused, f)
		return
	}
	h.stats.opened.Add(1)
	h.logSession("session opened", s, "request", c.request)
	c.attach(s, 0, false)
	h.state.reached(s)
}

// identity returns the user name that the session will have, and the secret
// that proves it in mode open.
func (c *conn) identity(m *message) (user, secret string, f *fault) {
	if m.user != nil {
		u, f := needText("user", m.user)
		if f != nil {
			return "", "", f
		}
		user = string(u)
	}
	if c.claims.User != "" {
		if user != "" && user != c.claims.User {
			return "", "", faultf(CodeForbidden, "the access token is for user %s", c.claims.User)
		}
		return c.claims.User, "", nil
	}
	if user == "" {
		return "", "", nil
	}
	if !access.ValidUser(user) {
		return "", "", faultf(CodeBadName, "user must be 1 to 64 of A-Z a-z 0-9 _ . @ - and not begin with s_")
	}
	if err := c.hub.cfg.Access.Barred(user); err != nil {
		return "", "", faultf(CodeForbidden, "%v", err)
	}
	s, ok := text(m.userSecret)
	if n := utf8.RuneCount(s); !ok || n < 8 || n > 128 {
		return "", "", faultf(CodeBadMessage, "userSecret must be a string of 8 to 128 characters: it keeps the user name yours")
	}
	return user, string(s), nil
}

// newSessionID returns the id of a new session: 128 random bits behind a mark by
// which the user's credentials are known when the session is long gone.
func newSessionID(user string) string {
	tag := secretText(6)
	if user != "" {
		tag = access.SessionTag(user)
	}
	return SessionPrefix + tag + secretText(16)
}

// resume gives a session its new socket. It reports whether there was such a
// session to come back to.
func (c *conn) resume(r resume, now time.Time) bool {
	h := c.hub
	s := h.sessions.get(r.Session)
	if s == nil || subtle.ConstantTimeCompare([]byte(r.Token), []byte(s.token)) != 1 {
		h.stats.resumeFailed.Add(1)
		return false
	}
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	bad := s.claims.User != c.claims.User || s.ended || s.doom != "" || r.Seq < s.out.base || !s.out.ack(r.Seq)
	s.mu.Unlock()
	if bad {
		h.stats.resumeFailed.Add(1)
		return false
	}
	s.claims = c.claims
	partners := s.partners()
	moved := s.seenAt() != c.seen
	if moved {
		seen := c.seen
		s.addr.Store(&seen)
	}
	h.stats.resumed.Add(1)
	h.logSession("session resumed", s, "request", c.request)
	back := c.attach(s, r.Seq, true)
	if back {
		h.state.away(s, false)
	}
	h.state.reached(s)
	if moved {
		h.changed(partners...)
	}
	return true
}

// attach makes c the session's socket and sends the welcome. It reports whether
// the others have been told that the session was away. Session.in is held.
func (c *conn) attach(s *Session, seq uint64, resumed bool) (back bool) {
	config, renew := c.hub.iceConfig(s)
	if c.nc != nil {
		_ = c.nc.SetReadDeadline(time.Time{})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.conn; old != nil {
		old.shutLocked(CloseReplaced)
	}
	c.sess = s
	c.next = seq + 1
	c.heard.Store(c.hub.now().UnixNano())
	back = s.gone
	s.conn, s.gone, s.renew = c, false, renew
	s.expireAt(c.expires)
	s.told = s.handled
	t := c.hub.timing
	b := open("welcome", 400+len(config)).str("session", s.id)
	if s.user != "" {
		b = b.str("user", s.user)
	}
	b = b.raw("resume", open2("token", s.token).num("window", uint64(t.Window.Milliseconds())).end())
	b = b.flag("resumed", resumed).num("ack", s.handled)
	b = b.raw("heartbeat", []byte(`{"interval":`+itoa(t.Heartbeat.Milliseconds())+`,"call":`+itoa(t.InCall.Milliseconds())+`,"timeout":`+itoa(t.Timeout.Milliseconds())+`}`))
	b = b.raw("config", config)
	c.loose = append([]body{b}, c.loose...)
	c.kick(c)
	s.schedule()
	return back
}

// secretText returns n random bytes as text.
func secretText(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}
