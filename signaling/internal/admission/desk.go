// Package admission lets clients into the dialects: which may enter, counted against
// the hub's limits, held to the message rate, and sent out when the hub says so.
package admission

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// maxHold is how long one message may be held back to keep a sender to
// limits.messages_per_second.
const maxHold = 5 * time.Second

// Desk admits the clients of one dialect.
type Desk struct {
	hub     *signaling.Hub
	dialect string
}

// New makes the desk of a dialect.
func New(dialect string, hub *signaling.Hub) *Desk { return &Desk{hub, dialect} }

// MessageSize is limits.message_size at the moment, in bytes.
func (d *Desk) MessageSize() int { return d.hub.MessageSize() }

// QueueBytes is how much may wait for somebody who does not read, in bytes.
func (d *Desk) QueueBytes() int { return d.hub.QueueBytes() }

// Loops carry the dialect's sockets.
func (d *Desk) Loops() *wsock.Loops { return d.hub.Loops() }

// Admit checks Origin and access token. Where it returns false it has answered
// the request: 403 for the Origin, 401 for the token, both with a JSON error.
func (d *Desk) Admit(w http.ResponseWriter, r *http.Request) (access.Claims, bool) {
	return d.AdmitToken(w, r, access.FromRequest(r))
}

// AdmitToken is Admit with a token that stands elsewhere in the request.
func (d *Desk) AdmitToken(w http.ResponseWriter, r *http.Request, token string) (access.Claims, bool) {
	if !d.hub.AllowsOrigin(r) {
		d.hub.CountRefused("origin")
		Refuse(w, http.StatusForbidden, "origin", "pages of this Origin may not connect here: add it to access.allowed_origins")
		return access.Claims{}, false
	}
	claims, err := d.hub.CheckToken(token)
	if err != nil {
		d.hub.CountRefused("token")
		access.Deny(w, err)
		return access.Claims{}, false
	}
	return claims, true
}

// Enter counts one connection. The error is the hub's: signaling.ErrFull,
// signaling.ErrDrain or access.ErrRevoked. end is called when the hub wants the connection to end,
// with the Close that says why, or when the access token has expired; the entrant
// leaves when it has ended.
func (d *Desk) Enter(r *http.Request, claims access.Claims, end func(*wsock.CloseError)) (*Entrant, error) {
	remote, direct := d.hub.AddressOf(r)
	client, err := d.hub.Attach(signaling.ClientInfo{
		Dialect: d.dialect,
		Remote:  remote,
		Direct:  direct,
		Claims:  claims,
	}, func() {
		if d.hub.Draining() {
			end(CloseFor(signaling.ErrDrain))
		} else {
			end(&wsock.CloseError{Code: int(wire.CloseRevoked), Reason: "ended by the operator"})
		}
	})
	if err != nil {
		return nil, err
	}
	e := &Entrant{client: client, Claims: claims, left: make(chan struct{})}
	if !claims.Expires.IsZero() {
		e.expiry = time.AfterFunc(time.Until(claims.Expires)+d.hub.TokenGrace(), func() {
			end(&wsock.CloseError{Code: int(wire.CloseRefused), Reason: access.ErrExpired.Error()})
		})
	}
	return e, nil
}

// Entrant is one client that has entered.
type Entrant struct {
	Claims access.Claims
	client *signaling.DialectClient
	pacer  signaling.Pacer
	left   chan struct{}
	expiry *time.Timer // nil: never
}

// Meter counts a message that came in. Somebody who sends faster than the rate
// is held up for so long, so that nothing of it is lost and nobody else notices; who goes
// on regardless, or sends too large a message, gets a *wsock.CloseError.
func (e *Entrant) Meter(bytes int) (hold time.Duration, err error) {
	hold, err = e.client.Pace(&e.pacer, bytes)
	switch {
	case errors.Is(err, signaling.ErrTooBig):
		return 0, &wsock.CloseError{Code: int(wire.CloseTooBig), Reason: err.Error()}
	case err != nil:
		return 0, &wsock.CloseError{Code: int(wire.CloseFlood), Reason: err.Error()}
	}
	return min(hold, maxHold), nil
}

// Wait is Meter for a request, whose goroutine is held up itself.
func (e *Entrant) Wait(bytes int) error {
	hold, err := e.Meter(bytes)
	if err != nil || hold <= 0 {
		return err
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.left:
	case <-e.client.Done():
	}
	return nil
}

// Addr is where the entrant is, by which what is kept of the client is counted.
func (e *Entrant) Addr() netip.Addr { return e.client.Addr() }

// Count counts a message's fate, see signaling.DialectClient.
func (e *Entrant) Count(kind string) { e.client.Count(kind) }

// Join and Part say that the entrant is in a room, or no longer.
func (e *Entrant) Join(room string) { e.client.Join(room) }

// Part ends Join.
func (e *Entrant) Part(room string) { e.client.Leave(room) }

// Leave ends the entrant's account. It is called once.
func (e *Entrant) Leave() {
	close(e.left)
	if e.expiry != nil {
		e.expiry.Stop()
	}
	e.client.Detach()
}
