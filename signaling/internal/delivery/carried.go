package delivery

import (
	"net/netip"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Carried is a socket without a network: whoever has it hands in what the client has
// said and takes out what the client is told, at times of their own. Models and
// fuzzers drive the hub with it. Not safe for concurrent use.
type Carried struct {
	c   *conn
	buf []byte // of Acknowledge
}

// Carry opens a socket that comes from remote, has been seen at seen, and whose
// access token makes these claims.
func (n *Node) Carry(remote, seen netip.Addr, claims access.Claims) *Carried {
	c := &conn{node: n, remote: remote, seen: seen, claims: claims, expires: n.until(claims.Expires)}
	n.gate.Lock()
	n.conns[c] = struct{}{}
	n.gate.Unlock()
	return &Carried{c: c}
}

// Say hands in one message of the client.
func (x *Carried) Say(text []byte, now time.Time) { x.c.handle(text, true, now) }

// Take takes out the WebSocket frames that are due; none before the hello.
func (x *Carried) Take() (frames []byte) {
	s := x.c.sess
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for more := true; more; {
		before := len(frames)
		frames = append(frames, x.c.fill(nil)...)
		more = len(frames)-before > wsock.MaxBatch
	}
	return frames
}

// Session returns what the socket's session is resumed by; empty: it has none.
func (x *Carried) Session() (id, token string) {
	if s := x.c.sess; s != nil {
		return s.id, x.c.node.public(s.token)
	}
	return "", ""
}

// Handled is the highest number of the client's that is handled.
func (x *Carried) Handled() uint64 {
	s := x.c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handled
}

// Lost ends the socket as if the network had. goingAway: its page went.
func (x *Carried) Lost(goingAway bool) {
	if s := x.c.sess; s != nil {
		s.lost(x.c, goingAway)
	}
	x.c.node.gate.Lock()
	delete(x.c.node.conns, x.c)
	x.c.node.gate.Unlock()
}

// Current reports whether the session, if there is one, still has this socket.
func (x *Carried) Current() bool {
	s := x.c.sess
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == x.c
}

// Code is with what the hub has closed the socket; 0: it has not.
func (x *Carried) Code() wire.CloseCode {
	if s := x.c.sess; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	return x.c.code
}

// Acknowledge takes everything that is due and acknowledges it, and keeps nothing.
func (x *Carried) Acknowledge() {
	s := x.c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	x.buf = x.c.fill(x.buf[:0])
	s.out.ack(s.out.last())
}
