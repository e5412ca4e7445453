package rawrelay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// start runs a relay and returns the base URL of its WebSockets.
func start(t *testing.T, limits signaling.Limits, origins ...string) (string, *Relay) {
	t.Helper()
	return run(t, signaling.Config{Limits: limits, AllowedOrigins: origins}, Config{})
}

// run runs a relay with a hub of its own.
func run(t *testing.T, hubs signaling.Config, cfg Config) (string, *Relay) {
	t.Helper()
	hub := signaling.NewHub(hubs)
	cfg.Hub = hub
	relay := New(cfg)
	server := wstest.NewServer(relay)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := relay.Close(ctx); err != nil {
			t.Errorf("close the relay: %v", err)
		}
		server.Close()
		hub.Close()
		relay.mu.Lock()
		defer relay.mu.Unlock()
		if len(relay.channels) > 0 || relay.sockets.Len() > 0 {
			t.Errorf("left behind: %d channels, %d sockets", len(relay.channels), relay.sockets.Len())
		}
	})
	return "ws" + strings.TrimPrefix(server.URL, "http"), relay
}

func join(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, response, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {"null"}})
	if err != nil {
		t.Fatalf("%s: %v (%v)", url, err, response)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

// entered waits until the relay has so many sockets in the channel, counted by the hub:
// one opens and one leaves a moment later than its client knows.
func (s *Relay) entered(t *testing.T, name string, n int) {
	t.Helper()
	wstest.Until(t, fmt.Sprintf("%d sockets in channel %s", n, name), func() bool { return s.inside(name) == n })
}

// inside is how many sockets are in the channel.
func (s *Relay) inside(name string) (have int) {
	s.mu.Lock()
	c := s.channels[name]
	s.mu.Unlock()
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.members {
		if m.socket != nil {
			have++
		}
	}
	return have
}

func send(t *testing.T, ws *websocket.Conn, kind int, text string) {
	t.Helper()
	if err := ws.WriteMessage(kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, ws *websocket.Conn, kind int, text string) {
	t.Helper()
	k, got, err := wstest.Read(ws)
	if err != nil || k != kind || string(got) != text {
		t.Fatalf("got kind %d, %.100q, %v; want kind %d, %.100q", k, got, err, kind, text)
	}
}

func wantClose(t *testing.T, ws *websocket.Conn, code int) string {
	t.Helper()
	for {
		_, got, err := wstest.Read(ws)
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code == code {
			return closed.Text
		}
		if err != nil {
			t.Fatalf("got %v, want close code %d", err, code)
		}
		t.Logf("before the Close: %.60q", got)
	}
}

// TestByteForByte: kind, bytes and order stay; nothing comes back, nothing is
// told to another channel, nothing is kept for a latecomer.
func TestByteForByte(t *testing.T) {
	url, relay := start(t, signaling.Limits{})
	a, b := join(t, url+"/relay/one"), join(t, url+"/relay/one")
	other := join(t, url+"/relay/two")
	relay.entered(t, "one", 2)
	relay.entered(t, "two", 1)
	messages := []struct {
		kind int
		text string
	}{
		{websocket.TextMessage, `{"sdp":{"type":"offer","sdp":"v=0\r\n"}}`},
		{websocket.TextMessage, `{ "message_type" : "CANDIDATE", "content":null, "x":[1.0,null] }`},
		{websocket.TextMessage, ""},
		{websocket.TextMessage, "€ \U0001f600 \x00 \u2028"},
		{websocket.BinaryMessage, "\xff\xfe\x00"},
		{websocket.BinaryMessage, ""},
		{websocket.TextMessage, strings.Repeat("x", 200_000)},
		{websocket.TextMessage, "not JSON {"},
	}
	for _, m := range messages {
		send(t, a, m.kind, m.text)
	}
	for _, m := range messages {
		want(t, b, m.kind, m.text)
	}
	late := join(t, url+"/relay/one")
	relay.entered(t, "one", 3)
	send(t, b, websocket.TextMessage, "from b")
	want(t, a, websocket.TextMessage, "from b") // and not one of its own
	want(t, late, websocket.TextMessage, "from b")
	lateOther := join(t, url+"/relay/two")
	relay.entered(t, "two", 2)
	send(t, lateOther, websocket.TextMessage, "in two")
	want(t, other, websocket.TextMessage, "in two")
}

// TestOrderOfAllSenders: every socket sees what the others say in one and the
// same order.
func TestOrderOfAllSenders(t *testing.T) {
	url, relay := start(t, signaling.Limits{MessagesPerSecond: 1000})
	const senders, each = 3, 200
	reader1, reader2 := join(t, url+"/relay/c"), join(t, url+"/relay/c")
	var all []*websocket.Conn
	for range senders {
		all = append(all, join(t, url+"/relay/c"))
	}
	relay.entered(t, "c", senders+2)
	for i, ws := range all {
		go func() {
			for n := range each {
				_ = ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%d %d", i, n))
			}
		}()
	}
	next := make([]int, senders)
	for range senders * each {
		_, one, err := wstest.Read(reader1)
		if err != nil {
			t.Fatal(err)
		}
		_, two, err := wstest.Read(reader2)
		if err != nil || !bytes.Equal(one, two) {
			t.Fatalf("one reads %q, the other %q (%v)", one, two, err)
		}
		var sender, n int
		if _, err := fmt.Sscan(string(one), &sender, &n); err != nil || n != next[sender] {
			t.Fatalf("%q out of order, want %d next (%v)", one, next[sender], err)
		}
		next[sender]++
	}
}

func TestMaxRefusesTheThird(t *testing.T) {
	url, relay := start(t, signaling.Limits{})
	a, b := join(t, url+"/relay/pair?max=2"), join(t, url+"/relay/pair?max=2")
	relay.entered(t, "pair", 2)
	for _, query := range []string{"?max=2", "?max=3", ""} { // who was there wants two
		if reason := wantClose(t, join(t, url+"/relay/pair"+query), int(wire.CloseFull)); !strings.Contains(reason, "full") {
			t.Errorf("reason %q", reason)
		}
	}
	send(t, a, websocket.TextMessage, "still here")
	want(t, b, websocket.TextMessage, "still here")
	b.Close()
	relay.entered(t, "pair", 1)
	c := join(t, url+"/relay/pair?max=2")
	relay.entered(t, "pair", 2)
	send(t, c, websocket.TextMessage, "the place was free")
	want(t, a, websocket.TextMessage, "the place was free")
}

// TestLostNetworkFreesItsPlace: a socket whose network is gone is put out when
// somebody asks for its place.
func TestLostNetworkFreesItsPlace(t *testing.T) {
	t.Parallel()
	url, relay := start(t, signaling.Limits{})
	a, b := join(t, url+"/relay/pair?max=2"), join(t, url+"/relay/pair?max=2")
	relay.entered(t, "pair", 2)
	wstest.LoseNetwork(t, b.NetConn())
	c := join(t, url+"/relay/pair?max=2")
	send(t, c, websocket.TextMessage, "back again") // waits for c to be in
	want(t, a, websocket.TextMessage, "back again")
}

// TestSlowReaderDelaysNobody: one who does not read is dropped with a code of its own,
// the others get everything.
func TestSlowReaderDelaysNobody(t *testing.T) {
	url, relay := start(t, signaling.Limits{MessagesPerSecond: 10_000})
	a, b := join(t, url+"/relay/c"), join(t, url+"/relay/c")
	slow := join(t, url+"/relay/c") // never reads
	_ = slow.NetConn().(interface{ SetReadBuffer(int) error }).SetReadBuffer(4096)
	relay.entered(t, "c", 3)
	big := strings.Repeat("x", 128<<10)
	const most = 256 // 32 MB: more than any queue and window
	sent := 0
	for ; relay.inside("c") == 3 && sent < most; sent += 4 {
		for range 4 { // half of what may wait for b, who reads but may be slow too
			send(t, a, websocket.BinaryMessage, big)
		}
		for range 4 {
			want(t, b, websocket.BinaryMessage, big)
		}
	}
	relay.entered(t, "c", 2)
	send(t, a, websocket.BinaryMessage, "still here")
	want(t, b, websocket.BinaryMessage, "still here")
}

func TestBadInput(t *testing.T) {
	limits := signaling.Limits{MessageSize: 1000, MessagesPerSecond: 1000}
	for name, c := range map[string]struct {
		do   func(*testing.T, *websocket.Conn)
		code int
	}{
		"oversized": {func(t *testing.T, ws *websocket.Conn) {
			send(t, ws, websocket.TextMessage, strings.Repeat("x", 1001))
		}, int(wire.CloseTooBig)},
		"oversized in fragments": {func(t *testing.T, ws *websocket.Conn) {
			w, _ := ws.NextWriter(websocket.BinaryMessage)
			for range 100 {
				_, _ = io.WriteString(w, strings.Repeat("x", 100))
			}
			_ = w.Close()
		}, int(wire.CloseTooBig)},
		"text that is not UTF-8": {func(t *testing.T, ws *websocket.Conn) {
			send(t, ws, websocket.TextMessage, "\xc3\x28")
		}, websocket.CloseInvalidFramePayloadData},
		"reserved bits": {func(t *testing.T, ws *websocket.Conn) {
			_, _ = ws.NetConn().Write([]byte{0xF1, 0x80, 0, 0, 0, 0})
		}, websocket.CloseProtocolError},
		"unmasked frame": {func(t *testing.T, ws *websocket.Conn) {
			_, _ = ws.NetConn().Write([]byte{0x81, 0x01, 'x'})
		}, websocket.CloseProtocolError},
		"a length of 2^63": {func(t *testing.T, ws *websocket.Conn) {
			_, _ = ws.NetConn().Write([]byte{0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			url, relay := start(t, limits)
			a, b, bad := join(t, url+"/relay/c"), join(t, url+"/relay/c"), join(t, url+"/relay/c")
			relay.entered(t, "c", 3)
			c.do(t, bad)
			if c.code > 0 {
				wantClose(t, bad, c.code)
			} else if _, _, err := wstest.Read(bad); err == nil {
				t.Error("the socket goes on")
			}
			relay.entered(t, "c", 2)
			send(t, a, websocket.TextMessage, "nobody else is affected")
			want(t, b, websocket.TextMessage, "nobody else is affected")
		})
	}
}

// TestFloodIsSlowedThenEnded: a burst passes whole; who presses on for longer
// gets the code for floods, and the others go on.
func TestFloodIsSlowedThenEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 10 s for which a flood is borne")
	}
	t.Parallel()
	url, relay := start(t, signaling.Limits{MessagesPerSecond: 5})
	a, flooder := join(t, url+"/relay/c"), join(t, url+"/relay/c")
	relay.entered(t, "c", 2)
	go func() {
		for n := 0; ; n++ {
			if flooder.WriteMessage(websocket.TextMessage, fmt.Append(nil, n)) != nil {
				return
			}
		}
	}()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := wstest.Read(flooder); err != nil {
				flooder.Close()
				ended <- err
				return
			}
		}
	}()
	for n := range 300 {
		want(t, a, websocket.TextMessage, fmt.Sprint(n)) // in order, none missing
	}
	go func() { // who does not read what the flooder is still let through is ended as slow
		for {
			if _, _, err := wstest.Read(a); err != nil {
				return
			}
		}
	}()
	if err := <-ended; !websocket.IsCloseError(err, int(wire.CloseFlood)) {
		t.Fatalf("the flooder was ended with %v, want close code %d", err, wire.CloseFlood)
	}
	relay.entered(t, "c", 1)
	b := join(t, url+"/relay/c")
	relay.entered(t, "c", 2)
	send(t, a, websocket.TextMessage, "still here")
	want(t, b, websocket.TextMessage, "still here")
}

func TestPlainRequestsAreAnswered(t *testing.T) {
	url, _ := start(t, signaling.Limits{})
	http1 := "http" + strings.TrimPrefix(url, "ws")
	response, err := wstest.Client.Get(http1 + "/relay/x")
	if err != nil || response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("%v, %v", response, err)
	}
	for path, status := range map[string]int{
		"/relay/":                              http.StatusBadRequest,
		"/relay/" + strings.Repeat("x", 257):   http.StatusBadRequest,
		"/relay/a%00b":                         http.StatusBadRequest,
		"/relay/a%ffb":                         http.StatusBadRequest,
		"/relay/a?max=0":                       http.StatusBadRequest,
		"/relay/a?max=two":                     http.StatusBadRequest,
		"/relay/%D0%BA%D0%BE%D0%BC%D0%BD/1%20": http.StatusSwitchingProtocols,
	} {
		ws, response, err := websocket.DefaultDialer.Dial(url+path, nil)
		if response == nil || response.StatusCode != status {
			t.Errorf("%s: %v, %v; want %d", path, response, err, status)
		}
		if err == nil {
			ws.Close()
		}
	}
}

func TestOriginsAndConnectionsPerAddress(t *testing.T) {
	url, relay := start(t, signaling.Limits{ConnectionsPerIP: 2}, "https://good.example")
	_, response, err := websocket.DefaultDialer.Dial(url+"/relay/x", http.Header{"Origin": {"https://evil.example"}})
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Fatalf("%v, %v", response, err)
	}
	open := func() *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.Dial(url+"/relay/x", http.Header{"Origin": {"https://good.example"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		return ws
	}
	open()
	open()
	relay.entered(t, "x", 2)
	wantClose(t, open(), int(wire.CloseFull))
}

func TestRootIsAChannel(t *testing.T) {
	url, relay := start(t, signaling.Limits{})
	a, b := join(t, url+"/"), join(t, url)
	relay.entered(t, "/", 2)
	send(t, a, websocket.TextMessage, "ws://127.0.0.1:1337")
	want(t, b, websocket.TextMessage, "ws://127.0.0.1:1337")
}

func TestCloseSaysRestart(t *testing.T) {
	url, relay := start(t, signaling.Limits{})
	a := join(t, url+"/relay/x")
	relay.entered(t, "x", 1)
	go relay.Close(context.Background())
	wantClose(t, a, int(wire.CloseRestart))
}

// BenchmarkBroadcast is one message to 31 others, all reading.
func BenchmarkBroadcast(b *testing.B) {
	relay := New(Config{Hub: signaling.NewHub(signaling.Config{Limits: signaling.Limits{MessagesPerSecond: 1 << 30}})})
	server := wstest.NewServer(relay)
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http") + "/relay/x"
	var sockets []*websocket.Conn
	for range 32 {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer ws.Close()
		sockets = append(sockets, ws)
	}
	payload := bytes.Repeat([]byte("x"), 500)
	done := make(chan struct{})
	for _, ws := range sockets[1:] {
		go func() {
			for range b.N {
				if _, _, err := ws.ReadMessage(); err != nil {
					break
				}
			}
			done <- struct{}{}
		}()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := sockets[0].WriteMessage(websocket.TextMessage, payload); err != nil {
			b.Fatal(err)
		}
	}
	for range sockets[1:] {
		<-done
	}
}

// TestTokenExpiry: a request needs an access token, and a socket ends when its own
// has expired.
func TestTokenExpiry(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	relay := New(Config{Hub: signaling.NewHub(signaling.Config{Access: verifier, Timing: signaling.Timing{Grace: time.Millisecond}})})
	server := wstest.NewServer(relay)
	defer server.Close()
	mint := func(expires time.Duration) string {
		token, err := access.Mint(file, "vasya", nil, time.Now().Add(expires))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := mint(time.Hour)
	// Who has no token learns nothing, not even that this is a WebSocket.
	for query, want := range map[string]int{"": http.StatusUnauthorized, "?max=x": http.StatusUnauthorized, "?token=" + token: http.StatusUpgradeRequired} {
		res, err := wstest.Client.Get(server.URL + "/relay/a" + query)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET /relay/a%s: %d, want %d", query, res.StatusCode, want)
		}
	}
	var ws *websocket.Conn
	for range 10 { // on a busy machine a token may have expired before it comes
		ws, _, err = websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/relay/a?token="+mint(2*time.Second), nil)
		if err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	wantClose(t, ws, int(wire.CloseRefused))
}
