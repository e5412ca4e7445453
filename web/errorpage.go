package web

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"turnhub/internal/access"
	"turnhub/internal/assets"
	"turnhub/internal/handshake"
	"turnhub/internal/words"
)

// Whoever follows a wrong link in a browser gets a page that says what to do. All
// answers that are errors pass here, whichever handler has written them: programs get
// them as they are, people as a page.

// errorPages are the page in each language, by its tag; the site has put the hashed names
// of its files in.
func errorPages(site *assets.Set) map[string]*template.Template {
	all := map[string]*template.Template{}
	for l := range languages().All {
		page := site.File(assets.InLanguage("static/error.html", l.Tag))
		all[l.Tag] = template.Must(template.New("error").Parse(string(page.Content)))
	}
	return all
}

// maxSaid bounds how much of an error's own text is looked at, in bytes.
const maxSaid = 4 << 10

// forPeople reports whether a person looks at the answer: it is the address that a
// browser was sent to, not what a program of a page asks for.
func forPeople(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || handshake.IsWebSocket(r) {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	for _, field := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(field, ",") {
			kind, parameters, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") && strings.ReplaceAll(parameters, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

// errorWriter passes answers on, but for errors, which it keeps for finish.
type errorWriter struct {
	http.ResponseWriter
	site   *Server
	status int // of the error; 0: none
	begun  bool
	said   bytes.Buffer
}

func (e *errorWriter) WriteHeader(status int) {
	if e.begun || status < http.StatusBadRequest {
		e.begun = e.begun || status >= http.StatusOK
		e.ResponseWriter.WriteHeader(status)
		return
	}
	if e.status == 0 {
		e.status = status
	}
}

func (e *errorWriter) Write(b []byte) (int, error) {
	if e.status == 0 {
		e.begun = true
		return e.ResponseWriter.Write(b)
	}
	if room := maxSaid - e.said.Len(); room > 0 {
		e.said.Write(b[:min(len(b), room)])
	}
	return len(b), nil
}

// Unwrap is for http.ResponseController.
func (e *errorWriter) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// finish sends the page where there was an error.
func (e *errorWriter) finish(r *http.Request) {
	if e.status == 0 {
		return
	}
	h := e.ResponseWriter.Header()
	l := languageOf(e.ResponseWriter, r)
	var out bytes.Buffer
	if err := e.site.wrong[l.Tag].Execute(&out, e.site.pageOf(l, r, e.status, e.said.Bytes())); err != nil {
		panic(err) // no value makes it fail, only a mistake in the page
	}
	securityHeaders(h)
	if embedOf(r) {
		setAncestors(h, "*") // a person who looks at a frame reads it, too
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", assets.Never)
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	h.Del("Content-Encoding")
	h.Del("ETag")
	h.Del("Accept-Ranges")
	e.ResponseWriter.WriteHeader(e.status)
	_, _ = e.ResponseWriter.Write(out.Bytes())
}

// errorView is what the page shows.
type errorView struct {
	Status      int
	State       string // for the page's own scripts and tests
	Title, Text string
	Room, Join  string // that the address may have meant, and the words for going there
	Home, Query string // the start page, with the visitor's access token
	Actions     bool   // whether there is a way on from here
	Embedded    bool   // it is looked at in another page
}

// pageOf says an error in words for people: its code is looked up, what the handler
// has written beside it is for programs, and not shown.
func (s *Server) pageOf(l *words.Language, r *http.Request, status int, said []byte) errorView {
	var own struct{ Error, Reason string }
	_ = json.Unmarshal(said, &own) // what is no JSON has no code
	v := errorView{Status: status, State: "error", Title: l.Say("wrong.failed"), Text: l.Say(errorKey(status, own.Error)), Home: s.cfg.PublicPath + "/", Actions: true}
	if token := r.URL.Query().Get("token"); token != "" {
		v.Query = "?" + url.Values{"token": {token}}.Encode()
		v.Home += v.Query
	}
	if embedOf(r) {
		v.Embedded, v.Actions = true, false // the other pages are in no frame
	}
	switch {
	case own.Error == embedRefused:
		v.State, v.Text = "not-embedded", l.Say("wrong.embed", "page", embedder(r))
	case status == http.StatusUnauthorized:
		v.State, v.Actions = "refused", false
		v.Title, v.Text = l.Say("wrong.invitation"), l.Say(refusalKey(own.Reason))
		if own.Reason == access.ReasonExpired {
			v.Title = l.Say("wrong.expired")
		}
	case strings.HasPrefix(r.URL.Path, "/static/"), strings.HasPrefix(r.URL.Path, "/client/"):
		v.Title, v.Text = l.Say("wrong.no-file"), l.Say("wrong.start")
	case s.isService(r.URL.Path):
		v.State = "service"
		if !answersPeople(r.URL.Path) {
			v.Title, v.Text = l.Say("wrong.service"), l.Say("wrong.service-text")
		}
	case status == http.StatusNotFound:
		v.State, v.Title, v.Text = "not-found", l.Say("wrong.no-page"), l.Say("wrong.no-page-text")
		if v.Room = meantRoom(r.URL.Path); v.Room != "" {
			v.Text, v.Join = l.Say("wrong.room"), l.Say("wrong.join", "room", v.Room)
		}
	}
	return v
}

// errorKey returns the key of the words for an error code of this package, or for a
// status where there is none.
func errorKey(status int, code string) string {
	switch code {
	case "user":
		return "wrong.user"
	case "revoked":
		return "wrong.user-revoked"
	case "origin":
		return "wrong.origin"
	case "rate":
		return "wrong.rate"
	case "no-working-url":
		return "wrong.no-working-url"
	case "service", "room", "hands":
		return "wrong.query"
	case "method":
		return "wrong.method"
	}
	if status >= http.StatusInternalServerError {
		return "wrong.server"
	}
	return "wrong.other"
}

// refusalKey returns the key of what an access token lacks.
func refusalKey(reason string) string {
	switch reason {
	case access.ReasonMissing:
		return "wrong.invitation-text"
	case access.ReasonExpired:
		return "wrong.expired-text"
	case access.ReasonRevoked:
		return "wrong.revoked-text"
	}
	return "wrong.invalid-text"
}

// answersPeople reports whether it can be of use to a person to read what this service
// says.
func answersPeople(p string) bool { return p == "/config" || p == "/turn" || p == "/invitation" }

// isService reports whether an address is one that only programs use: it begins as one
// of ours or of a dialect's does.
func (s *Server) isService(p string) bool {
	first := firstOf(p)
	if slices.Contains([]string{"config", "turn", "invitation"}, first) {
		return true
	}
	return slices.ContainsFunc(s.cfg.Mounts, func(m Mount) bool {
		return slices.ContainsFunc(m.Patterns, func(pattern string) bool {
			_, path, _ := strings.Cut(pattern, "/") // behind a method, perhaps
			return firstOf("/"+path) == first
		})
	})
}

// firstOf is the first part of a path: relay of /relay/blue.
func firstOf(p string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	return first
}

// meantRoom returns the room that somebody may have meant with a path: /my-room. The
// call page says it where that is no name for a room.
func meantRoom(p string) string {
	name := strings.Trim(p, "/")
	odd := func(c rune) bool { return c < ' ' || c == '/' || c == utf8.RuneError }
	if utf8.RuneCountInString(name) > access.MaxRoomName || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

// moved sends who is nearly right to the address that is: /check/, /Check and
// /index.html. It reports whether it has.
func (s *Server) moved(w http.ResponseWriter, r *http.Request) bool {
	if !forPeople(r) {
		return false
	}
	to := ""
	switch p := strings.ToLower(strings.TrimRight(r.URL.Path, "/")); p {
	case "/check", "/check.html", "/static/check.html":
		to = "/check"
	case "/privacy", "/privacy.html", "/static/privacy.html":
		to = "/privacy"
	case "/index.html", "/index.htm", "/static/index.html":
		to = "/"
	}
	if to == "" || to == r.URL.Path {
		return false
	}
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Cache-Control", assets.Never)
	http.Redirect(w, r, s.cfg.PublicPath+to, http.StatusTemporaryRedirect)
	return true
}
