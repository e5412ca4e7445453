package peerjs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// The names in quotes are those of the reference server's own tests (npm
// package peer, __test__), whose intent a test carries over.

// TestInfo: "should return content of app.json file", to the byte.
func TestInfo(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	for _, path := range []string{"/peerjs", "/peerjs/", "/peerjs/myapp/"} {
		status, _, body := f.request("GET", path, "")
		if status != 200 || body != `{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}` {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestID: "should generate a 36-character UUID", at every mount path.
func TestID(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for _, path := range []string{"/peerjs/id?ts=1&version=1.5.5", "/peerjs/peerjs/id", "/any/where/peerjs/id"} {
		status, h, body := f.request("GET", path, "")
		if status != 200 || !uuid.MatchString(body) || h.Get("Content-Type") != "text/html; charset=utf-8" || seen[body] {
			t.Errorf("%s: %d %s %q", path, status, h.Get("Content-Type"), body)
		}
		seen[body] = true
	}
}

// TestCORS: "should reflect the origin header in CORS by default" and "should
// respect the CORS parameters", on every status.
func TestCORS(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/peerjs/id", 200},
		{"GET", "/peerjs/peers", 401},
		{"GET", "/peerjs/nothing/here", 404},
		{"POST", "/peerjs/a/t/id?i=0", 404},
		{"POST", "/peerjs/a/t/offer", 400},
		{"OPTIONS", "/peerjs/a/t/offer", 204},
	} {
		status, h, _ := f.request(c.method, c.path, "")
		if status != c.status || h.Get("Access-Control-Allow-Origin") != "null" {
			t.Errorf("%s %s: %d, Access-Control-Allow-Origin %q", c.method, c.path, status, h.Get("Access-Control-Allow-Origin"))
		}
	}
	strict := start(t, signaling.Limits{}, func(s *Server) {
		s.desk = admission.New("peerjs", signaling.NewHub(signaling.Config{AllowedOrigins: []string{"https://good.example"}}))
	})
	if status, h, _ := strict.request("GET", "/peerjs/id", ""); status != 403 || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign origin: %d %v", status, h)
	}
}

func TestPreflight(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	request, _ := http.NewRequest("OPTIONS", f.http+"/peerjs/a/t/offer", nil)
	request.Header.Set("Origin", "http://page.example")
	request.Header.Set("Access-Control-Request-Method", "POST")
	request.Header.Set("Access-Control-Request-Headers", "content-type")
	response, err := wstest.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	h := response.Header
	if h.Get("Access-Control-Allow-Origin") != "http://page.example" || h.Get("Access-Control-Allow-Headers") != "content-type" ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Fatalf("%d %v", response.StatusCode, h)
	}
}

// TestParameters: "should check client's params".
func TestParameters(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	const missing = `{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}`
	for query, answer := range map[string]string{
		"":                           missing,
		"?key=peerjs":                missing,
		"?key=peerjs&id=1":           missing,
		"?key=peerjs&token=1":        missing,
		"?id=1&token=1":              missing,
		"?key=notValid&id=1&token=1": `{"type":"ERROR","payload":{"msg":"Invalid key provided"}}`,
		"?key=peerjs&token=1&id=" + strings.Repeat("x", 129): `{"type":"ERROR","payload":{"msg":"id, token or path is too long"}}`,
	} {
		ws := f.dial("/peerjs" + query)
		f.want(ws, answer)
		f.wantClose(ws, websocket.CloseNormalClosure)
	}
}

// TestIDTaken: another token does not get an id that is in use.
func TestIDTaken(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	a, b := f.peer("a"), f.peer("b")
	f.send(a, `{"type":"HEARTBEAT"}`) // no answer to it
	thief := f.dial("/peerjs?key=peerjs&id=a&token=other")
	go func() { _, _, _ = wstest.Read(b) }()
	read := make(chan string, 1)
	go func() { // reads, so that it answers the server's ping
		_, got, err := wstest.Read(a)
		read <- fmt.Sprintf("%s %v", got, err)
	}()
	f.want(thief, `{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}`)
	f.wantClose(thief, websocket.CloseNormalClosure)
	f.send(f.peer("c"), `{"type":"OFFER","dst":"a","payload":1}`)
	if got := <-read; got != `{"type":"OFFER","src":"c","dst":"a","payload":1} <nil>` {
		t.Errorf("got %s", got)
	}
}

// TestGhost: "should remove client" — an id whose holder has lost its network
// is free for who asks for it.
func TestGhost(t *testing.T) {
	f := start(t, signaling.Limits{}, func(s *Server) { s.proof = 300 * time.Millisecond })
	ghost := f.peer("a")
	wstest.LoseNetwork(t, ghost.NetConn())
	again := f.dial("/peerjs?key=peerjs&id=a&token=another")
	f.want(again, `{"type":"OPEN"}`)
	f.send(f.peer("b"), `{"type":"OFFER","dst":"a","payload":1}`)
	f.want(again, `{"type":"OFFER","src":"b","dst":"a","payload":1}`)
}

// TestReconnect: the same id and token replace the socket, with an OPEN; the
// old one is closed and its end does not take the id along.
func TestReconnect(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	old := f.peer("a")
	b := f.peer("b")
	again := f.peer("a")
	f.wantClose(old, int(wire.CloseReplaced))
	old.Close()
	f.send(b, `{"type":"OFFER","dst":"a","payload":1}`)
	f.want(again, `{"type":"OFFER","src":"b","dst":"a","payload":1}`)
}

// TestLimit: "should check concurrent limit".
func TestLimit(t *testing.T) {
	f := start(t, signaling.Limits{ConnectionsPerIP: 1}, nil)
	a := f.peer("a")
	b := f.dial("/peerjs?key=peerjs&id=b&token=b")
	f.want(b, `{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}`)
	f.wantClose(b, websocket.CloseNormalClosure)
	a.Close()
	wstest.Until(t, "the server has seen a go", func() bool {
		c := f.dial("/peerjs?key=peerjs&id=c&token=c")
		defer c.Close()
		_, got, err := wstest.Read(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(got) == `{"type":"OPEN"}`
	})
}

// TestForwarding: "should send message to destination client when destination
// client connected". Exactly four members, src the server's word, the payload
// byte for byte.
func TestForwarding(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	a, b := f.peer("a"), f.peer("b")
	for sent, got := range map[string]string{
		`{"type":"OFFER","src":"liar","dst":"b","payload":{"sdp":"<&> € \u2028","n":1.0,"x": null},"extra":1}`: `{"type":"OFFER","src":"a","dst":"b","payload":{"sdp":"<&> € \u2028","n":1.0,"x": null}}`,
		`{"payload":[],"dst":"b","type":"ANSWER"}`:                                                             `{"type":"ANSWER","src":"a","dst":"b","payload":[]}`,
		`{"type":"CANDIDATE","dst":"b"}`:                                                                       `{"type":"CANDIDATE","src":"a","dst":"b"}`,
		`{"type":"EXPIRE","dst":"b","payload":null}`:                                                           `{"type":"EXPIRE","src":"a","dst":"b","payload":null}`,
		`{"type":"LEAVE","dst":"b"}`:                                                                           `{"type":"LEAVE","src":"a","dst":"b"}`,
	} {
		if strings.Contains(sent, "LEAVE") {
			continue // last, below
		}
		f.send(a, sent)
		f.want(b, got)
	}
	f.send(a, `{"type":"LEAVE","dst":"b"}`) // b knows a by its offer
	f.want(b, `{"type":"LEAVE","src":"a","dst":"b"}`)
}

// TestLeaveOnlyToAcquaintances: client 0.3.16 throws on LEAVE about a peer of
// which it never heard.
func TestLeaveOnlyToAcquaintances(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	a, b := f.peer("a"), f.peer("b")
	f.send(a, `{"type":"LEAVE","dst":"b"}`)
	f.send(a, `{"type":"CANDIDATE","dst":"b","payload":1}`)
	f.want(b, `{"type":"CANDIDATE","src":"a","dst":"b","payload":1}`)
	f.send(b, `{"type":"OFFER","dst":"a","payload":1}`) // b has a connection to a now
	f.want(a, `{"type":"OFFER","src":"b","dst":"a","payload":1}`)
	f.send(a, `{"type":"LEAVE","dst":"b"}`)
	f.want(b, `{"type":"LEAVE","src":"a","dst":"b"}`)
}

// TestLeaveWithoutDestination ends the sender's place.
func TestLeaveWithoutDestination(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	a := f.peer("a")
	f.send(a, `{"type":"LEAVE"}`)
	f.wantClose(a, websocket.CloseNormalClosure)
	f.want(f.dial("/peerjs?key=peerjs&id=a&token=another"), `{"type":"OPEN"}`)
}

// TestSendingFails: "should send LEAVE message to source client when sending
// to destination client failed".
func TestSendingFails(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	a := f.peer("a")
	f.peer("b")
	f.mu.Lock()
	r := f.realms[""]
	f.mu.Unlock()
	r.mu.Lock()
	from, to := r.clients["a"], r.clients["b"]
	r.mu.Unlock()
	to.socket.Close(1000, "") // it is ending, but still in its place
	r.relay(from, message{kind: typeOffer, dst: "b"})
	f.want(a, `{"type":"LEAVE","src":"b","dst":"a"}`)
}

// TestPeers: discovery lists the realm, or is refused with 401.
func TestPeers(t *testing.T) {
	closed := start(t, signaling.Limits{}, nil)
	if status, _, _ := closed.request("GET", "/peerjs/peers", ""); status != 401 {
		t.Errorf("status %d", status)
	}
	f := start(t, signaling.Limits{}, func(s *Server) { s.discovery = true })
	if status, _, body := f.request("GET", "/peerjs/peers", ""); status != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("%d %s", status, body)
	}
	f.peer("b")
	f.peer("a")
	f.want(f.dial("/other/peerjs?key=peerjs&id=c&token=c"), `{"type":"OPEN"}`)
	if status, h, body := f.request("GET", "/peerjs/peers", ""); status != 200 || strings.TrimSpace(body) != `["a","b"]` || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
		t.Errorf("%d %s", status, body)
	}
}

// TestMountPaths: "should return valid path" — each path is a realm, /peerjs
// the same as /.
func TestMountPaths(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	root := f.peer("a")
	app := f.dial("/my/app/peerjs?key=peerjs&id=a&token=x") // the same id, another realm
	f.want(app, `{"type":"OPEN"}`)
	same := f.dial("/peerjs/peerjs?key=peerjs&id=b&token=x")
	f.want(same, `{"type":"OPEN"}`)
	f.send(same, `{"type":"OFFER","dst":"a","payload":1}`)
	f.want(root, `{"type":"OFFER","src":"b","dst":"a","payload":1}`)
	f.send(app, `{"type":"OFFER","dst":"a","payload":"to itself"}`)
	f.want(app, `{"type":"OFFER","src":"a","dst":"a","payload":"to itself"}`)
}

// TestRealmsEnd: an empty realm leaves nothing behind.
func TestRealmsEnd(t *testing.T) {
	f := start(t, signaling.Limits{}, func(s *Server) { s.expiry = 50 * time.Millisecond })
	a := f.dial("/x/peerjs?key=peerjs&id=a&token=x")
	f.want(a, `{"type":"OPEN"}`)
	f.send(a, `{"type":"OFFER","dst":"nobody"}`)
	f.want(a, `{"type":"EXPIRE","src":"nobody","dst":"a"}`)
	f.request("POST", "/x/peerjs/early/t/offer", `{"type":"OFFER","dst":"a"}`)
	a.Close()
	wstest.Until(t, "no realm is left", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.realms) == 0
	})
}

// TestBadMessages: a clear ERROR to the sender, who stays connected; nobody
// else notices.
func TestBadMessages(t *testing.T) {
	f := start(t, signaling.Limits{MessageSize: 10_000}, nil)
	a, b := f.peer("a"), f.peer("b")
	for _, bad := range []string{
		`not JSON`, ``, `[]`, `null`, `"OFFER"`, `{}`, `{"type":1}`, `{"type":"OFFER"}`, `{"type":"OFFER","dst":7}`,
		`{"type":"OPEN","dst":"b"}`, `{"type":"ID-TAKEN","dst":"b"}`, `{"type":"constructor","dst":"b"}`,
		`{"type":"offer","dst":"b"}`, `{"TYPE":"OFFER","dst":"b"}`, `{"type":"OFFER","dst":"` + strings.Repeat("x", 200) + `"}`,
	} {
		f.send(a, bad)
		_, got, err := wstest.Read(a)
		var answer struct {
			Type    string
			Payload struct{ Msg string }
		}
		if err != nil || json.Unmarshal(got, &answer) != nil || answer.Type != "ERROR" || answer.Payload.Msg == "" {
			t.Fatalf("%s is answered with %s, %v", bad, got, err)
		}
	}
	if err := a.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"OFFER","dst":"b"}`)); err != nil {
		t.Fatal(err)
	}
	f.want(a, `{"type":"ERROR","payload":{"msg":"message is not text"}}`)
	f.send(a, `{"type":"OFFER","dst":"b","payload":"good"}`)
	f.want(b, `{"type":"OFFER","src":"a","dst":"b","payload":"good"}`)
	f.send(a, `{"type":"OFFER","dst":"b","payload":"`+strings.Repeat("x", 10_000)+`"}`)
	f.wantClose(a, int(wire.CloseTooBig))
	f.send(f.peer("c"), `{"type":"OFFER","dst":"b","payload":"good"}`)
	f.want(b, `{"type":"OFFER","src":"c","dst":"b","payload":"good"}`)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"type":"OFFER","src":"x","dst":"b","payload":{"sdp":"v=0"}}`, `{"type":"HEARTBEAT"}`, `{"type":"LEAVE"}`,
		`{"type":"EXPIRE","dst":"b","payload":null}`, `{"type":"CANDIDATE","dst":"\u0000","payload": [1.0 , null]}`, `[]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text)
		if err != nil {
			return
		}
		out := m.forwarded("me")
		var got struct {
			Type, Src, Dst string
			Payload        json.RawMessage
		}
		wire := string(out.Payload())
		decoder := json.NewDecoder(strings.NewReader(wire))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("%q is forwarded as %q: %v", text, wire, err)
		}
		if got.Src != "me" || got.Type != m.kind {
			t.Fatalf("%q is forwarded as %q", text, wire)
		}
		if m.payload != nil && !strings.HasSuffix(wire, string(m.payload)+"}") {
			t.Fatalf("the payload of %q changed: %q", text, wire)
		}
	})
}
