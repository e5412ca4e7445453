package socketio

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// TestErrors: the codes of the reference server (engine.io, BaseServer.errors).
func TestErrors(t *testing.T) {
	f := start(t, signaling.Limits{})
	sid := f.connect("").query
	for _, c := range []struct {
		method, query string
		status, code  int
	}{
		{"GET", "", 400, 0},
		{"GET", "?EIO=4&transport=carrier-pigeon", 400, 0},
		{"GET", "?EIO=1&transport=polling", 400, 5},
		{"GET", "?transport=polling", 400, 5},
		{"GET", polling + "&sid=nobody", 400, 1},
		{"POST", polling + "&sid=nobody", 400, 1},
		{"POST", polling, 400, 2},
		{"PUT", sid, 400, 3},
		{"GET", "?EIO=4&transport=websocket", 400, 3},
		{"GET", polling + "&channel=" + strings.Repeat("x", 129), 400, 3},
	} {
		status, h, body := f.request(c.method, c.query, "")
		var answer struct {
			Code    *int
			Message string
		}
		if status != c.status || json.Unmarshal([]byte(body), &answer) != nil || answer.Code == nil || *answer.Code != c.code || answer.Message == "" {
			t.Errorf("%s %s: %d %s, want %d and code %d", c.method, c.query, status, body, c.status, c.code)
		}
		if h.Get("Access-Control-Allow-Origin") != "http://page.example" || h.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s %s: no CORS headers", c.method, c.query)
		}
	}
}

// TestBadInput: bad packets end the session of their sender, with HTTP 400 or
// a Close that says why; nobody else is affected.
func TestBadInput(t *testing.T) {
	bad := []string{
		"", "9", "x", "0", "4", "49", "42", "42{}", "42[]", "42[null]", `42["connect"]`, `42["message"`, `42/admin,["message"]`,
		"40", "41x", "43", `450-["message"]`, `4511-["message"]`, `451-["message",{"_placeholder":true,"num":5}]`,
		"451-[\"message\"]\x1e42[\"message\",\"text instead of an attachment\"]",
		"bAQID", "2", "42[\"message\",\"" + strings.Repeat("x", 2000) + "\"]",
	}
	f := start(t, signaling.Limits{MessageSize: 1000, ConnectionsPerIP: 1000})
	a, b := f.socket(""), f.socket("")
	for _, body := range bad {
		if body == "0" { // has no meaning from a client, and the reference ignores it
			continue
		}
		p := f.connect("&channel=bad")
		if status, _, got := f.request("POST", p.query, body); status != 400 || !strings.Contains(got, `"code":3`) {
			t.Errorf("POST %.60q: %d %s", body, status, got)
		}
		if status, _, _ := f.request("GET", p.query, ""); status != 400 {
			t.Errorf("POST %.60q: the session goes on", body)
		}
		if strings.Contains(body, "\x1e") || strings.HasPrefix(body, "b") {
			continue
		}
		ws := f.socket("&channel=bad")
		f.send(ws, body)
		var closed *websocket.CloseError
		_, got, err := wstest.Read(ws)
		if !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation && closed.Code != int(wire.CloseTooBig) || closed.Text == "" {
			t.Errorf("%.60q on a WebSocket: %s, %v", body, got, err)
		}
	}
	binary := f.socket("&channel=bad")
	_ = binary.WriteMessage(websocket.BinaryMessage, []byte{1})
	if _, _, err := wstest.Read(binary); err == nil {
		t.Error("an attachment without a message was taken")
	}
	p := f.connect("")
	if status, _, _ := f.request("POST", p.query, strings.Repeat("x", f.maxPayload()+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", status)
	}
	f.send(a, `42["message","nobody else is affected"]`)
	f.want(b, `42["message","nobody else is affected"]`)
}

// TestOverlaps: one poll and one post at a time, as the reference has it.
func TestOverlaps(t *testing.T) {
	f := start(t, signaling.Limits{})
	p := f.connect("")
	first := p.poll()
	wstest.Until(t, "the first poll waits", func() bool {
		session := f.session(p.query[strings.LastIndex(p.query, "=")+1:])
		session.out.Lock()
		defer session.out.Unlock()
		return session.poll != nil
	})
	if status, _, _ := f.request("GET", p.query, ""); status != 400 {
		t.Errorf("the second poll: %d", status)
	}
	if got := <-first; got.err != nil || got.body != "1" {
		t.Errorf("the first poll: %q, %v, want a close packet", got.body, got.err)
	}
}
