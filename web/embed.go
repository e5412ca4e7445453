package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"turnhub/internal/access"
)

// The call page as part of another site's page: /?embed in an iframe, for the pages that
// access.embed_origins names. The browser enforces it by frame-ancestors (CSP Level 3
// section 6.4.2); here it is only looked at whether there is something better to show
// than an empty frame.

// embedOf reports whether the call page is asked for as part of another page.
func embedOf(r *http.Request) bool { return r.URL.Query().Has("embed") }

// embeddable lets the named pages show the call page, and tells the others what is missing.
func (s *Server) embeddable(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !embedOf(r) {
			page.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Referer, Sec-Fetch-Dest")
		origins := s.settings.Load().EmbedOrigins
		if parent := embedder(r); parent != "" && !mayEmbed(r, parent, origins) {
			s.stats.embedsRefused.Add(1)
			fail(w, http.StatusForbidden, embedRefused, parent+" may not show calls of this server: its operator adds the origin to access.embed_origins")
			return
		}
		setAncestors(h, ancestorsOf(origins))
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		page.ServeHTTP(w, r)
	})
}

// embedRefused is the code of the error that a page gets which is not named.
const embedRefused = "embed"

// embedder returns the origin of the page that has asked for this one as its iframe;
// "" where it is no iframe, or the browser does not say whose.
func embedder(r *http.Request) string {
	if dest := r.Header.Get("Sec-Fetch-Dest"); !slices.Contains([]string{"iframe", "frame", "object", "embed", "fencedframe"}, dest) {
		return ""
	}
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// mayEmbed reports whether the pages of an origin may show the call page. A call page
// that asks for itself again, as after a choice of the language, is its own parent.
func mayEmbed(r *http.Request, parent string, origins []string) bool {
	asked := r.Clone(r.Context())
	asked.Header.Set("Origin", parent)
	return access.AllowOrigin(asked, origins) || len(origins) > 0 && access.AllowOrigin(asked, []string{"same"})
}

// ancestorsOf writes origins as the sources of frame-ancestors.
func ancestorsOf(origins []string) string {
	if len(origins) == 0 {
		return "'none'"
	}
	sources := slices.Clone(origins)
	for i := range sources {
		if sources[i] == "same" {
			sources[i] = "'self'"
		}
	}
	return strings.Join(sources, " ")
}

// setAncestors says who may show a page.
func setAncestors(h http.Header, sources string) {
	policy, _, _ := strings.Cut(h.Get(policyName), "frame-ancestors")
	h.Set(policyName, policy+"frame-ancestors "+sources)
}
