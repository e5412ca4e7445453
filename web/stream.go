package web

import (
	"io"
	"net/http"
	"time"
)

const (
	// streamPause is how long the second half of /check/stream comes after the first.
	streamPause = time.Second
	// streamsAtOnce bounds how many wait for theirs.
	streamsAtOnce = 256
)

// stream answers GET /check/stream: one line, and a second one a second later. Who gets
// both at once has a proxy before it that keeps back what is said until all is said.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "busy", "too many ask for this at once: try again in a second")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "now\n")
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	pause := time.NewTimer(streamPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		_, _ = io.WriteString(w, "a second later\n")
	case <-r.Context().Done():
	}
}
