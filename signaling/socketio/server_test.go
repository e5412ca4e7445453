package socketio

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

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
		kind, got, err := wstest.Read(b)
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
	polled := a.poll()
	f.send(ws, "2probe")
	f.want(ws, "3probe")
	if a.take(<-polled); len(a.left) != 1 || a.left[0] != "6" {
		t.Fatalf("the poll is released with %q", a.left)
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
		if _, _, err := wstest.Read(ws); !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation {
			t.Fatalf("%s: %v", first, err)
		}
		ws.Close()
		wstest.Until(t, "the server has put the upgrade away", func() bool {
			session := f.session(a.query[strings.LastIndex(a.query, "=")+1:])
			session.out.Lock()
			defer session.out.Unlock()
			return !session.upgrading
		})
	}
	f.send(b, `42["message","still polling"]`)
	a.want(`42["message","still polling"]`)
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

// TestSlowPoller: one who does not fetch what waits for it is ended, the
// others get everything, however fast it comes.
func TestSlowPoller(t *testing.T) {
	f := start(t, signaling.Limits{MessagesPerSecond: 10_000}) // so that nothing is held up
	slow := f.connect("")
	a, b := f.socket(""), f.socket("")
	big := `42["message","` + strings.Repeat("x", 100<<10) + `"]`
	// On its way to b is twice what may wait for it here: the rest is in its socket, which
	// takes more than a megabyte of somebody who does not come to read for a moment.
	unread := make(chan struct{}, 20)
	go func() {
		for range 30 {
			unread <- struct{}{}
			if a.WriteMessage(websocket.TextMessage, []byte(big)) != nil {
				return
			}
		}
	}()
	for range 30 {
		f.want(b, big)
		<-unread
	}
	wstest.Until(t, "the slow one is ended", func() bool {
		status, _, _ := f.request("GET", slow.query, "")
		return status == 400
	})
}

// TestBurstBetweenTwoPolls: one who fetches what there is now and then gets all of a
// burst that is more than what may wait for it at a time.
func TestBurstBetweenTwoPolls(t *testing.T) {
	f := start(t, signaling.Limits{})
	poller := f.connect("")
	sender, other := f.socket(""), f.socket("")
	big := `42["message","` + strings.Repeat("x", 250_000) + `"]`
	// What may wait for the poller, which a sender that is not held up has filled at once
	// (TestPacerLeavesRoom of package signaling).
	unread := make(chan struct{}, 4)
	go func() {
		for range 8 {
			unread <- struct{}{}
			if sender.WriteMessage(websocket.TextMessage, []byte(big)) != nil {
				return
			}
		}
	}()
	for got := 0; got < 8; {
		status, _, body := f.request("GET", poller.query, "")
		if status != 200 {
			t.Fatalf("ended after %d messages: %d %.200s", got, status, body)
		}
		for range strings.Count(body, `42["message"`) {
			f.want(other, big)
			got++
			<-unread
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
		if status != 200 || !strings.Contains(body, "Socket.IO v4.") || !strings.HasPrefix(h.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s: %d %s", name, status, h.Get("Content-Type"))
		}
		request, _ := http.NewRequest("GET", f.http+"/socket.io/"+name, nil)
		request.Header.Set("If-None-Match", h.Get("ETag"))
		response, err := wstest.Client.Do(request)
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
	if _, _, err := wstest.Read(ws); !errors.As(err, &closed) || closed.Text != "ping timeout" {
		t.Errorf("%v", err)
	}
}

// TestCloseEndsSessions in a way after which clients come back.
func TestCloseEndsSessions(t *testing.T) {
	f := start(t, signaling.Limits{})
	a, b := f.connect(""), f.socket("")
	polled := a.poll()
	f.send(b, `42["message","so that the poll is under way"]`)
	if a.take(<-polled); !strings.HasPrefix(a.left[0], "42") {
		t.Fatal(a.left)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := wstest.Read(b); err == nil {
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
