package delivery

import (
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
)

// TokenGrace is for how long a connection outlives its access token: a call does
// not end in the middle of a word, and the client has the time to bring a new one.
func (n *Node) TokenGrace() time.Duration { return n.timing.Grace }

// expireAt sets when the access token expires by the hub's clock; zero: never.
// session.mu is held.
func (s *session) expireAt(t time.Time) {
	s.notice, s.expiry = time.Time{}, time.Time{}
	if !t.IsZero() {
		s.notice, s.expiry = t.Add(-s.node.timing.Notice), t.Add(s.node.timing.Grace)
	}
}

// tickToken says that the token will expire, or ends the session because it has.
// session.mu is held.
func (s *session) tickToken(c *conn, now time.Time, due func(time.Time) bool) {
	switch {
	case due(s.expiry):
		s.expiry = time.Time{}
		c.loose = append(c.loose, wire.Faultf(wire.CodeForbidden, "%v", access.ErrExpired).Message(nil))
		s.doomLocked("lost", wire.CloseRefused)
	case due(s.notice):
		s.notice = time.Time{}
		left := max(s.expiry.Add(-s.node.timing.Grace).Sub(now), 0)
		s.pushLocked(item{text: wire.Begin("token", 16).Number("after", uint64(left.Milliseconds()))}, nil)
	}
}

// renewToken takes a new access token for the session, of the same user. Rooms
// that it does not allow any more are not left, but cannot be joined again.
func (s *session) renewToken(m *wire.Message) *wire.Fault {
	token, f := wire.NeedText("token", m.Token)
	if f != nil {
		return f
	}
	claims, err := s.node.cfg.Access.Check(string(token))
	if err != nil {
		return wire.Faultf(wire.CodeForbidden, "%v", err)
	}
	if claims.User != s.claims.User {
		return wire.Faultf(wire.CodeForbidden, "the access token is for user %s, the session is not", claims.User)
	}
	s.claims = claims
	s.mu.Lock()
	s.expireAt(s.node.until(claims.Expires))
	if !s.ended && s.doom == "" {
		s.schedule()
	}
	s.mu.Unlock()
	s.node.meaning.Reached(s.ref, s.standing())
	s.ok(m)
	return nil
}
