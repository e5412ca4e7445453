package signaling

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// A client that reads nothing is ended with its room none the wiser: everybody
// else gets everything, in order.
func TestStalledClient(t *testing.T) {
	const others, messages = 8, 2 * 1024
	const window = 1024 / 8 // how far the sender may be ahead of those who do read
	h, url := newServer(t, Config{Limits: Limits{MessagesPerSecond: 1 << 20}})
	stalled := openClient(t, url, `{"type":"hello"}`)
	stalled.join("r")
	var room []*client
	for range others {
		c := openClient(t, url, `{"type":"hello"}`)
		c.join("r")
		for _, o := range room {
			o.expect("peer-joined")
		}
		room = append(room, c)
	}
	pad := strings.Repeat("x", 500)
	done := make(chan error, others)
	read := make(chan struct{}, messages/window*others)
	for _, c := range room[1:] {
		go func() { done <- c.readChat(messages, stalled.id, window, read) }()
	}
	sender := room[0]
	for i := range messages {
		if i > 0 && i%window == 0 {
			for range room[1:] {
				select {
				case <-read:
				case err := <-done:
					t.Fatal(err)
				}
			}
		}
		sender.say(fmt.Sprintf(`{"type":"message","room":"r","data":{"n":%d,"pad":%q}`, i, pad))
	}
	for range room[1:] {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if n := h.Stats().Closed["slow"]; n != 1 {
		t.Fatalf("%d slow clients were closed, want 1", n)
	}
}

// readChat reads n messages and the news that the session lost has left,
// acknowledges all, and tells read of each window of messages.
func (c *client) readChat(n int, lost string, window int, read chan<- struct{}) error {
	gone := false
	for i := 0; i < n || !gone; {
		_ = c.ws.SetReadDeadline(time.Now().Add(patience))
		var f frame
		if err := c.ws.ReadJSON(&f); err != nil {
			return err
		}
		switch {
		case f.str("type") == "message":
			if got := frame(f["data"].(map[string]any)).num("n"); got != i {
				return fmt.Errorf("message %d came as number %d", got, i)
			}
			if i++; i%window == 0 {
				read <- struct{}{}
			}
		case f.str("type") == "peer-left" && f.str("peer") == lost:
			gone = true
		default:
			return fmt.Errorf("got %v", f)
		}
		if i%delivery.AckEvery == 0 {
			if err := c.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"ack","ack":%d}`, f.num("seq"))); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestFlood(t *testing.T) {
	h, url := newServer(t, Config{Limits: Limits{MessagesPerSecond: 100}})
	a := openClient(t, url, `{"type":"hello"}`)
	go func() {
		for i := 1; ; i++ {
			if a.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"leave","room":"x","seq":%d}`, i)) != nil {
				return
			}
		}
	}()
	rated := false
	for {
		_ = a.ws.SetReadDeadline(time.Now().Add(patience))
		var f frame
		err := a.ws.ReadJSON(&f)
		if err != nil {
			if !websocket.IsCloseError(err, int(wire.CloseFlood)) {
				t.Fatalf("want close %d, got %v", wire.CloseFlood, err)
			}
			break
		}
		if f.str("code") == string(wire.CodeRate) && f["retry"] == true && f.num("after") > 0 {
			rated = true
		}
	}
	if !rated || h.Stats().Dropped["rate"] == 0 {
		t.Fatal("no error rate came before the end")
	}
}

// TestIdleFlood: pings and fragments are bounded too, before the hello and after it, and
// the end is the same as for messages.
func TestIdleFlood(t *testing.T) {
	for name, part := range map[string]string{"pings": "\x89\x80abcd", "pongs": "\x8a\x80abcd", "fragments": "\x00\x80abcd"} {
		for _, hello := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, hello %t", name, hello), func(t *testing.T) {
				h, url := newServer(t, Config{})
				other, c := openClient(t, url, `{"type":"hello"}`), dial(t, url)
				if hello {
					c.send(`{"type":"hello"}`)
					c.welcome()
				}
				go func() { // the answers are read meanwhile
					many := []byte(strings.Repeat(part, 500))
					if name == "fragments" {
						_, _ = c.ws.NetConn().Write([]byte("\x01\x80abcd"))
					}
					for {
						if _, err := c.ws.NetConn().Write(many); err != nil {
							return
						}
					}
				}()
				c.expectClose(wire.CloseFlood)
				if hello && h.Stats().Dropped["flood"] == 0 {
					t.Error("it is not counted")
				}
				other.join("x")
			})
		}
	}
}

func TestTooBig(t *testing.T) {
	_, url := newServer(t, Config{Limits: Limits{MessageSize: 5000}, Timing: Timing{Close: patience}})
	testTooBig(t, url)
}

func TestTooBigOverTLS(t *testing.T) {
	for _, start := range []func(testing.TB, Config) (*Hub, string){newTLSServer, newServedServer} {
		_, url := start(t, Config{Limits: Limits{MessageSize: 5000}, Timing: Timing{Close: patience}})
		testTooBig(t, url)
	}
}

func testTooBig(t *testing.T, url string) {
	for _, hello := range []bool{false, true} {
		for _, size := range []int{5001, 300_000} {
			c := dial(t, url)
			if hello {
				c.send(`{"type":"hello"}`)
				c.welcome()
			}
			c.send(`"` + strings.Repeat("x", size-2) + `"`)
			c.expectClose(wire.CloseTooBig)
		}
	}
	// In many frames, which a sum must catch.
	c := openClient(t, url, `{"type":"hello"}`)
	w, err := c.ws.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := w.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	c.expectClose(wire.CloseTooBig)
	// The largest that is allowed goes through.
	a, b := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
	a.join("r")
	b.join("r")
	a.expect("peer-joined")
	data := strings.Repeat("x", 4900)
	a.say(`{"type":"signal","to":"` + b.id + `","data":"` + data + `"`)
	if got := b.expect("signal").str("data"); got != data {
		t.Fatalf("%d bytes came", len(got))
	}
}

func TestBadMessages(t *testing.T) {
	_, url := newServer(t, Config{})
	c := openClient(t, url, `{"type":"hello"}`)
	c.join("mine")
	for _, x := range []struct {
		send string
		code wire.ErrorCode
	}{
		{`nonsense`, wire.CodeBadMessage},
		{`[]`, wire.CodeBadMessage},
		{`{"type":"join"} {}`, wire.CodeBadMessage},
		{"{\"type\":\"join\",\"room\":\"\xff\"}", wire.CodeBadMessage},
		{strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100), wire.CodeBadMessage},
		{`{}`, wire.CodeBadMessage},
		{`{"type":7}`, wire.CodeBadMessage},
		{`{"type":"hello"}`, wire.CodeBadMessage},
		{`{"type":"dance"}`, wire.CodeUnknownType},
		{`{"type":"join"}`, wire.CodeBadMessage},
		{`{"type":"join","room":""}`, wire.CodeBadName},
		{`{"type":"join","room":"a b"}`, wire.CodeBadName},
		{`{"type":"join","room":"c\u0430ll"}`, wire.CodeBadName},
		{`{"type":"join","room":"` + strings.Repeat("r", 129) + `"}`, wire.CodeBadName},
		{`{"type":"join","room":"r","seq":-1}`, wire.CodeBadMessage},
		{`{"type":"join","room":"r","seq":77}`, wire.CodeBadMessage},
		{`{"type":"ack","ack":99}`, wire.CodeBadMessage},
		{`{"type":"leave","room":"other"}`, wire.CodeNotInRoom},
		{`{"type":"signal","to":"s_x","data":1}`, wire.CodeNotInRoom},
		{`{"type":"signal","to":5,"data":1}`, wire.CodeBadMessage},
		{`{"type":"message","room":"mine"}`, wire.CodeBadMessage},
		{`{"type":"message","room":"other","data":1}`, wire.CodeNotInRoom},
		{`{"type":"subscribe"}`, wire.CodeBadMessage},
		{`{"type":"subscribe","users":["a",null]}`, wire.CodeBadMessage},
		{`{"type":"subscribe","users":["s_a"]}`, wire.CodeBadName},
		{`{"type":"invite","user":"no body"}`, wire.CodeBadName},
		{`{"type":"accept","call":"c_x"}`, wire.CodeNoSuchCall},
		{`{"type":"decline","call":"c_x","reason":7}`, wire.CodeBadMessage},
		{`{"type":"hangup"}`, wire.CodeBadMessage},
		{`{"type":"report","peer":"s_x","path":"pigeon"}`, wire.CodeBadMessage},
		{`{"type":"report","peer":"s_x","path":"direct","rtt":-1}`, wire.CodeBadMessage},
	} {
		c.send(x.send)
		e := c.expect("error")
		if e.str("code") != string(x.code) || e["seq"] != nil || e.str("message") == "" {
			t.Errorf("%.80q: got %v, want %s", x.send, e, x.code)
		}
	}
	for _, id := range []string{"0", "-1", "1.5", `"x"`, "123456789012345678901234567890"} {
		c.send(`{"type":"leave","room":"mine","id":` + id + `}`)
		c.expectError(wire.CodeBadMessage)
	}
	if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"bye"}`)); err != nil {
		t.Fatal(err)
	}
	c.expectError(wire.CodeBadMessage)
	many := make([]string, maxSubscriptions+1)
	for i := range many {
		many[i] = fmt.Sprintf("%q", fmt.Sprint("u", i))
	}
	c.say(`{"type":"subscribe","users":[` + strings.Join(many, ",") + `],"id":1`)
	c.expectError(wire.CodeTooMany)
	for i := range maxRoomsPerSession - 1 {
		c.join(fmt.Sprint("r", i))
	}
	c.say(`{"type":"join","room":"one-more","id":1`)
	c.expectError(wire.CodeTooMany)
}

func TestBadHello(t *testing.T) {
	_, url := newServer(t, Config{Timing: Timing{Close: patience}})
	for _, hello := range []string{
		`nonsense`, `{"type":"join","room":"r"}`, `{"type":"hello","name":7}`,
		`{"type":"hello","name":"` + strings.Repeat("n", 65) + `"}`,
		`{"type":"hello","name":"a\u0000b"}`,
		`{"type":"hello","user":"vasya"}`,
		`{"type":"hello","user":"vasya","userSecret":"short"}`,
		`{"type":"hello","user":"s_fake","userSecret":"long enough"}`,
		`{"type":"hello","resume":"no object"}`,
	} {
		c := dial(t, url)
		c.send(hello)
		c.expectClose(wire.CloseBadHello)
	}
	for _, start := range servers {
		_, url := start(t, Config{Timing: Timing{Hello: 50 * time.Millisecond}})
		silent := dial(t, url)
		silent.expectClose(wire.CloseBadHello)
	}
}

func TestSilentSocket(t *testing.T) {
	_, url := newServer(t, Config{Timing: Timing{Heartbeat: 20 * time.Millisecond, Away: time.Millisecond}})
	a := openClient(t, url, `{"type":"hello"}`)
	a.expectClose(wire.CloseSilent)
	// The session is still there.
	b := dial(t, url)
	b.send(`{"type":"hello","resume":{"session":"` + a.id + `","token":"` + a.token + `","seq":0}}`)
	if w := b.welcome(); w["resumed"] != true {
		t.Fatalf("welcome %v", w)
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	h, url := newServer(t, Config{Limits: Limits{ConnectionsPerIP: 2}})
	a := openClient(t, url, `{"type":"hello"}`)
	openClient(t, url, `{"type":"hello"}`)
	dial(t, url).expectClose(wire.CloseFull)
	loopback := ClientInfo{Dialect: "relay", Remote: netip.MustParseAddrPort("127.0.0.1:5")}
	if _, err := h.Attach(loopback, func() {}); !errors.Is(err, ErrFull) {
		t.Fatalf("Attach: %v, want ErrFull", err)
	}
	a.send(`{"type":"bye"}`)
	a.expectClose(wire.CloseNormal)
	a.ws.Close()
	// Its place is free once its goroutine is gone.
	for deadline := time.Now().Add(patience); ; {
		s, err := h.Attach(loopback, func() {})
		if err == nil {
			s.Detach()
			s.Detach()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a closed socket stays taken")
		}
	}
}

func TestRoomFull(t *testing.T) {
	_, url := newServer(t, Config{})
	for range maxRoomMembers {
		c := openClient(t, url, `{"type":"hello"}`)
		c.say(`{"type":"join","room":"r"`)
		c.expect("joined")
	}
	c := openClient(t, url, `{"type":"hello"}`)
	c.say(`{"type":"join","room":"r","id":1`)
	c.expectError(wire.CodeRoomFull)
}

// Half-open sockets and garbage below WebSocket leave nothing behind.
func TestGarbageConnections(t *testing.T) {
	h, url := newServer(t, Config{Timing: Timing{Hello: 30 * time.Millisecond}})
	addr := strings.TrimPrefix(url, "ws://")
	upgrade := "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for _, after := range []string{"", "\x81", "\x81\xff", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x01\x80", "garbage!", "\x81\x05hello"} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte(upgrade)); err != nil {
			t.Fatal(err)
		}
		var head [12]byte
		if _, err := nc.Read(head[:]); err != nil || string(head[9:]) != "101" {
			t.Fatalf("upgrade: %q, %v", head, err)
		}
		_, _ = nc.Write([]byte(after))
		defer nc.Close()
	}
	for deadline := time.Now().Add(patience); h.Stats().Sockets != 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets are left", h.Stats().Sockets)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestOrigins(t *testing.T) {
	h, url := newServer(t, Config{AllowedOrigins: []string{"https://ok.example"}})
	for origin, want := range map[string]int{"https://ok.example": 101, "https://evil.example": 403, "": 101, "null": 403} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ws, resp, err := websocket.DefaultDialer.Dial(url, header)
		if err == nil {
			ws.Close()
		}
		if resp == nil || resp.StatusCode != want {
			t.Errorf("origin %q: %v, want %d", origin, resp, want)
		}
	}
	h.SetAllowedOrigins([]string{"*"})
	ws, _, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {"https://evil.example"}})
	if err != nil {
		t.Fatal(err)
	}
	ws.Close()
	req, err := http.NewRequest("GET", "http"+strings.TrimPrefix(url, "ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://other.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != http.StatusUpgradeRequired || got != "https://other.example" {
		t.Errorf("no WebSocket: %d, readable by %q", resp.StatusCode, got)
	}
	d := websocket.Dialer{Subprotocols: []string{"turnhub.v9"}}
	if _, resp, err := d.Dial(url, nil); err == nil || resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("another subprotocol: %v, %v", resp, err)
	}
}
