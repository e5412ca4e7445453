package web

import (
	"net/http"
	"net/url"
	"strings"
)

// rooted takes public_path off a request, where the reverse proxy has not, so that all
// that follows is the same at the root and below a path. It answers who has left away
// the slash behind it.
func (s *Server) rooted(w http.ResponseWriter, r *http.Request) (answered bool) {
	prefix := s.cfg.PublicPath
	if prefix == "" {
		return false
	}
	rest, below := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case !below || rest != "" && rest[0] != '/':
		return false
	case rest == "":
		to := url.URL{Path: prefix + "/", RawQuery: r.URL.RawQuery}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
		return true
	}
	at := *r.URL
	at.Path = rest
	if raw, ok := strings.CutPrefix(at.RawPath, prefix); ok {
		at.RawPath = raw
	} else {
		at.RawPath = ""
	}
	r.URL = &at
	return false
}
