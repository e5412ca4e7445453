package peerjs

import (
	"errors"
	"io"
	"net/http"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/body"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wsock"
)

// Client 0.3.16 sends by POST what it has to say before its socket is open, so
// the messages come before the peer. They wait until a socket with the same id
// and token opens, and are then taken as if they had come through it: a src is
// never believed before.

const (
	maxEarly      = 64 // messages of one peer
	maxEarlyBytes = 1 << 20
)

// errInvalidToken is in the words of the reference server (peer, src/enums.ts).
//
//lint:ignore ST1005 the text is the protocol's
var errInvalidToken = errors.New("Invalid token provided")

// earlyKey is a client that has said it will come.
type earlyKey struct{ id, owner string }

// early is what a client said before its socket was open.
type early struct {
	entrant  *admission.Entrant // counts against the sender's address
	messages []message
	bytes    int
	timer    *time.Timer
}

// servePost takes POST P/{key}/{id}/{token}/{verb}: 200, or 401 for an id that
// belongs to another token.
func (s *Server) servePost(w http.ResponseWriter, r *http.Request, route route, claims access.Claims) {
	if route.id == "" || len(route.id) > maxID || len(route.token) > maxToken {
		admission.Refuse(w, http.StatusBadRequest, "bad-message", "id or token is missing or too long")
		return
	}
	text, err := body.Read(w, r, int64(s.desk.MessageSize()), s.bodyTimeout)
	if err != nil {
		admission.Refuse(w, body.Status(err), "bad-message", err.Error())
		return
	}
	m, err := decode(text)
	if err == nil && m.kind != route.verb {
		err = errors.New("type of the message and path do not fit together")
	}
	if err != nil {
		admission.Refuse(w, http.StatusBadRequest, "bad-message", err.Error())
		return
	}
	if claims.Revoked() { // while the body came
		access.Deny(w, access.ErrRevoked)
		return
	}
	realm := s.enter(route.mount)
	defer s.leave(realm)
	status, err := realm.post(route.id, owner(claims, route.token), m, len(text), func(end func()) (*admission.Entrant, error) {
		return s.desk.Enter(r, claims, func(*wsock.CloseError) { end() })
	})
	switch {
	case errors.Is(err, access.ErrRevoked):
		access.Deny(w, err)
		return
	case err != nil:
		admission.Refuse(w, status, "refused", err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK")
}

// post takes a message of a peer whose socket is open, or will be.
func (r *realm) post(id, owner string, m message, size int, enter func(end func()) (*admission.Entrant, error)) (int, error) {
	r.mu.Lock()
	who := r.clients[id]
	if who != nil && !who.owns(owner) {
		r.mu.Unlock()
		return http.StatusUnauthorized, errInvalidToken
	}
	if who != nil {
		r.mu.Unlock()
		if err := who.entrant.Wait(size); err != nil {
			return http.StatusTooManyRequests, err
		}
		r.handle(who, m)
		return 0, nil
	}
	defer r.mu.Unlock()
	k := earlyKey{id, owner}
	e := r.early[k]
	if e == nil {
		e = new(early)
		entrant, err := enter(func() { r.forgetEarly(k, e) })
		if err != nil {
			return admission.StatusFor(err), err
		}
		e.entrant = entrant
		e.timer = time.AfterFunc(r.server.expiry, func() { r.forgetEarly(k, e) })
		r.early[k] = e
	}
	if len(e.messages) >= maxEarly || e.bytes+size > maxEarlyBytes || r.server.held.Add(e.entrant.Addr(), size, shareOfServer) != netaddr.Within {
		return http.StatusTooManyRequests, errors.New("open the socket first")
	}
	e.messages = append(e.messages, m)
	e.bytes += size
	return 0, nil
}

// catchUp handles what a client said before its socket was open.
func (r *realm) catchUp(who *client) {
	k := earlyKey{who.id, who.owner}
	r.mu.Lock()
	e := r.early[k]
	delete(r.early, k)
	r.mu.Unlock()
	if e == nil {
		return
	}
	r.server.held.Remove(e.entrant.Addr(), e.bytes)
	e.timer.Stop()
	e.entrant.Leave()
	for _, m := range e.messages {
		r.handle(who, m)
	}
}

// forgetEarly ends the wait for a socket that did not come, or must not come any more.
// Whoever takes e out of the realm has its entrant leave.
func (r *realm) forgetEarly(k earlyKey, e *early) {
	r.mu.Lock()
	mine := r.early[k] == e
	if mine {
		delete(r.early, k)
		r.server.held.Remove(e.entrant.Addr(), e.bytes)
	}
	r.mu.Unlock()
	if !mine {
		return
	}
	e.timer.Stop()
	e.entrant.Leave()
	r.server.sweep(r)
}
