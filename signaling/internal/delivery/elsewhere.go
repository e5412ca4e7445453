package delivery

import (
	"net/netip"

	"turnhub/internal/netaddr"
)

// unsaid is the part of a limit below which other nodes are not told what an address has.
const unsaid = 8

// SessionsPerSocket is how many sessions an address may have for each socket.
const SessionsPerSocket = sessionsPerConnection

// Held returns how many sockets and sessions the households have here that have an eighth
// at least of what they may have, and the wider networks likewise.
func (n *Node) Held() (sockets, sessions map[netip.Prefix]int) {
	least := max((n.limits().ConnectionsPerIP+unsaid-1)/unsaid, 1)
	return n.sockets.Most(least), n.people.Most(least * sessionsPerConnection)
}

// SetElsewhere has the sockets and sessions on other nodes count too, from now on.
func (n *Node) SetElsewhere(sockets, sessions netaddr.Elsewhere) {
	n.sockets.SetElsewhere(sockets)
	n.people.SetElsewhere(sessions)
}
