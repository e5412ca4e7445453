package web

import (
	"fmt"
	"net/http"

	"turnhub/internal/access"
)

// Placement is where a room is, of several nodes.
type Placement struct {
	// Local says that it is on this node.
	Local bool
	// URLs are the STUN and TURN URLs of its node and Next those of the node after it, the
	// best first; Range is as in Config, of its node.
	URLs, Next []string
	Range      map[string]string
	// Signalings are the URLs of the sockets of all nodes, the best first.
	Signalings []string
}

// placed is the configuration for somebody who asks for a room: with the URLs of the
// room's node, so that both ends of a call allocate on one machine. It answers itself
// where it returns false.
func (s *Server) placed(w http.ResponseWriter, r *http.Request, claims access.Claims, user string) (rtcConfiguration, bool) {
	port := s.cfg.Proxies.Port(r)
	asked := r.URL.Query().Get("room")
	if s.cfg.Place == nil || asked == "" {
		return s.rtcConfiguration(user, port), true
	}
	room, ok := access.RoomName(asked)
	switch {
	case !ok:
		fail(w, http.StatusBadRequest, "room", fmt.Sprintf("room must have 1 to %d bytes of %s", access.MaxRoomName, access.RoomLetters))
		return rtcConfiguration{}, false
	case !claims.AllowsRoom(room):
		fail(w, http.StatusForbidden, "room", "the access token does not allow this room")
		return rtcConfiguration{}, false
	}
	p := s.cfg.Place(r.Context(), room)
	urls := p.URLs
	if p.Local {
		urls = s.cfg.URLs(port)
	}
	c := NewRTCConfiguration(twoNodes(urls, p.Next), s.cfg.Mint, user, s.settings.Load().TTL)
	c.Range, c.Signalings = p.Range, p.Signalings
	if len(p.Signalings) > 0 {
		c.Signaling = p.Signalings[0]
	}
	return c, true
}

// twoNodes joins the URLs of two nodes, maxURLs at most. Of the second it is the last,
// which passes where the others may not: it is for when the first is gone. It takes the
// place of what is neither the best nor such a last one of the first.
func twoNodes(first, second []string) []string {
	if len(first) == 0 {
		return second[:min(len(second), maxURLs)]
	}
	if len(second) == 0 {
		return first
	}
	urls := append([]string(nil), first[:min(len(first), maxURLs)]...)
	if len(urls) == maxURLs {
		urls = append(urls[:maxURLs-2], urls[maxURLs-1])
	}
	return append(urls, second[len(second)-1])
}
