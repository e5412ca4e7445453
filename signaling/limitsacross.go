package signaling

import (
	"net/netip"

	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/delivery"
)

// SessionsPerSocket is how many sessions an address may have for each socket that it may have.
const SessionsPerSocket = delivery.SessionsPerSocket

// Held returns how many sockets and sessions those households and wider networks have here
// that have an eighth at least of what they may have, for the limits of other nodes.
func (h *Hub) Held() (sockets, sessions map[netip.Prefix]int) { return h.node.Held() }

// SetElsewhere has the sockets and sessions on other nodes count by address too, from now on;
// nil: there are none.
func (h *Hub) SetElsewhere(sockets, sessions netaddr.Elsewhere) {
	h.node.SetElsewhere(sockets, sessions)
}
