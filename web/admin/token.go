package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"turnhub/internal/statefile"
)

// minToken is how long a token must be, in bytes, that nobody can guess.
const minToken = 32

// ReadToken reads the bearer token of a file.
func ReadToken(file string) (string, error) {
	text, err := statefile.Read(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("%s must hold one token of %d characters at least; make one with: openssl rand -hex 32 > %s", file, minToken, file)
	}
	return token, nil
}

// bearer reports whether a request brings the token. It is read each time, so that a
// new one is good at once and the old one no longer.
func (c *Config) bearer(r *http.Request) (brought bool, err error) {
	if c.TokenFile == "" {
		return false, nil
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110, 11.1: in any case of letters
		return false, nil
	}
	given = strings.TrimLeft(given, " ")
	token, err := ReadToken(c.TokenFile)
	if err != nil {
		return false, err
	}
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given)) // of one length
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
}

// admits answers requests that do not bring the token and should.
func (c *Config) admits(w http.ResponseWriter, r *http.Request, brought bool) bool {
	api := strings.HasPrefix(r.URL.Path, "/api/")
	switch {
	case brought || r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
		return true
	case c.TokenFile == "":
		if api && !fromLoopback(r) {
			fail(w, http.StatusForbidden, "without listen.admin_token_file the API answers loopback alone")
			return false
		}
		return true
	case api || !fromLoopback(r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="turnhub"`)
		fail(w, http.StatusUnauthorized, "bring the token of listen.admin_token_file, as Authorization: Bearer …")
		return false
	}
	return true
}

// fromLoopback reports whether a request comes from this host itself.
func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
