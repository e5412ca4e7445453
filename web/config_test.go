package web

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
)

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
