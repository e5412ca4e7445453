package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"turnhub/internal/forwarded"
)

func mint(user string, expires time.Time) (string, string) {
	return fmt.Sprintf("%d:%s", expires.Unix(), user), "password"
}

// proxy makes get's request come from the server's trusted proxy.
const proxy = "Remote: 192.0.2.1:1"

func saying(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s) })
}

func server(change func(*Config, *Settings)) *Server {
	c := Config{
		Mint:   mint,
		URLs:   func(uint16) []string { return []string{"turn:a:3478?transport=udp", "turn:a:3478?transport=tcp"} },
		Health: func() []string { return nil }, Ready: func() []string { return []string{"no URL works"} },
		Proxies: forwarded.New([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, nil),
		Mounts: []Mount{
			{Patterns: []string{"GET /ws"}, Handler: saying("hub")},
			{Patterns: []string{"/peerjs", "/peerjs/"}, Handler: saying("peerjs")},
			{Patterns: []string{"/socket.io/"}, Handler: saying("socketio")},
			{Patterns: []string{"/relay/{channel...}"}, Handler: saying("relay")},
		},
	}
	s := Settings{TTL: time.Hour, AllowedOrigins: []string{"*"}, RatePerPrefix: 50}
	if change != nil {
		change(&c, &s)
	}
	return New(c, s)
}

// get asks with a client address and headers "Name: value".
func get(s http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	method, path, ok := strings.Cut(target, " ")
	if !ok {
		method, path = "GET", target
	}
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "198.51.100.9:1234"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Remote" {
			r.RemoteAddr = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	s := server(nil)
	for target, want := range map[string]string{
		"/ws":                  "hub",
		"/peerjs":              "peerjs",
		"/peerjs/peerjs/id":    "peerjs",
		"POST /peerjs/a/b":     "peerjs",
		"OPTIONS /peerjs/a":    "peerjs",
		"/socket.io/?EIO=4":    "socketio",
		"POST /socket.io/":     "socketio",
		"/relay/room":          "relay",
		"/healthz":             `"status":"ok"`,
		"/readyz":              "no URL works",
		"/client/turnhub.js":   "export",
		"/client/turnhub.d.ts": "export",
		"/static/robots.txt":   "User-agent",
		"/robots.txt":          "User-agent",
		"/nothing":             "not-found",
		"/client/package.json": "not-found",
		"/client/test/x.mjs":   "not-found",
		"/client/../web.go":    "",
		"DELETE /config":       "ask with GET",
		"POST /":               "ask with GET",
	} {
		if w := get(s, target); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %q, want %q in it", target, w.Code, w.Body, want)
		}
	}
	if w := get(s, "/readyz"); w.Code != 503 {
		t.Errorf("readyz %d", w.Code)
	}
}

func TestPagesAreStrict(t *testing.T) {
	s := server(nil)
	h := get(s, "/").Header()
	csp := h.Get("Content-Security-Policy")
	// The call page alone runs WebAssembly, and no text as a script but the one within each page.
	if !strings.Contains(csp, "script-src 'self' 'wasm-unsafe-eval' 'sha256-") {
		t.Error(csp)
	}
	csp = strings.Replace(csp, " 'wasm-unsafe-eval'", "", 1)
	if other := get(s, "/check").Header().Get("Content-Security-Policy"); other != csp {
		t.Errorf("the network check has %s", other)
	}
	worker := get(s, "/static/blur.worker.js").Header().Get("Content-Security-Policy")
	if strings.Replace(worker, " 'wasm-unsafe-eval'", "", 1) != csp || worker == csp {
		t.Errorf("the worker that blurs has %s", worker)
	}
	if other := get(s, "/static/blur.js").Header().Get("Content-Security-Policy"); other != csp {
		t.Errorf("another script has %s", other)
	}
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Error(csp)
	}
	if h.Get("Strict-Transport-Security") != "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Error(h)
	}
	etag := get(s, "/client/turnhub.js").Header().Get("ETag")
	if w := get(s, "/client/turnhub.js", "If-None-Match: "+etag); w.Code != 304 {
		t.Error("a known file is sent again", w.Code)
	}
}

// TestPageLoadsOnlyWhatItNeeds: what few calls need is no part of the page's script, which
// names it for when it is needed.
func TestPageLoadsOnlyWhatItNeeds(t *testing.T) {
	s := server(nil)
	src := regexp.MustCompile(`<script type="module" src="([^"]+\.min\.[^"]+)"`).FindStringSubmatch(get(s, "/").Body.String())
	if src == nil {
		t.Skip("SKIPPED: no bundles are made (go generate ./internal/assets)")
	}
	script := get(s, src[1]).Body.String()
	door := get(s, "/client/call/websocket/path.min.js").Body.String()
	for _, at := range regexp.MustCompile(`(?:import\(|from|new URL\()"([^"]*)"`).FindAllStringSubmatch(door, -1) {
		if name := "/client/call/websocket/" + strings.TrimPrefix(at[1], "./"); !strings.HasPrefix(at[1], "./") || get(s, name).Code != 200 {
			t.Errorf("the last door asks for %s, which is not there", name)
		}
	}
	if regexp.MustCompile(`(?:from|import)\s*"`).MatchString(door) || strings.Count(door, "import(") != 1 || strings.Count(door, "new URL(") != 2 {
		t.Error("the last door comes in more than one file, beside libopus and what is played by worklets")
	}
	for file, parts := range map[string][]string{
		"client/call/websocket/path.min.js": {"AES-GCM", "VideoEncoder", "AudioEncoder"},
		"static/vendor/uplot/uPlot.js":      {"Leon Sorokin", "FEAT_TIME"},
		"static/vendor/matrix/symbols.js":   {"Hourglass"},
		"static/host.js":                    {"data-person"},
		"static/more.js":                    {"requestPictureInPicture"},
	} {
		if asked := strings.Replace("../"+file, "../static/", "./", 1); !strings.Contains(script, `import("`+asked+`")`) {
			t.Errorf("the page does not know where %s is", file)
		}
		for _, part := range parts {
			if strings.Contains(script, part) {
				t.Errorf("%s of %s is loaded with the page", part, file)
			}
			if !strings.Contains(get(s, "/"+file).Body.String(), part) {
				t.Errorf("%s is not in %s", part, file)
			}
		}
	}
	for _, part := range []string{"VideoEncoder", "AudioEncoder", "turnhub-playout", "opus.wasm"} {
		if strings.Contains(script, part) {
			t.Errorf("%s is loaded with the page", part)
		}
	}
}

func TestTLSRedirectsPages(t *testing.T) {
	s := server(func(c *Config, _ *Settings) { c.Secure, c.HSTS = true, true })
	if w := get(s, "/check?x=1"); w.Code != 307 || w.Header().Get("Location") != "https://example.com/check?x=1" {
		t.Error(w.Code, w.Header())
	}
	if w := get(s, "/config"); w.Code != 200 {
		t.Error("programs without TLS get no credentials", w.Code)
	}
	for _, proto := range []string{"https", "https, http", "https,https", "wss"} {
		if w := get(s, "/", proxy, "X-Forwarded-Proto: "+proto, "X-Forwarded-For: 9.9.9.9"); w.Code == 307 {
			t.Errorf("behind a proxy with TLS (%s) the redirection has no end", proto)
		}
	}
	if w := get(s, "/?r=1", proxy, "X-Forwarded-Proto: http", "X-Forwarded-Host: calls.example"); w.Header().Get("Location") != "https://calls.example/?r=1" {
		t.Error(w.Code, w.Header())
	}
	r := httptest.NewRequest("GET", "http://localhost:8080/", nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code == 307 {
		t.Error("localhost is redirected")
	}
	r = httptest.NewRequest("GET", "https://example.com/", nil) // sets TLS
	w = httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS")
	}
}

func TestRelayAtRoot(t *testing.T) {
	s := server(func(c *Config, _ *Settings) {
		c.Mounts = append(c.Mounts, Mount{Handler: saying("root relay"), Ahead: WebSocketAtRoot})
	})
	if w := get(s, "/", "Upgrade: websocket", "Connection: Upgrade"); w.Body.String() != "root relay" {
		t.Error(w.Body)
	}
	if w := get(s, "/"); w.Body.String() == "root relay" {
		t.Error("the page is gone")
	}
	if w := get(server(nil), "/", "Upgrade: websocket"); w.Body.String() == "root relay" {
		t.Error("on by default")
	}
}

// TestPeerJSAnywhere: clients with another option path get through where
// nothing else is.
func TestPeerJSAnywhere(t *testing.T) {
	s := server(func(c *Config, _ *Settings) {
		c.Mounts[1].Else = func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/peerjs") }
	})
	for path, want := range map[string]string{"/peerjs": "peerjs", "/some/app/peerjs": "peerjs", "/relay/peerjs": "relay"} {
		if w := get(s, path, "Upgrade: websocket"); w.Body.String() != want {
			t.Errorf("%s: %s, want %s", path, w.Body, want)
		}
	}
	if w := get(s, "/some/app/other"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

// TestReadiness tells what fails even where the rest is enough for calls.
func TestReadiness(t *testing.T) {
	urls := func() []URLState {
		return []URLState{{"turn:h:3478?transport=udp", "works"}, {"turns:h:443?transport=tcp", "tls"}}
	}
	w := httptest.NewRecorder()
	Readiness(w, func() []string { return nil }, urls)
	const want = `{"reasons":[],"status":"ok","urls":[{"url":"turn:h:3478?transport=udp","state":"works"},{"url":"turns:h:443?transport=tcp","state":"tls"}]}`
	if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != want {
		t.Errorf("%d %s", w.Code, got)
	}
	w = httptest.NewRecorder()
	Readiness(w, func() []string { return []string{"the server is going down"} }, nil)
	if got := w.Body.String(); w.Code != 503 || !strings.Contains(got, "going down") || !strings.Contains(got, `"urls":[]`) {
		t.Errorf("%d %s", w.Code, got)
	}
}
