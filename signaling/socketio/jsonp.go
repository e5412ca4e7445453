package socketio

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Long-polling by JSONP, for pages of the time before CORS, and by option forceJSONP:
// answers are scripts that call ___eio[j], data come from a form. Source: engine.io 3,
// lib/transports/polling-jsonp.js.

// jsonp returns the index of the callback that a request asks for; ok is false where it
// does not.
func jsonp(query url.Values) (index string, ok bool) {
	if !query.Has("j") {
		return "", false
	}
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, query.Get("j"))
	return digits[:min(len(digits), 9)], true
}

// script wraps a payload. JSON has no U+2028 and U+2029 that a script could not hold:
// json.Marshal escapes them, and <, > and & beside.
func script(index string, payload []byte) []byte {
	text, _ := json.Marshal(string(payload)) // a string cannot fail
	return []byte("___eio[" + index + "](" + string(text) + ");")
}

// formData takes the payload out of a form. The client writes a line feed as \n, and a \n
// that was there as \\n.
func formData(body []byte) ([]byte, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("d") {
		return nil, errors.New("a form of JSONP has a member d")
	}
	return []byte(strings.NewReplacer(`\\n`, `\n`, `\n`, "\n").Replace(form.Get("d"))), nil
}

// asPage gives a request by JSONP the Origin of its page, so that it is judged like
// others: a script is asked for without that header.
func asPage(r *http.Request) *http.Request {
	if r.Header.Get("Origin") != "" {
		return r
	}
	origin := "null"
	if page, err := url.Parse(r.Header.Get("Referer")); err == nil && page.Host != "" {
		origin = page.Scheme + "://" + page.Host
	}
	r = r.Clone(r.Context())
	r.Header.Set("Origin", origin)
	return r
}
