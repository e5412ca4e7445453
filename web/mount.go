package web

import (
	"net/http"

	"turnhub/internal/handshake"
)

// Mount is where the hub or another dialect of it is reached. To add a dialect is to
// add one.
type Mount struct {
	Patterns []string // of http.ServeMux
	Handler  http.Handler
	// Ahead takes requests before anybody's pattern is looked at; nil: none.
	Ahead func(*http.Request) bool
	// Else takes requests for which there is neither a pattern nor a page; nil: none.
	Else func(*http.Request) bool
}

// mounted returns the dialect that takes a request apart from its patterns; nil: none.
func (s *Server) mounted(r *http.Request) http.Handler {
	for _, m := range s.cfg.Mounts {
		if m.Ahead != nil && m.Ahead(r) {
			return m.Handler
		}
	}
	for _, m := range s.cfg.Mounts {
		if m.Else != nil && m.Else(r) {
			if _, pattern := s.mux.Handler(r); pattern == "" || pattern == elsewhere {
				return m.Handler
			}
		}
	}
	return nil
}

// WebSocketAtRoot reports whether a request opens a WebSocket at /: for a Mount that
// takes those.
func WebSocketAtRoot(r *http.Request) bool { return r.URL.Path == "/" && handshake.IsWebSocket(r) }
