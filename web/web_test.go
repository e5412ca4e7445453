package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/forwarded"
	"turnhub/internal/netaddr"
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

func TestConfig(t *testing.T) {
	s := server(nil)
	w := get(s, "/config?user=vasya", "Origin: https://shop.example")
	var c struct {
		ICEServers []struct {
			URLs                 []string
			Username, Credential string
		}
		TTL       int
		Expires   time.Time
		Signaling string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		t.Fatal(err, w.Body)
	}
	h := w.Header()
	if w.Code != 200 || h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
		h.Get("Vary") != "Origin" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Error(w.Code, h)
	}
	if len(c.ICEServers) != 1 || len(c.ICEServers[0].URLs) != 2 || !strings.HasSuffix(c.ICEServers[0].Username, ":vasya") ||
		c.ICEServers[0].Credential != "password" || c.TTL != 3600 || time.Until(c.Expires) > time.Hour || time.Until(c.Expires) < 59*time.Minute ||
		c.Signaling != "ws://example.com/ws" {
		t.Errorf("%+v", c)
	}
	if w := get(s, "/config", proxy, "X-Forwarded-Proto: https, http", "X-Forwarded-Host: calls.example"); !strings.Contains(w.Body.String(), `"wss://calls.example/ws"`) {
		t.Error(w.Body)
	}
	if w := get(s, "/config", proxy, "X-Forwarded-For: 9.9.9.9"); !strings.Contains(w.Body.String(), `"client":"9.9.9.9"`) {
		t.Error("the asker is not told where the server believes the asker to be", w.Body)
	}
	if w := get(s, "/config", "X-Forwarded-For: 9.9.9.9"); !strings.Contains(w.Body.String(), `"client":"198.51.100.9"`) {
		t.Error(w.Body)
	}
	for _, stranger := range []string{"Remote: 198.51.100.9:1", "Remote: 127.0.0.1:1", "Remote: [::1]:1"} {
		if w := get(s, "/config", stranger, "X-Forwarded-Proto: https", "X-Forwarded-Host: calls.example"); !strings.Contains(w.Body.String(), `"ws://example.com/ws"`) {
			t.Error(stranger, "is believed", w.Body)
		}
	}
	if a, b := get(s, "/config").Body.String(), get(s, "/config").Body.String(); a == b {
		t.Error("two strangers have one name, so they may reach each other")
	}
	for _, bad := range []string{"s_abc", "a%20b", strings.Repeat("a", 65), "a:b"} {
		if w := get(s, "/config?user="+bad); w.Code != 400 || !strings.Contains(w.Body.String(), "must have 1 to 64 characters") {
			t.Errorf("user %q: %d %s", bad, w.Code, w.Body)
		}
	}
}

func TestConfigNamesFourURLsAtMost(t *testing.T) {
	c := NewRTCConfiguration([]string{"stun:a:1", "turn:b:2", "turn:c:3", "turns:d:4", "turn:e:5"}, mint, "u", time.Hour)
	out, _ := json.Marshal(c.ICEServers)
	if got := strings.Count(string(out), "turn:") + strings.Count(string(out), "turns:") + strings.Count(string(out), "stun:"); got != 4 {
		t.Error(got, string(out))
	}
	if !strings.HasPrefix(string(out), `[{"urls":["stun:a:1"]},{"urls":["turn:b:2"`) {
		t.Error(string(out))
	}
}

func TestNothingProved(t *testing.T) {
	s := server(func(c *Config, _ *Settings) { c.URLs = func(uint16) []string { return nil } })
	for _, path := range []string{"/config", "/turn?service=turn"} {
		if w := get(s, path); w.Code != 503 || !strings.Contains(w.Body.String(), "turnhub check") {
			t.Error(path, w.Code, w.Body)
		}
	}
	if n := s.Stats().Unproved; n != 2 {
		t.Error(n)
	}
}

func TestTURN(t *testing.T) {
	s := server(nil)
	w := get(s, "/turn?service=turn&username=bob&key=anything")
	var c struct {
		Username, Password string
		TTL                int
		URIs               []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || !strings.HasSuffix(c.Username, ":bob") || c.Password != "password" || c.TTL != 3600 || len(c.URIs) != 2 {
		t.Error(err, w.Body)
	}
	if w := get(s, "/turn?username=bob"); w.Code != 400 || !strings.Contains(w.Body.String(), "service=turn") {
		t.Error(w.Code, w.Body)
	}
}

func TestOrigins(t *testing.T) {
	s := server(func(_ *Config, s *Settings) { s.AllowedOrigins = []string{"same", "https://a.example"} })
	for origin, code := range map[string]int{"https://a.example": 200, "https://b.example": 403, "http://example.com": 200, "null": 403} {
		if w := get(s, "/config", "Origin: "+origin); w.Code != code {
			t.Error(origin, w.Code, w.Body)
		}
	}
	w := get(s, "OPTIONS /config", "Origin: https://a.example", "Access-Control-Request-Headers: authorization")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://a.example" || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Error(w.Code, w.Header())
	}
	if w := get(s, "OPTIONS /turn", "Origin: https://b.example"); w.Code != 403 {
		t.Error(w.Code)
	}
}

func TestTokens(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("x", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: secret})
	if err != nil {
		t.Fatal(err)
	}
	token, err := access.Mint(secret, "vasya", nil, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := server(func(c *Config, _ *Settings) { c.Access = verifier })
	for _, path := range []string{"/config", "/turn?service=turn", "/", "/check"} {
		w := get(s, path, "Origin: https://a.example")
		if w.Code != 401 || !strings.Contains(w.Body.String(), `"error"`) {
			t.Error(path, w.Code, w.Body)
		}
	}
	if w := get(s, "/", "Accept: text/html,*/*"); w.Code != 401 || !strings.Contains(w.Body.String(), "Ask whoever invited you") {
		t.Error("a browser is not told what to do:", w.Code, w.Body)
	}
	if w := get(s, "/config", "Origin: https://a.example"); w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Error("the page cannot read why")
	}
	for _, path := range []string{"/client/turnhub.js", "/static/robots.txt", "/healthz"} {
		if w := get(s, path); w.Code != 200 {
			t.Error(path, w.Code)
		}
	}
	for target, header := range map[string]string{
		"/config": "Authorization: Bearer " + token, "/config?user=vasya&token=" + token: "X: y",
		"/turn?service=turn&key=" + token: "X: y", "/?token=" + token: "X: y",
	} {
		w := get(s, target, header)
		if w.Code != 200 && !strings.HasPrefix(target, "/?") || w.Code == 401 {
			t.Error(target, w.Code, w.Body)
		}
		if strings.HasPrefix(target, "/config") && !strings.Contains(w.Body.String(), ":vasya") {
			t.Error("the token's user is not in the credential:", w.Body)
		}
	}
	if w := get(s, "/config?user=petya", "Authorization: Bearer "+token); w.Code != 403 {
		t.Error("a token mints for another user", w.Code)
	}
}

// TestInvitations: who is let in may let others into the same room, without giving
// away the own token.
func TestInvitations(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("x", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: secret})
	if err != nil {
		t.Fatal(err)
	}
	token, err := access.Mint(secret, "vasya", []string{"blue"}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := server(func(c *Config, _ *Settings) { c.Access = verifier })
	var made struct {
		Token, Room, User string
		Expires           time.Time
	}
	w := get(s, "POST /invitation?room=blue", "Authorization: Bearer "+token, "Origin: https://a.example")
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 200 || made.Room != "blue" || made.Token == "" || made.Token == token ||
		time.Until(made.Expires) > time.Hour || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Fatal(err, w.Code, w.Body, w.Header())
	}
	if w := get(s, "/config?token="+made.Token); w.Code != 200 || !strings.Contains(w.Body.String(), made.User) {
		t.Error("the invitation does not let in:", w.Code, w.Body)
	}
	if w := get(s, "/?token="+made.Token, browser); w.Code != 200 {
		t.Error(w.Code, w.Body)
	}
	for target, want := range map[string]int{"blue": 200, "red": 403, "": 400, "a%20b": 400} {
		if w := get(s, "POST /invitation?room="+target, "Authorization: Bearer "+made.Token); w.Code != want {
			t.Errorf("a guest invites to %q: %d %s", target, w.Code, w.Body)
		}
	}
	for _, without := range []string{"X: y", "Authorization: Bearer x"} {
		if w := get(s, "POST /invitation?room=blue", without); w.Code != 401 {
			t.Error(without, w.Code, w.Body)
		}
	}
	if w := get(s, "OPTIONS /invitation", "Origin: https://a.example"); w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "POST") {
		t.Error(w.Code, w.Header())
	}
	if err := verifier.Revoke("vasya"); err != nil {
		t.Fatal(err)
	}
	if w := get(s, "/?token="+made.Token, browser); w.Code != 401 || !strings.Contains(w.Body.String(), "withdrawn") {
		t.Error(w.Code, w.Body)
	}
	if w := get(server(nil), "POST /invitation?room=blue"); w.Code != 200 || !strings.Contains(w.Body.String(), `"token":""`) {
		t.Error("in mode open:", w.Code, w.Body)
	}
	slow := server(func(c *Config, s *Settings) { c.Access, s.RatePerPrefix = verifier, 0.001 })
	get(slow, "POST /invitation?room=blue")
	if w := get(slow, "POST /invitation?room=blue"); w.Code != 429 {
		t.Error("no limit:", w.Code)
	}
}

func TestRateLimit(t *testing.T) {
	l, now := newRateLimit(), int64(0)
	a, neighbour := netip.MustParseAddr("9.9.9.1"), netip.MustParseAddr("9.9.9.200")
	for i := range 10 {
		if over := l.at(now, a, 5); over != netaddr.Within {
			t.Fatal(over, "at", i)
		}
	}
	if over := l.at(now, a, 5); over != netaddr.OverHousehold {
		t.Error("a household has more than its share", over)
	}
	if over := l.at(now, neighbour, 5); over != netaddr.Within {
		t.Error("the neighbour pays for it", over)
	}
	now += 200e6
	if l.at(now, a, 5) != netaddr.Within || l.at(now, a, 5) != netaddr.OverHousehold {
		t.Error("it does not fill up at its rate")
	}
	// A whole /48, each of its homes within its own share.
	granted := 0
	for i := range 200 {
		home := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(i), 15: 1})
		for range 5 {
			switch over := l.at(now, home, 5); {
			case over == netaddr.Within:
				granted++
			case over != netaddr.OverNetwork:
				t.Fatal(over)
			}
		}
	}
	if granted != 10*netaddr.NetworkShare {
		t.Errorf("a /48 got %d", granted)
	}
	s := server(func(_ *Config, s *Settings) { s.RatePerPrefix = 0.001 })
	get(s, "/config")
	if w := get(s, "/config"); w.Code != 429 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "wait") {
		t.Error(w.Code, w.Body)
	}
	s.SetSettings(*s.settings.Load()) // as a reload does
	if w := get(s, "/config"); w.Code != 429 {
		t.Errorf("after a reload: %d", w.Code)
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
