package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestWrongLinks: a person gets a page that says what to do, a program JSON.
func TestWrongLinks(t *testing.T) {
	s := server(func(c *Config, _ *Settings) {
		c.Hub = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "this is a WebSocket", http.StatusUpgradeRequired)
		})
	})
	for path, want := range map[string]struct {
		status int
		text   string
		not    string
	}{
		"/my-room":              {404, `href="/#my-room">Join the room “my-room”`, ""},
		"/my-room/":             {404, `href="/#my-room"`, ""},
		"/my.room":              {404, `href="/#my.room"`, ""},
		"/MY-ROOM?x=1":          {404, `href="/#MY-ROOM"`, ""},
		"/na%C3%AFve%20room":    {404, `href="/#na%c3%afve%20room">Join the room “naïve room”`, ""},
		"/%3Cscript%3Ealert(1)": {404, "&lt;script&gt;alert(1)", "<script>"},
		"/wrong/link":           {404, "There is no page at this address", "Join the room"},
		"/a%00b":                {404, "There is no page at this address", "Join the room"},
		"/%ff":                  {404, "There is no page at this address", "Join the room"},
		"/static/nothing.js":    {404, "There is no such file", "Join the room"},
		"/client/":              {404, "There is no such file", "Join the room"},
		"/ws":                   {426, "This address is for programs", "Join the room"},
		"/config?user=a%20b":    {400, "1 to 64 characters", "Join the room"},
	} {
		w := get(s, path, browser, "Sec-Fetch-Mode: navigate")
		body := w.Body.String()
		if w.Code != want.status || !strings.Contains(body, want.text) || want.not != "" && strings.Contains(body, want.not) {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
		h := w.Header()
		if !strings.HasPrefix(h.Get("Content-Type"), "text/html") || h.Get("Cache-Control") != "no-store" || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("ETag") != "" {
			t.Errorf("%s: %v", path, h)
		}
		for _, program := range [][]string{{"Accept: */*"}, {"Accept: application/json"}, {browser, "Sec-Fetch-Mode: cors"}, {browser, "Upgrade: websocket"}, {"Accept: text/html;q=0, */*"}} {
			if w := get(s, path, program...); w.Code != want.status || strings.Contains(w.Body.String(), "<html") {
				t.Errorf("%s %v: %d %s", path, program, w.Code, w.Body)
			}
		}
	}
	if w := get(s, "/my-room?token=a&x=b", browser); !strings.Contains(w.Body.String(), `href="/?token=a#my-room"`) {
		t.Error("the way on has lost the token:", w.Body)
	}
	if w := get(s, "HEAD /nothing", browser); w.Code != 404 || w.Header().Get("Content-Length") == "" {
		t.Error(w.Code, w.Header())
	}
	if w := get(s, "/config", browser); w.Code != 200 || !strings.Contains(w.Body.String(), "iceServers") {
		t.Error("/config in a browser:", w.Code, w.Body)
	}
}

// TestNearlyRightLinks lead to the page that was meant.
func TestNearlyRightLinks(t *testing.T) {
	s := server(nil)
	for from, to := range map[string]string{
		"/check/": "/check", "/Check?token=x": "/check?token=x", "/CHECK": "/check", "/check.html": "/check",
		"/index.html": "/", "/Index.html?room=a": "/?room=a", "/static/index.html": "/",
	} {
		if w := get(s, from, browser); w.Code != 307 || w.Header().Get("Location") != to {
			t.Error(from, w.Code, w.Header())
		}
	}
	for _, right := range []string{"/", "/check"} {
		if w := get(s, right, browser); w.Code != 200 {
			t.Error(right, w.Code)
		}
	}
	if w := get(s, "/%63heck", browser); w.Code != 200 {
		t.Error(w.Code)
	}
}

// TestErrorPageIsNoObstacle: what a handler says in small pieces or without error
// goes through.
func TestErrorPageIsNoObstacle(t *testing.T) {
	s := server(func(c *Config, _ *Settings) {
		c.Relay = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/relay/early" {
				w.WriteHeader(http.StatusEarlyHints)
			}
			for range 3 {
				w.Write([]byte("piece "))
			}
			w.WriteHeader(http.StatusInternalServerError) // too late
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		})
	})
	for _, path := range []string{"/relay/x", "/relay/early"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Body.String() != "piece piece piece " || w.Code != 200 && w.Code != http.StatusEarlyHints {
			t.Error(path, w.Code, w.Body)
		}
	}
}
