package socketio

import (
	"net/http"

	"turnhub/internal/access"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wsock"
)

// handshake begins a session (engine.io-protocol, "Handshake").
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, claims access.Claims, channel string, websocket bool) {
	c := &session{id: newID(), server: s, channel: channel, done: make(chan struct{})}
	if query := r.URL.Query(); query.Get("EIO") != "4" {
		_, form := jsonp(query)
		c.era, c.base64 = true, form || textOnly(r)
	}
	ready := make(chan struct{})
	entrant, err := s.desk.Enter(r, claims, func(why *wsock.CloseError) {
		<-ready
		c.close(why.Reason)
	})
	if err != nil {
		failWith(w, admission.StatusFor(err), codeForbidden, err.Error())
		return
	}
	c.entrant = entrant
	upgrades := []string{"websocket"}
	if websocket {
		upgrades = []string{}
	}
	c.start(upgrades)
	added := s.add(c)
	close(ready)
	if !added {
		c.close("the server is restarting")
		failWith(w, http.StatusServiceUnavailable, codeForbidden, "the server is going down")
		return
	}
	if c.era {
		c.join3()
	}
	if websocket {
		c.serveWebSocket(w, r)
		return
	}
	if c.era {
		// By its cookie a load balancer of that time finds the session's server.
		http.SetCookie(w, &http.Cookie{Name: "io", Value: c.id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	c.servePoll(w, r)
}
