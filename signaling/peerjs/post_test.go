package peerjs

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"turnhub/signaling"
)

// TestEarlyPosts: client 0.3.16 sends offer and candidates by POST before its
// socket is open. They are taken when it opens, in their order.
func TestEarlyPosts(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	receiver := f.peer("receiver")
	for i, verb := range []string{"candidate", "offer", "candidate"} {
		body := fmt.Sprintf(`{"type":%q,"src":"liar","dst":"receiver","payload":%d}`, strings.ToUpper(verb), i)
		if status, h, _ := f.request("POST", "/peerjs/sender/tok/"+verb, body); status != 200 || h.Get("Access-Control-Allow-Origin") != "null" {
			t.Fatalf("status %d", status)
		}
	}
	// The same id with another token is another person's: these words are not the
	// sender's.
	f.request("POST", "/peerjs/sender/other/offer", `{"type":"OFFER","dst":"receiver","payload":"spoofed"}`)
	f.want(f.dial("/peerjs?key=peerjs&id=sender&token=tok"), `{"type":"OPEN"}`)
	f.want(receiver, `{"type":"CANDIDATE","src":"sender","dst":"receiver","payload":0}`)
	f.want(receiver, `{"type":"OFFER","src":"sender","dst":"receiver","payload":1}`)
	f.want(receiver, `{"type":"CANDIDATE","src":"sender","dst":"receiver","payload":2}`)

	// With the socket open they are taken at once, and a wrong token is refused.
	if status, _, _ := f.request("POST", "/peerjs/sender/tok/answer", `{"type":"ANSWER","dst":"receiver"}`); status != 200 {
		t.Errorf("status %d", status)
	}
	f.want(receiver, `{"type":"ANSWER","src":"sender","dst":"receiver"}`)
	if status, h, _ := f.request("POST", "/peerjs/sender/wrong/offer", `{"type":"OFFER","dst":"receiver"}`); status != 401 || h.Get("Access-Control-Allow-Origin") != "null" {
		t.Errorf("a wrong token: %d", status)
	}
}

// TestEarlyPostsExpire: who never opens a socket leaves nothing behind.
func TestEarlyPostsExpire(t *testing.T) {
	f := start(t, signaling.Limits{ConnectionsPerIP: 2}, func(s *Server) { s.expiry = time.Hour })
	receiver := f.peer("receiver")
	f.request("POST", "/peerjs/sender/tok/offer", `{"type":"OFFER","dst":"receiver","payload":"old"}`)
	if status, _, _ := f.request("POST", "/peerjs/another/tok/offer", `{"type":"OFFER","dst":"receiver"}`); status != http.StatusTooManyRequests {
		t.Errorf("waiting posts do not count as connections: %d", status)
	}
	f.mu.Lock()
	r := f.realms[""]
	f.mu.Unlock()
	r.mu.Lock()
	var k earlyKey
	for k = range r.early {
	}
	e := r.early[k]
	r.mu.Unlock()
	r.forgetEarly(k, e) // the timer's
	sender := f.dial("/peerjs?key=peerjs&id=sender&token=tok2")
	f.want(sender, `{"type":"OPEN"}`)
	f.send(sender, `{"type":"OFFER","dst":"receiver","payload":"new"}`)
	f.want(receiver, `{"type":"OFFER","src":"sender","dst":"receiver","payload":"new"}`)
}

func TestBadPosts(t *testing.T) {
	f := start(t, signaling.Limits{MessageSize: 1000}, nil)
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/peerjs/a/t/offer", `not JSON`, 400},
		{"/peerjs/a/t/offer", `{"type":"ANSWER","dst":"b"}`, 400},
		{"/peerjs/a/t/offer", `{"type":"OFFER"}`, 400},
		{"/peerjs/a/t/offer", `{"type":"OFFER","dst":"b","payload":"` + strings.Repeat("x", 1000) + `"}`, 413},
		{"/peerjs//t/offer", `{"type":"OFFER","dst":"b"}`, 400},
		{"/peerjs/a/t/nonsense", `{"type":"OFFER","dst":"b"}`, 404},
		{"/peerjs/a/t/id?i=0", ``, 404},
		{"/some/app/peerjs/a/t/id?i=0", ``, 404},
		{"/otherkey/a/t/offer", `{"type":"OFFER","dst":"b"}`, 404},
	} {
		if status, h, body := f.request("POST", c.path, c.body); status != c.status || h.Get("Access-Control-Allow-Origin") != "null" {
			t.Errorf("POST %s %.40s: %d %s, want %d", c.path, c.body, status, body, c.status)
		}
	}
	// A peer may not say endlessly what nobody hears.
	var last int
	for range maxEarly + 1 {
		last, _, _ = f.request("POST", "/peerjs/a/t/offer", `{"type":"OFFER","dst":"b"}`)
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("message %d without a socket: %d", maxEarly+1, last)
	}
}

// TestRoute: every URL that a client of another mount path builds is known.
func TestRoute(t *testing.T) {
	for _, c := range []struct {
		method, path string
		known        bool
	}{
		{"GET", "/some/app/peerjs/id", true},
		{"GET", "/some/app/peerjs/peers", true},
		{"POST", "/some/app/peerjs/a/t/id", true},
		{"OPTIONS", "/some/app/peerjs/a/t/offer", true},
		{"POST", "/some/app/peerjs/a/t/candidate", true},
		{"WS", "/some/app/peerjs", true},
		{"GET", "/some/app/peerjs", false},
		{"GET", "/some/app/id", false},
		{"WS", "/ws", false},
		{"GET", "/config", false},
	} {
		r, err := http.NewRequest(c.method, c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.method == "WS" {
			r.Method = http.MethodGet
			r.Header.Set("Upgrade", "websocket")
		}
		if Route(r) != c.known {
			t.Errorf("%s %s: %v", c.method, c.path, !c.known)
		}
	}
}
