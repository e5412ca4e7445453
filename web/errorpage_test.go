package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"turnhub/internal/access"
)

const browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestWrongLinks: a person gets a page that says what to do, a program JSON.
func TestWrongLinks(t *testing.T) {
	s := server(func(c *Config, _ *Settings) {
		c.Mounts[0].Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
		"/turn":                 {400, "lacks what the program asks for", "username=NAME"}, // that is for programs
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

// TestLanguages: pages come in the language that the visitor has chosen, else in the
// best that the browser speaks, and say what to ask before they are kept for others.
func TestLanguages(t *testing.T) {
	s := server(nil)
	const german, cookie = "Accept-Language: de-AT,de;q=0.9,en;q=0.5", "Cookie: a=b; turnhub-language=de"
	for _, c := range []struct {
		path, want, lang string
		headers          []string
	}{
		{"/", "Start a call", "en", nil},
		{"/", "Anruf starten", "de", []string{german}},
		{"/", "Anruf starten", "de", []string{cookie}},
		{"/", "Start a call", "en", []string{german, "Cookie: turnhub-language=en"}},
		{"/", "Anruf starten", "de", []string{german, "Cookie: turnhub-language=../../x"}},
		{"/?language=en", "Start a call", "en", []string{german, cookie}},
		{"/check", "Das Netz wird geprüft", "de", []string{german}},
		{"/my-room", "Raum „my-room“ betreten", "de", []string{german}},
		{"/static/nothing.js", "Diese Datei gibt es nicht", "de", []string{german}},
		{"/config?user=a%20b", "Ein Rufname hat 1 bis 64 Zeichen", "de", []string{german}},
		{"/my-room", "Join the room", "en", []string{"Accept-Language: ja"}},
		{"/my-room", "دخول الغرفة «\u2068my-room\u2069»", "ar", []string{"Accept-Language: ar-EG"}},
		{"/%D7%97%D7%93%D7%A8", "Увійти до кімнати «\u2068חדר\u2069»", "uk", []string{"Accept-Language: uk"}},
	} {
		w := get(s, c.path, append(c.headers, browser, "Sec-Fetch-Mode: navigate")...)
		body, h := w.Body.String(), w.Header()
		dir := "ltr"
		if c.lang == "ar" {
			dir = "rtl"
		}
		if !strings.Contains(body, c.want) || !strings.Contains(body, `<html lang="`+c.lang+`" dir="`+dir+`">`) || strings.Contains(body, "[[") {
			t.Errorf("%s %v: %.300s", c.path, c.headers, body)
		}
		if h.Get("Content-Language") != c.lang || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept-Language, Cookie") {
			t.Errorf("%s %v: %v", c.path, c.headers, h)
		}
	}
	en, de := get(s, "/"), get(s, "/", german)
	if w := get(s, "/", german, "If-None-Match: "+en.Header().Get("ETag")); w.Code != 200 || en.Header().Get("ETag") == de.Header().Get("ETag") {
		t.Error("what was kept in another language counts as the same:", w.Code)
	}
	if w := get(s, "/static/manifest.de.webmanifest"); w.Code != 200 || !strings.Contains(w.Body.String(), "Videoanrufe") {
		t.Error(w.Code, w.Body)
	}
	if w := get(s, "/static/index.de.html"); w.Code != 404 {
		t.Error("a page has two addresses:", w.Code)
	}
}

// TestErrorWords: every code and reason has words in every language, and what is
// written for programs is not shown.
func TestErrorWords(t *testing.T) {
	for l := range languages().All {
		keys := []string{errorKey(500, ""), errorKey(404, "x")}
		for _, code := range []string{"user", "revoked", "origin", "rate", "no-working-url", "service", "room", "hands", "method"} {
			if errorKey(400, code) == errorKey(400, "") {
				t.Error(code, "has no words")
			}
			keys = append(keys, errorKey(400, code))
		}
		for _, reason := range []string{access.ReasonMissing, access.ReasonExpired, access.ReasonRevoked, access.ReasonInvalid, ""} {
			keys = append(keys, refusalKey(reason))
		}
		for _, key := range keys {
			if !l.Has(key) {
				t.Errorf("%s has no %s", l.Tag, key)
			}
		}
		r := httptest.NewRequest("GET", "/config", nil)
		for _, status := range []int{400, 401, 403, 404, 405, 408, 413, 415, 429, 431, 500, 503} {
			v := server(nil).pageOf(l, r, status, []byte(`{"error":"odd","message":"raw text of a handler"}`))
			if v.Title == "" || strings.Contains(v.Title+v.Text, "raw text") {
				t.Error(l.Tag, status, v)
			}
		}
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
		c.Mounts[3].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
