package signaling

import (
	"net/http"
	"net/netip"

	"turnhub/internal/access"
	"turnhub/signaling/internal/delivery"
)

// Subprotocol is the WebSocket subprotocol of the native dialect.
const Subprotocol = delivery.Subprotocol

// What somebody is told who is over a limit, or comes too late. A dialect says it in
// its own words.
var (
	ErrFull   = delivery.ErrFull
	ErrTooBig = delivery.ErrTooBig
	ErrRate   = delivery.ErrRate
	ErrFlood  = delivery.ErrFlood
	ErrDrain  = delivery.ErrDrain
)

// What follows are the terms on which the dialects let people in: the hub's
// own, as they are at the moment.

// AllowsOrigin reports whether a page of the request's Origin may connect.
func (h *Hub) AllowsOrigin(r *http.Request) bool { return h.node.AllowsOrigin(r) }

// Loops carry the sockets of dialects beside the hub's.
func (h *Hub) Loops() *delivery.Loops { return h.node.Loops() }

// CheckToken returns the claims of an access token.
func (h *Hub) CheckToken(token string) (access.Claims, error) { return h.cfg.Access.Check(token) }

// CountRefused counts a connection that a dialect did not let in, by a reason of
// a small fixed set.
func (h *Hub) CountRefused(reason string) { h.node.CountRefused(reason) }

// AddressOf returns where the person behind a request is, see ClientAddress.
func (h *Hub) AddressOf(r *http.Request) (client netip.AddrPort, direct bool) {
	return h.cfg.ClientAddress(r)
}

// MessageSize is limits.message_size in bytes.
func (h *Hub) MessageSize() int { return h.node.Limits().MessageSize }

// Draining reports whether the server is going down.
func (h *Hub) Draining() bool { return h.node.Draining() }
