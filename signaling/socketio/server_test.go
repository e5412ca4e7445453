package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
)

type fixture struct {
	*Server
	t    *testing.T
	http string
	ws   string
}

func start(t *testing.T, limits signaling.Limits, origins ...string) *fixture {
	t.Helper()

	server := New(Config{Hub: signaling.NewHub(signaling.Config{Limits: limits, AllowedOrigins: origins})})
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("close the server: %v", err)
		}
		web.Close()
		if len(server.sessions) > 0 || len(server.rooms) > 0 {
			t.Errorf("left behind: %d sessions, %d rooms", len(server.sessions), len(server.rooms))
		}
	})
	return &fixture{server, t, web.URL, "ws" + strings.TrimPrefix(web.URL, "http")}
}

// request makes an HTTP request as a page would.
func (f *fixture) request(method, query, body string) (int, http.Header, string) {
	f.t.Helper()
	request, err := http.NewRequest(method, f.http+"/socket.io/"+query, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Origin", "http://page.example")
	request.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// poller is a client on long-polling.
type poller struct {
	f     *fixture
	query string
	left  []string
}

const polling = "?EIO=4&transport=polling"

// handshake opens a session.
func (f *fixture) handshake(extra string) *poller {
	f.t.Helper()
	status, _, body := f.request("GET", polling+extra, "")
	var open struct {
		SID        string
		Upgrades   []string
		MaxPayload int
	}
	if status != 200 || !strings.HasPrefix(body, "0{") || json.Unmarshal([]byte(body[1:]), &open) != nil || open.SID == "" ||
		len(open.Upgrades) != 1 || open.MaxPayload < f.limit() {
		f.t.Fatalf("handshake: %d %s", status, body)
	}
	return &poller{f: f, query: polling + "&sid=" + open.SID}
}

// connect opens a session and the default namespace.
func (f *fixture) connect(extra string) *poller {
	p := f.handshake(extra)
	p.post("40")
	if got := p.next(); !strings.HasPrefix(got, `40{"sid":"`) {
		f.t.Fatalf("CONNECT is answered with %s", got)
	}
	return p
}

func (p *poller) post(body string) {
	p.f.t.Helper()
	if status, _, got := p.f.request("POST", p.query, body); status != 200 || got != "ok" {
		p.f.t.Fatalf("POST %.60s: %d %s", body, status, got)
	}
}

// next is the next packet.
func (p *poller) next() string {
	p.f.t.Helper()
	if len(p.left) == 0 {
		status, _, body := p.f.request("GET", p.query, "")
		if status != 200 {
			p.f.t.Fatalf("poll: %d %s", status, body)
		}
		p.left = strings.Split(body, "\x1e")
	}
	packet := p.left[0]
	p.left = p.left[1:]
	return packet
}

func (p *poller) want(packet string) {
	p.f.t.Helper()
	if got := p.next(); got != packet {
		p.f.t.Fatalf("got %.200s, want %.200s", got, packet)
	}
}

// socket opens a session on a WebSocket and connects the namespace.
func (f *fixture) socket(extra string) *websocket.Conn {
	f.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(f.ws+"/socket.io/?EIO=4&transport=websocket"+extra, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got := f.read(ws); !strings.HasPrefix(got, "0{") || !strings.Contains(got, `"upgrades":[]`) {
		f.t.Fatalf("handshake: %s", got)
	}
	f.send(ws, "40")
	if got := f.read(ws); !strings.HasPrefix(got, `40{"sid":"`) {
		f.t.Fatalf("CONNECT is answered with %s", got)
	}
	return ws
}

func (f *fixture) read(ws *websocket.Conn) string {
	f.t.Helper()
	_, got, err := ws.ReadMessage()
	if err != nil {
		f.t.Fatal(err)
	}
	return string(got)
}

func (f *fixture) send(ws *websocket.Conn, packet string) {
	f.t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) want(ws *websocket.Conn, packet string) {
	f.t.Helper()
	if got := f.read(ws); got != packet {
		f.t.Fatalf("got %.200s, want %.200s", got, packet)
	}
}

// TestMessages: long-polling and WebSocket share a channel; bytes and order
// stay, nothing comes back.
func TestMessages(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b, other := f.connect("&channel=x"), f.socket("&channel=x"), f.socket("")
	a.post("42[\"message\",{\"b\": 1,\"a\":null,\"n\":1.0}]\x1e427[\"message\",\"second\"]")
	a.want("437[]") // the acknowledgement, and no echo
	f.want(b, `42["message",{"b": 1,"a":null,"n":1.0}]`)
	f.want(b, `42["message","second"]`)
	f.send(b, `42["message","back","with","arguments"]`)
	a.want(`42["message","back","with","arguments"]`)
	f.send(other, `421["message","nobody is here"]`)
	f.want(other, "431[]")
	late := f.socket("&channel=x")
	f.send(b, `42["message","now"]`)
	f.want(late, `42["message","now"]`)
}

// TestBinary: attachments travel as they are on WebSocket and as base64 on
// long-polling, and keep to their message.
func TestBinary(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.connect(""), f.socket("")
	const header = `2-["message",{"x":{"_placeholder":true,"num":0},"y":{"_placeholder":true,"num":1}}]`
	a.post("45" + header[:2] + "9" + header[2:] + "\x1ebAQID\x1ebBAU=")
	a.want("439[]")
	f.want(b, "45"+header)
	for _, part := range []string{"\x01\x02\x03", "\x04\x05"} {
		kind, got, err := b.ReadMessage()
		if err != nil || kind != websocket.BinaryMessage || string(got) != part {
			t.Fatalf("attachment %q of kind %d, %v", got, kind, err)
		}
	}
	f.send(b, "45"+header)
	for _, part := range []string{"\xff\x00", ""} {
		if err := b.WriteMessage(websocket.BinaryMessage, []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	a.want("45" + header)
	a.want("b/wA=")
	a.want("b")
}

// TestRooms: created to the first, nothing to the second, full to the third,
// which stays outside; bye to the one left behind.
func TestRooms(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b, c := f.socket(""), f.socket(""), f.socket("")
	outside := f.socket("")
	f.send(a, `42["join","r"]`)
	f.want(a, `42["created","r"]`)
	f.send(b, `421["join","r"]`)
	f.want(b, `431["joined"]`)
	f.send(c, `422["join","r"]`)
	f.want(c, `42["full","r"]`)
	f.want(c, `432["full"]`)
	f.send(c, `423["message","from outside"]`)
	f.want(c, "433[]")
	f.send(outside, `42["message","in the lobby"]`)
	f.send(a, `42["message","in the room"]`)
	f.want(b, `42["message","in the room"]`)
	f.send(b, `42["message","and back"]`)
	f.want(a, `42["message","and back"]`)
	f.send(b, `424["join","r"]`) // again: nothing changes
	f.want(b, `434["joined"]`)
	b.Close()
	f.want(a, `42["bye"]`)
	f.send(c, `42["join","r"]`)
	f.send(c, `42["message","now inside"]`)
	f.want(a, `42["message","now inside"]`)
	f.send(a, `42["join",7]`) // a number is a name too; leaving tells c
	f.want(c, `42["bye"]`)
	f.want(a, `42["created","7"]`)
	f.send(a, `41`) // leaves the room
	f.send(a, `40`)
	if got := f.read(a); !strings.HasPrefix(got, `40{"sid":"`) {
		t.Fatalf("got %s", got)
	}
	f.send(c, `42["join","7"]`)
	f.want(c, `42["created","7"]`)
}

// TestRoomsOfChannelsDiffer: a room's name counts within its channel.
func TestRoomsOfChannelsDiffer(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.socket("&channel=one"), f.socket("&channel=two")
	for _, ws := range []*websocket.Conn{a, b} {
		f.send(ws, `42["join","r"]`)
		f.want(ws, `42["created","r"]`)
	}
}

// TestUpgrade follows engine.io-protocol, "Upgrade": probe, release of the
// poll, switch; nothing is lost on the way.
func TestUpgrade(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.connect(""), f.socket("")
	ws, _, err := websocket.DefaultDialer.Dial(f.ws+"/socket.io/"+strings.Replace(a.query, "polling", "websocket", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	polled := make(chan string)
	go func() { polled <- a.next() }()
	f.send(ws, "2probe")
	f.want(ws, "3probe")
	if got := <-polled; got != "6" {
		t.Fatalf("the poll is released with %q", got)
	}
	f.send(b, `42["message","while nobody polls"]`)
	f.send(b, `421["message","twice"]`)
	f.want(b, "431[]")
	f.send(ws, "5")
	f.want(ws, `42["message","while nobody polls"]`)
	f.want(ws, `42["message","twice"]`)
	f.send(ws, `42["message","by socket"]`)
	f.want(b, `42["message","by socket"]`)
	if status, _, _ := f.request("GET", a.query, ""); status != 400 {
		t.Errorf("a poll after the upgrade: %d", status)
	}
	second, response, err := websocket.DefaultDialer.Dial(f.ws+"/socket.io/"+strings.Replace(a.query, "polling", "websocket", 1), nil)
	if err == nil {
		second.Close()
		t.Error("a second upgrade was taken")
	} else if response == nil || response.StatusCode != 400 {
		t.Errorf("a second upgrade: %v", response)
	}
}

// TestFailedUpgradeGoesOnPolling: what is not completed changes nothing.
func TestFailedUpgradeGoesOnPolling(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.connect(""), f.socket("")
	for _, first := range []string{"2wrong", "5", "42[\"message\",1]"} {
		ws, _, err := websocket.DefaultDialer.Dial(f.ws+"/socket.io/"+strings.Replace(a.query, "polling", "websocket", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		f.send(ws, first)
		var closed *websocket.CloseError
		if _, _, err := ws.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation {
			t.Fatalf("%s: %v", first, err)
		}
		ws.Close()
		for { // the server has put it away
			a.f.mu.Lock()
			session := f.sessions[a.query[strings.LastIndex(a.query, "=")+1:]]
			a.f.mu.Unlock()
			session.out.Lock()
			upgrading := session.upgrading
			session.out.Unlock()
			if !upgrading {
				break
			}
			time.Sleep(time.Millisecond) // the pause of a poll
		}
	}
	f.send(b, `42["message","still polling"]`)
	a.want(`42["message","still polling"]`)
}

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
		{"GET", "?EIO=3&transport=polling", 400, 5},
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
		_, got, err := ws.ReadMessage()
		if !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation && closed.Code != int(signaling.CloseTooBig) || closed.Text == "" {
			t.Errorf("%.60q on a WebSocket: %s, %v", body, got, err)
		}
	}
	binary := f.socket("&channel=bad")
	_ = binary.WriteMessage(websocket.BinaryMessage, []byte{1})
	if _, _, err := binary.ReadMessage(); err == nil {
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
	first := make(chan string)
	go func() {
		_, _, body := f.request("GET", p.query, "")
		first <- body
	}()
	for {
		f.mu.Lock()
		session := f.sessions[p.query[strings.LastIndex(p.query, "=")+1:]]
		f.mu.Unlock()
		session.out.Lock()
		waits := session.poll != nil
		session.out.Unlock()
		if waits {
			break
		}
		time.Sleep(time.Millisecond) // the pause of a poll
	}
	if status, _, _ := f.request("GET", p.query, ""); status != 400 {
		t.Errorf("the second poll: %d", status)
	}
	if body := <-first; body != "1" {
		t.Errorf("the first poll: %q, want a close packet", body)
	}
}

// TestNamespaces: only the default one exists.
func TestNamespaces(t *testing.T) {
	f := start(t, signaling.Limits{})
	ws := f.socket("")
	f.send(ws, "40/admin,")
	f.want(ws, `44/admin,{"message":"Invalid namespace"}`)
	f.send(ws, "41")
	f.send(ws, "40{}")
	if got := f.read(ws); !strings.HasPrefix(got, `40{"sid":"`) {
		t.Errorf("CONNECT again: %s", got)
	}
}

// TestUnknownEvent: says once that it goes nowhere.
func TestUnknownEvent(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.socket(""), f.socket("")
	for range 3 {
		f.send(a, `42["offer",{}]`)
	}
	f.send(a, `42["message","last"]`)
	f.want(b, `42["message","last"]`)
	if got := f.read(a); !strings.HasPrefix(got, `42["error",{"message":`) {
		t.Errorf("got %s", got)
	}
	f.send(b, `42["message","next"]`)
	f.want(a, `42["message","next"]`)
}

// TestClosePacket ends the session at once.
func TestClosePacket(t *testing.T) {
	f := start(t, signaling.Limits{})
	a := f.connect("")
	a.post("1")
	if status, _, body := f.request("GET", a.query, ""); status != 400 || !strings.Contains(body, `"code":1`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestSlowPoller: one who does not fetch what waits for him is ended, the
// others get everything.
func TestSlowPoller(t *testing.T) {
	f := start(t, signaling.Limits{MessagesPerSecond: 10_000})
	slow := f.connect("")
	a, b := f.socket(""), f.socket("")
	big := `42["message","` + strings.Repeat("x", 100<<10) + `"]`
	go func() {
		for range 30 {
			if a.WriteMessage(websocket.TextMessage, []byte(big)) != nil {
				return
			}
		}
	}()
	for range 30 {
		f.want(b, big)
	}
	for {
		if status, _, _ := f.request("GET", slow.query, ""); status == 400 {
			return
		}
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	f := start(t, signaling.Limits{ConnectionsPerIP: 2})
	a := f.connect("")
	f.connect("")
	if status, _, body := f.request("GET", polling, ""); status != http.StatusTooManyRequests || !strings.Contains(body, `"code":4`) {
		t.Errorf("the third: %d %s", status, body)
	}
	a.post("1")
	f.connect("")
}

func TestOrigins(t *testing.T) {
	f := start(t, signaling.Limits{}, "https://good.example")
	if status, h, _ := f.request("GET", polling, ""); status != 403 || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", status, h)
	}
}

func TestPreflight(t *testing.T) {
	f := start(t, signaling.Limits{})
	status, h, _ := f.request("OPTIONS", polling, "")
	if status != 204 || h.Get("Access-Control-Allow-Origin") != "http://page.example" || h.Get("Access-Control-Allow-Credentials") != "true" ||
		h.Get("Access-Control-Allow-Methods") != "GET,POST" {
		t.Errorf("%d %v", status, h)
	}
}

// TestClient: the npm package's own files, unchanged.
func TestClient(t *testing.T) {
	f := start(t, signaling.Limits{})
	for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js"} {
		status, h, body := f.request("GET", name, "")
		if status != 200 || !strings.Contains(body, "Socket.IO v4.") || !strings.HasPrefix(h.Get("Content-Type"), "application/javascript") {
			t.Errorf("%s: %d %s", name, status, h.Get("Content-Type"))
		}
		request, _ := http.NewRequest("GET", f.http+"/socket.io/"+name, nil)
		request.Header.Set("If-None-Match", h.Get("ETag"))
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusNotModified {
			t.Errorf("%s a second time: %v, %v", name, response, err)
		}
	}
	if status, _, _ := f.request("GET", "socket.io.js.map", ""); status != 404 {
		t.Errorf("a file that is not there: %d", status)
	}
}

// TestHeartbeat: the server pings, and who does not answer is gone.
func TestHeartbeat(t *testing.T) {
	f := start(t, signaling.Limits{})
	ws := f.socket("")
	f.mu.Lock()
	var session *session
	for _, s := range f.sessions {
		session = s
	}
	f.mu.Unlock()
	for range 3 {
		session.beat()
		f.want(ws, "2")
		f.send(ws, "3")
		f.send(ws, `421["message",0]`)
		f.want(ws, "431[]")
	}
	session.beat()
	f.want(ws, "2")
	session.beat() // as when the timer rings before a pong came
	var closed *websocket.CloseError
	if _, _, err := ws.ReadMessage(); !errors.As(err, &closed) || closed.Text != "ping timeout" {
		t.Errorf("%v", err)
	}
}

// TestCloseEndsSessions in a way after which clients come back.
func TestCloseEndsSessions(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.connect(""), f.socket("")
	polled := make(chan string)
	go func() { polled <- a.next() }()
	f.send(b, `42["message","so that the poll is under way"]`)
	if got := <-polled; !strings.HasPrefix(got, "42") {
		t.Fatal(got)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.ReadMessage(); err == nil {
		t.Error("the socket goes on")
	}
	if status, _, _ := f.request("GET", polling, ""); status != http.StatusServiceUnavailable {
		t.Errorf("a handshake while closing: %d", status)
	}
}

func ExampleServer() {
	fmt.Println(string(event("created", "room").data))
	// Output: 2["created","room"]
}
