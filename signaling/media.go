package signaling

import (
	"net/netip"
	"time"

	"turnhub/internal/access"
)

// What follows is what the path of media through a WebSocket asks of the hub: package
// media of this folder.

// MediaFrame is the largest frame of a media socket in bytes.
const MediaFrame = 128 << 10

// mediaPath is where media sockets are, as seen from the hub's own.
const mediaPath = "media"

// SetMedia says whether clients are told, from their next hello on, that media may go
// through a WebSocket here.
func (h *Hub) SetMedia(on bool) {
	if on {
		h.node.SetMedia(mediaPath, MediaFrame)
	} else {
		h.node.SetMedia("", 0)
	}
}

// Now is the hub's clock, which goes on evenly.
func (h *Hub) Now() time.Time { return h.now() }

// AdmitSocket counts a socket from addr against the limits of sockets. The error is
// ErrFull or ErrDrain. LeaveSocket ends it.
func (h *Hub) AdmitSocket(addr netip.Addr) error {
	return h.node.Admit(addr, access.Claims{}, func() {})
}

// LeaveSocket ends AdmitSocket.
func (h *Hub) LeaveSocket(addr netip.Addr) { h.node.Leave(addr) }

// Owns reports whether a session lives and token is the one by which it is resumed.
func (h *Hub) Owns(session, token string) bool { return h.node.Owns(session, token) }

// Share reports whether two sessions live and are in one room or one accepted call, or have
// parted. It takes no lock that is held while something of a session is handled.
func (h *Hub) Share(a, b string) bool {
	s, p := h.directory.members.Get(a), h.directory.members.Get(b)
	return s != nil && p != nil && s != p && (s.shares(p) || s.partedFrom(p))
}

// Parted reports whether two sessions were in one room or call until one of them has gone
// with its node, a moment ago.
func (h *Hub) Parted(a, b string) bool {
	s, p := h.directory.members.Get(a), h.directory.members.Get(b)
	return s != nil && p != nil && s.partedFrom(p)
}

// NodeOf returns the node on which a session is, as far as this one knows; empty: this one.
func (h *Hub) NodeOf(session string) (node string, known bool) {
	s := h.directory.members.Get(session)
	if s == nil || s.node == nil {
		return "", s != nil
	}
	return s.node.name, true
}
