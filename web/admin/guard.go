package admin

import (
	"cmp"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// guard keeps web pages out. The listener is on loopback, and a browser on this
// host reaches it for any page that it shows: so the Host must be localhost or an
// IP address, which a name that an attacker has rebound to 127.0.0.1 is not, and
// a request that a page has made must be one of our own page.
// What brings the token is no page, whatever name the listener has.
func guard(next http.Handler, cfg *Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound(w, r, cmp.Or(cfg.bodyTime, bodyTime))
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		brought, err := cfg.bearer(r)
		if err != nil {
			cfg.Logger.Error("the token of the API cannot be read; it is refused", "error", err)
		}
		if !brought && !literal(r.Host) {
			fail(w, http.StatusForbidden, "the admin listener answers under localhost or an IP address only; from elsewhere use ssh -L")
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			u, err := url.Parse(origin)
			if err != nil || u.Host != r.Host {
				fail(w, http.StatusForbidden, "pages of other origins may not use the admin listener")
				return
			}
		}
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
		default:
			fail(w, http.StatusForbidden, "pages of other origins may not use the admin listener")
			return
		}
		if !cfg.admits(w, r, brought) {
			return
		}
		// What a form of a page can send is none of it, whatever stands behind it.
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && (err != nil || kind != "application/json") {
			fail(w, http.StatusUnsupportedMediaType, "send Content-Type: application/json")
			return
		}
		next.ServeHTTP(w, r)
	})
}

const (
	bodyTime   = 10 * time.Second // for a body, read or not
	answerTime = 30 * time.Second // for an answer, beside what it takes to make it
	maxProfile = 10 * time.Minute // the longest profile or trace
)

// bound sees to it that the connection ends whoever is silent on it: the server has no
// deadlines for whole requests, since a console listens for as long as it is open.
func bound(w http.ResponseWriter, r *http.Request, body time.Duration) {
	// An error is that of a ResponseWriter without a connection, as in tests.
	control := http.NewResponseController(w)
	if r.ContentLength != 0 {
		_ = control.SetReadDeadline(time.Now().Add(body))
	}
	making := time.Duration(0)
	if strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
		making = 30 * time.Second // what a profile takes if nothing else is asked for
		if seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64); err == nil && seconds > 0 {
			making = min(time.Duration(min(seconds, 1e6)*float64(time.Second)), maxProfile)
		}
	}
	_ = control.SetWriteDeadline(time.Now().Add(making + answerTime))
}

// literal reports whether a Host header is an IP address or localhost.
func literal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil
}
