package signaling

import (
	"net/netip"
	"strings"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
)

// SessionPrefix begins every session id. No other way of getting TURN
// credentials mints a user of this form.
const SessionPrefix = access.SessionPrefix

// Together reports whether TURN users a and b may relay to each other's
// allocations: the same user, sessions that share a room or an accepted call or are in a
// lobby and its host, or two people without a hub session. It takes no lock that is held for long.
func (h *Hub) Together(a, b string) bool {
	if a == b {
		return true
	}
	isA, isB := strings.HasPrefix(a, SessionPrefix), strings.HasPrefix(b, SessionPrefix)
	if !isA && !isB {
		return true
	}
	if !isA || !isB {
		return false
	}
	sa, sb := h.directory.members.Get(a), h.directory.members.Get(b)
	return sa != nil && sb != nil && (sa.reaches(sb) || sa.partedFrom(sb))
}

// Seen reports whether the signaling socket of someone together with user has
// arrived from addr, by the rules of netaddr.SeenAddress.
func (h *Hub) Seen(user string, addr netip.Addr) bool {
	addr = netaddr.Plain(addr)
	if !strings.HasPrefix(user, SessionPrefix) {
		return h.dialectClients.at(addr) || h.elsewhere.at(addr)
	}
	s := h.directory.members.Get(user)
	return s != nil && s.partnerAt(addr)
}
