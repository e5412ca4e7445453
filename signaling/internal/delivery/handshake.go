package delivery

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wire"
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
	var m wire.Message
	if !isText {
		c.refuse(wire.CloseBadHello, wire.Faultf(wire.CodeBadMessage, "messages are text, not binary"))
		return
	}
	if f := m.Parse(b); f != nil {
		c.refuse(wire.CloseBadHello, f)
		return
	}
	if string(m.Type) != `"hello"` {
		c.refuse(wire.CloseBadHello, wire.Faultf(wire.CodeBadMessage, "the first message must be of type hello"))
		return
	}
	c.node.letting.RLock() // nobody slips in between while the server begins to go down
	defer c.node.letting.RUnlock()
	draining := c.node.draining.Load()
	if draining && !c.node.emptying.Load() {
		c.refuse(wire.CloseRestart, nil)
		return
	}
	if c.claims.Revoked() {
		c.refuse(wire.CloseRevoked, nil)
		return
	}
	if m.Resume != nil && string(m.Resume) != "null" {
		var r resume
		if json.Unmarshal(m.Resume, &r) != nil {
			c.refuse(wire.CloseBadHello, wire.Faultf(wire.CodeBadMessage, "resume must hold session, token and seq"))
			return
		}
		if c.resume(r, now) {
			return
		}
		if n := c.node; n.cfg.Elsewhere != nil && n.cfg.Elsewhere(r.Session, r.Token) {
			c.refuse(wire.CloseRestart, nil) // it goes to the next node, or comes back
			return
		}
	}
	if draining {
		c.refuse(wire.CloseRestart, nil)
		return
	}
	c.begin(&m, now)
}

// begin opens a fresh session.
func (c *conn) begin(m *wire.Message, now time.Time) {
	n := c.node
	name, f := displayName(m.Name)
	if f != nil {
		c.refuse(wire.CloseBadHello, f)
		return
	}
	user, secret, f := c.identity(m)
	if f != nil {
		code := wire.CloseBadHello
		if f.Code == wire.CodeForbidden {
			code = wire.CloseRefused
		}
		c.refuse(code, f)
		return
	}
	limits := n.limits()
	if over := n.people.Add(c.remote, 1, limits.sessions(n.cfg.Gateway.Times(c.remote))); over != netaddr.Within {
		n.stats.refused.Add(string(over))
		c.refuse(wire.CloseFull, nil)
		return
	}
	s := n.sessions.Add(func(ref uint64) *session {
		return &session{
			node: n, ref: Ref(ref), id: newSessionID(user), token: secretText(24),
			user: user, claims: c.claims, opener: c.remote, seen: c.seen, port: c.port,
			mayWrite: ungated, mayAck: ungated, mirrored: n.cfg.Mirror != nil,
		}
	})
	s.timer.Fire = s.tick
	s.in.Lock()
	defer s.in.Unlock()
	if n.gated.Load() {
		s.mayWrite, s.mayAck = 0, 0
	}
	n.byID.Put(s.id, s)
	opening := Opening{
		Session: s.ref, ID: s.id, User: user, Secret: secret, Name: name, Inviters: c.claims.Inviters(),
		Opener: c.remote, Since: now, Standing: s.standing(),
	}
	if f := n.meaning.Opened(opening); f != nil {
		n.forget(s)
		c.refuse(wire.CloseRefused, f)
		return
	}
	n.stats.opened.Add(1)
	n.logSession("session opened", s, "request", c.request)
	c.attach(s, 0, false)
	n.meaning.Reached(s.ref, s.standing())
}

// identity returns the user name that the session will have, and the secret
// that proves it in mode open.
func (c *conn) identity(m *wire.Message) (user, secret string, f *wire.Fault) {
	if m.User != nil {
		u, f := wire.NeedText("user", m.User)
		if f != nil {
			return "", "", f
		}
		user = string(u)
	}
	if c.claims.User != "" {
		if user != "" && user != c.claims.User {
			return "", "", wire.Faultf(wire.CodeForbidden, "the access token is for user %s", c.claims.User)
		}
		return c.claims.User, "", nil
	}
	if user == "" {
		return "", "", nil
	}
	if !access.ValidUser(user) {
		return "", "", wire.Faultf(wire.CodeBadName, "user must be 1 to 64 of A-Z a-z 0-9 _ . @ - and not begin with s_")
	}
	if err := c.node.cfg.Access.Barred(user); err != nil {
		return "", "", wire.Faultf(wire.CodeForbidden, "%v", err)
	}
	s, ok := wire.Text(m.UserSecret)
	if n := utf8.RuneCount(s); !ok || n < 8 || n > 128 {
		return "", "", wire.Faultf(wire.CodeBadMessage, "userSecret must be a string of 8 to 128 characters: it keeps the user name yours")
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
	return access.SessionPrefix + tag + secretText(16)
}

// resume gives a session its new socket. It reports whether there was such a
// session to come back to.
func (c *conn) resume(r resume, now time.Time) bool {
	n := c.node
	s := n.byID.Get(r.Session)
	if s == nil || !s.ownedBy(r.Token) {
		n.stats.resumeFailed.Add(1)
		return false
	}
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	bad := s.claims.User != c.claims.User || s.parting.Load() || s.ended || s.doom != "" || r.Seq < s.out.base || !s.out.ack(r.Seq)
	if !bad {
		s.port = c.port
	}
	s.mu.Unlock()
	if bad {
		n.stats.resumeFailed.Add(1)
		return false
	}
	s.claims, s.seen = c.claims, c.seen
	n.stats.resumed.Add(1)
	n.logSession("session resumed", s, "request", c.request)
	if c.attach(s, r.Seq, true) {
		n.meaning.Away(s.ref, false)
	}
	n.meaning.Reached(s.ref, s.standing())
	return true
}

// Owns reports whether a session lives and token is the one by which it is resumed.
func (n *Node) Owns(session, token string) bool {
	s := n.byID.Get(session)
	if s == nil || !s.ownedBy(token) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended && s.doom == ""
}

// ownedBy reports whether a token is the session's: which node it names, where it names one,
// may have changed since.
func (s *session) ownedBy(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sameToken(token, s.token) {
		s.olds = nil
		return true
	}
	return slices.ContainsFunc(s.olds, func(of string) bool { return sameToken(token, of) })
}

// public is a session's secret as its client is told.
func (n *Node) public(token string) string {
	if n.cfg.TokenPrefix == nil {
		return token
	}
	return n.cfg.TokenPrefix() + token
}

func sameToken(token, of string) bool {
	secret := token[strings.IndexByte(token, '.')+1:]
	return subtle.ConstantTimeCompare([]byte(secret), []byte(of)) == 1
}

// attach makes c the session's socket and sends the welcome. It reports whether
// the others have been told that the session was away. session.in is held.
func (c *conn) attach(s *session, seq uint64, resumed bool) (back bool) {
	config, renew := c.node.iceConfig(s)
	if c.line != nil {
		c.line.SetReadDeadline(time.Time{})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.conn; old != nil {
		old.shutLocked(wire.CloseReplaced)
	}
	c.sess = s
	c.next = seq + 1
	c.heard.Store(c.node.now().UnixNano())
	back = s.gone
	s.conn, s.gone, s.renew = c, false, renew
	s.expireAt(c.expires)
	s.told = s.settled()
	t := c.node.timing
	b := wire.Begin("welcome", 400+len(config)).Text("session", s.id)
	if s.user != "" {
		b = b.Text("user", s.user)
	}
	b = b.Raw("resume", wire.Inner("token", c.node.public(s.token)).Number("window", uint64(t.Window.Milliseconds())).Text("path", triesPath).End())
	b = b.Bool("resumed", resumed).Number("ack", s.told)
	b = b.Raw("heartbeat", fmt.Appendf(nil, `{"interval":%d,"call":%d,"timeout":%d}`, t.Heartbeat.Milliseconds(), t.InCall.Milliseconds(), t.Timeout.Milliseconds()))
	b = b.Raw("config", config)
	if media := c.node.media.Load(); media != nil {
		b = b.Raw("media", *media)
	}
	if push := c.node.push.Load(); push != nil && s.user != "" && !access.IsGuest(s.user) {
		b = b.Raw("push", *push)
	}
	c.loose = append([]wire.Object{b}, c.loose...)
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

// displayName reads and checks what others see: in normal form C, and without marks that
// would turn round the text beside it, or end its line. One of which nothing is seen is
// none: nobody could be told by it.
func displayName(raw []byte) (string, *wire.Fault) {
	if raw == nil {
		return "", nil
	}
	s, f := wire.NeedText("name", raw)
	if f != nil {
		return "", f
	}
	if utf8.RuneCount(s) > maxName {
		return "", wire.Faultf(wire.CodeBadName, "name must have at most %d characters", maxName)
	}
	name := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, norm.NFC.String(string(s)))
	for _, r := range name {
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == utf8.RuneError {
			return "", wire.Faultf(wire.CodeBadName, "name must not hold control characters")
		}
	}
	if !strings.ContainsFunc(name, isSeen) {
		return "", nil
	}
	return name, nil
}

// isSeen reports whether a character leaves something on paper.
func isSeen(r rune) bool {
	const blankBraille = 0x2800
	return r != blankBraille && !unicode.IsSpace(r) && !unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
