package access

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// AllowOrigin reports whether a page of the request's Origin may use this
// server, by access.allowed_origins: "*" is every page, "same" the page's own
// origin, else the exact origins. A request without Origin comes from no page
// and passes.
func AllowOrigin(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(allowed, "*") {
		return true
	}
	for _, a := range allowed {
		if a == "same" && sameOrigin(r, origin) || a != "same" && strings.EqualFold(a, origin) {
			return true
		}
	}
	return false
}

func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
