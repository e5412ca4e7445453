package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestBelowAPath serves everything at /team/calls, through proxies that take that off
// and through those that do not: each page leads to files that are there, and nothing
// leads to the root of the name, where somebody else is.
func TestBelowAPath(t *testing.T) {
	const prefix = "/team/calls"
	s := server(func(c *Config, _ *Settings) { c.PublicPath = prefix })
	browser := []string{"Accept: text/html", proxy, "X-Forwarded-Proto: https", "X-Forwarded-For: 9.9.9.9"}
	address := regexp.MustCompile(`(?:href|src)="([^"#]*)`)
	imported := regexp.MustCompile("[\"'`(](/[a-z][^\"'`)#$]*)")
	seen := map[string]bool{}
	var follow func(from, path string)
	follow = func(from, path string) {
		if seen[path] || path == "" {
			return
		}
		seen[path] = true
		rest, below := strings.CutPrefix(path, prefix)
		if !below {
			t.Errorf("%s leads to %s", from, path)
			return
		}
		for _, at := range []string{path, rest} { // as the proxy leaves it, and taken off
			if at == "" {
				at = "/"
			}
			res := get(s, at, browser...)
			if res.Code != http.StatusOK {
				t.Errorf("%s leads to %s, which is answered by %d", from, at, res.Code)
			}
			text := res.Body.String()
			kind := res.Header().Get("Content-Type")
			switch {
			case strings.Contains(kind, "html"):
				for _, m := range address.FindAllStringSubmatch(text, -1) {
					follow(path, m[1])
				}
			case strings.Contains(kind, "javascript"), strings.Contains(kind, "css"):
				for _, m := range imported.FindAllStringSubmatch(text, -1) {
					if strings.HasPrefix(m[1], "/static/") || strings.HasPrefix(m[1], "/client/") || strings.HasPrefix(m[1], prefix+"/") && strings.Contains(m[1], ".") {
						follow(path, m[1])
					}
				}
			case strings.Contains(kind, "manifest"):
				if !strings.Contains(text, `"start_url": "`+prefix+`/"`) {
					t.Errorf("%s begins elsewhere: %s", path, text)
				}
			}
		}
	}
	for _, page := range []string{"/", "/check", "/client/turnhub.js", "/static/app.js"} {
		follow("the test", prefix+page)
	}
	if len(seen) < 10 {
		t.Errorf("only %d addresses were found", len(seen))
	}

	for _, at := range []string{"", prefix} {
		if got := get(s, at+"/config", browser...).Body.String(); !strings.Contains(got, `"signaling":"wss://example.com`+prefix+`/ws"`) {
			t.Errorf("%s/config says %s", at, got)
		}
		for path, want := range map[string]string{"/ws": "hub", "/peerjs/id": "peerjs", "/socket.io/": "socketio", "/relay/x": "relay"} {
			if got := get(s, at+path).Body.String(); got != want {
				t.Errorf("%s%s is answered by %q", at, path, got)
			}
		}
		if got := get(s, at+"/Check/", browser...).Header().Get("Location"); got != prefix+"/check" {
			t.Errorf("%s/Check/ leads to %q", at, got)
		}
		if got := get(s, at+"/nothing/here", browser...); got.Code != 404 || !strings.Contains(got.Body.String(), `href="`+prefix+`/"`) || strings.Contains(got.Body.String(), `"/static/`) {
			t.Errorf("an error below %q leads to %v", at, address.FindAllString(got.Body.String(), -1))
		}
	}
	if res := get(s, prefix+"?relay=1", browser...); res.Code != http.StatusTemporaryRedirect || res.Header().Get("Location") != prefix+"/?relay=1" {
		t.Errorf("without the slash: %d %q", res.Code, res.Header().Get("Location"))
	}
	if res := get(s, prefix+"x/", browser...); res.Code != 404 {
		t.Errorf("another path that begins like it: %d", res.Code)
	}
	// Whoever came before public_path was written gets the page anew, with its addresses.
	before := get(server(nil), "/", browser...).Header().Get("ETag")
	if res := get(s, prefix+"/", append(browser, "If-None-Match: "+before)...); res.Code != http.StatusOK {
		t.Errorf("the page from before is answered by %d", res.Code)
	}
	own := get(s, prefix+"/", browser...).Header().Get("ETag")
	if res := get(s, prefix+"/", append(browser, "If-None-Match: "+own)...); res.Code != http.StatusNotModified {
		t.Errorf("the page that has not changed is answered by %d", res.Code)
	}
	insecure := server(func(c *Config, _ *Settings) { c.PublicPath, c.Secure = prefix, true })
	for _, at := range []string{"/check?a=1", prefix + "/check?a=1"} {
		if got := get(insecure, at, "Accept: text/html").Header().Get("Location"); got != "https://example.com"+prefix+"/check?a=1" {
			t.Errorf("to https: %q", got)
		}
	}
}

// TestScriptWithinPages holds the script within each page against the policy that allows
// it by its hash, below a path too.
func TestScriptWithinPages(t *testing.T) {
	within := regexp.MustCompile(`(?s)<script data-title="[^>]*>(.*?)</script>`)
	for _, prefix := range []string{"", "/calls"} {
		s := server(func(c *Config, _ *Settings) { c.PublicPath = prefix })
		for _, page := range []string{"/", "/check"} {
			res := get(s, prefix+page, "Accept: text/html")
			at := within.FindStringSubmatch(res.Body.String())
			if at == nil {
				t.Fatalf("%s%s has no script within", prefix, page)
			}
			sum := sha256.Sum256([]byte(at[1]))
			if source := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(res.Header().Get("Content-Security-Policy"), source) {
				t.Errorf("%s%s: its policy allows another script", prefix, page)
			}
		}
	}
}
