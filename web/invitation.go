package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"turnhub/internal/access"
)

// invitation answers POST /invitation?room=NAME: an access token for others, which
// opens that room and nothing else. The token of who asks is not in it.
func (s *Server) invitation(w http.ResponseWriter, r *http.Request) {
	room, ok := access.RoomName(r.URL.Query().Get("room"))
	if !ok {
		fail(w, http.StatusBadRequest, "room", fmt.Sprintf("name the room: POST /invitation?room=NAME, with 1 to %d bytes of %s", access.MaxRoomName, access.RoomLetters))
		return
	}
	type answer struct {
		Token   string     `json:"token"` // empty: none is needed
		Room    string     `json:"room"`
		User    string     `json:"user,omitempty"`    // the name of its bearer, to revoke it by
		Expires *time.Time `json:"expires,omitempty"` // RFC 3339
	}
	if s.cfg.Access.IsOpen() {
		reply(w, http.StatusOK, answer{Room: room})
		return
	}
	made, err := s.cfg.Access.Invite(access.FromRequest(r), room)
	switch {
	case errors.Is(err, access.ErrOtherRoom):
		fail(w, http.StatusForbidden, "room", err.Error())
	case errors.Is(err, access.ErrTooManyHands):
		fail(w, http.StatusForbidden, "hands", err.Error())
	case err != nil:
		access.Deny(w, err)
	default:
		s.stats.invitations.Add(1)
		expires := made.Expires.UTC()
		reply(w, http.StatusOK, answer{made.Token, room, made.Guest, &expires})
	}
}
