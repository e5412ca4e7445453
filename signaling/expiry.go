package signaling

import (
	"time"

	"turnhub/internal/access"
)

// TokenGrace is for how long a connection outlives its access token: a call does
// not end in the middle of a word, and the client has the time to bring a new one.
func (h *Hub) TokenGrace() time.Duration { return h.timing.Grace }

// expireAt sets when the access token expires by the hub's clock; zero: never.
// Session.mu is held.
func (s *Session) expireAt(t time.Time) {
	s.notice, s.expiry = time.Time{}, time.Time{}
	if !t.IsZero() {
		s.notice, s.expiry = t.Add(-s.hub.timing.Notice), t.Add(s.hub.timing.Grace)
	}
}

// tickToken says that the token will expire, or ends the session because it has.
// Session.mu is held.
func (s *Session) tickToken(c *conn, now time.Time, due func(time.Time) bool) {
	switch {
	case due(s.expiry):
		s.expiry = time.Time{}
		c.loose = append(c.loose, faultf(CodeForbidden, "%v", access.ErrExpired).body(nil))
		s.doomLocked("lost", CloseRefused)
	case due(s.notice):
		s.notice = time.Time{}
		left := max(s.expiry.Add(-s.hub.timing.Grace).Sub(now), 0)
		s.pushLocked(item{body: open("token", 16).num("after", uint64(left.Milliseconds()))}, nil)
	}
}

// renewToken takes a new access token for the session, of the same user. Rooms
// that it does not allow any more are not left, but cannot be joined again.
func (s *Session) renewToken(m *message) *fault {
	token, f := needText("token", m.token)
	if f != nil {
		return f
	}
	claims, err := s.hub.CheckToken(string(token))
	if err != nil {
		return faultf(CodeForbidden, "%v", err)
	}
	if claims.User != s.claims.User {
		return faultf(CodeForbidden, "the access token is for user %s, the session is not", claims.User)
	}
	s.claims = claims
	s.mu.Lock()
	s.expireAt(s.hub.until(claims.Expires))
	if !s.ended && s.doom == "" {
		s.schedule()
	}
	s.mu.Unlock()
	s.ok(m)
	return nil
}
