package web

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"turnhub/internal/access"
	"turnhub/internal/assets"
)

// Whoever follows a wrong link in a browser gets a page that says what to do. All
// answers that are errors pass here, whichever handler has written them: programs get
// them as they are, people as a page.

// errorPage is the page; site() has put the hashed names of its files in.
var errorPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("error").Parse(string(site().File("static/error.html").Content)))
})

// maxSaid bounds how much of an error's own text is looked at, in bytes.
const maxSaid = 4 << 10

// forPeople reports whether a person looks at the answer: it is the address that a
// browser was sent to, not what a program of a page asks for.
func forPeople(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || isUpgrade(r) {
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
	page := pageOf(r, e.status, e.said.Bytes())
	var out bytes.Buffer
	if err := errorPage().Execute(&out, page); err != nil {
		panic(err) // no value makes it fail, only a mistake in the page
	}
	h := e.ResponseWriter.Header()
	securityHeaders(h)
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
	Room        string // that the address may have meant
	Home, Query string // the start page, with the visitor's access token
	Actions     bool   // whether there is a way on from here
}

// pageOf says an error in words for people. said is what the handler has written for
// programs.
func pageOf(r *http.Request, status int, said []byte) errorView {
	var own struct{ Error, Message string }
	if json.Unmarshal(said, &own) != nil && utf8.Valid(said) && len(said) < 300 {
		own.Message = string(said)
	}
	v := errorView{Status: status, State: "error", Title: http.StatusText(status), Text: sentence(own.Message), Home: "/", Actions: true}
	if token := r.URL.Query().Get("token"); token != "" {
		v.Query = "?" + url.Values{"token": {token}}.Encode()
		v.Home += v.Query
	}
	switch {
	case status == http.StatusUnauthorized:
		v.State, v.Actions, v.Title, v.Text = "refused", false, "An invitation is needed", refusal(own.Message)
		if own.Message == access.ErrExpired.Error() || own.Message == access.ErrInvitationExpired.Error() {
			v.Title = "This invitation has expired"
		}
	case strings.HasPrefix(r.URL.Path, "/static/"), strings.HasPrefix(r.URL.Path, "/client/"):
		v.Title, v.Text = "There is no such file", "Calls begin on the start page."
	case isService(r.URL.Path):
		v.State, v.Title = "service", "This address is for programs"
		v.Text = "Programs talk to the server here, there is nothing to look at. Calls begin on the start page."
		if r.URL.Path == "/config" || r.URL.Path == "/turn" || r.URL.Path == "/invitation" {
			v.Title, v.Text = "This did not work", sentence(own.Message)
		}
	case status == http.StatusNotFound:
		v.State, v.Title = "not-found", "There is no page at this address"
		v.Text = "The link may be cut off, or have a letter too many."
		if v.Room = meantRoom(r.URL.Path); v.Room != "" {
			v.Text = "Did you mean a room of this name?"
		}
	}
	return v
}

// isService reports whether an address is one that only programs use.
func isService(p string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	switch first {
	case "ws", "media", "relay", "peerjs", "socket.io", "config", "turn", "invitation":
		return true
	}
	return false
}

// meantRoom returns the room that somebody may have meant with a path: /my-room. The
// call page says it where that is no name for a room.
func meantRoom(p string) string {
	name := strings.Trim(p, "/")
	odd := func(c rune) bool { return c < ' ' || c == '/' || c == utf8.RuneError }
	if utf8.RuneCountInString(name) > 128 || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

// refusal says what an access token lacks, for people.
func refusal(message string) string {
	const ask = " Ask whoever invited you for a new link."
	switch message {
	case access.ErrMissing.Error():
		return "Calls here are by invitation. Open the link that you were sent; if it brought you here, it is not whole: copy all of it." + ask
	case access.ErrExpired.Error(), access.ErrInvitationExpired.Error():
		return "Links to calls here work for a limited time only, and the time of this one is over." + ask
	case access.ErrRevoked.Error():
		return "The operator has withdrawn it." + ask
	}
	return "This link is not valid here: it may be cut off, or for another server." + ask
}

// sentence makes one of a message for programs.
func sentence(message string) string {
	message = strings.TrimSpace(message)
	if message == "" {
		return "Calls begin on the start page."
	}
	first, size := utf8.DecodeRuneInString(message)
	message = strings.ToUpper(string(first)) + message[size:]
	if !strings.HasSuffix(message, ".") {
		message += "."
	}
	return message
}

// moved sends who is nearly right to the address that is: /check/, /Check and
// /index.html. It reports whether it has.
func moved(w http.ResponseWriter, r *http.Request) bool {
	if !forPeople(r) {
		return false
	}
	to := ""
	switch p := strings.ToLower(strings.TrimRight(r.URL.Path, "/")); p {
	case "/check", "/check.html", "/static/check.html":
		to = "/check"
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
	http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	return true
}
