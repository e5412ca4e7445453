package e2e

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestLimitsSurviveReload: what counts against a limit before a reload counts
// after it too, for connections and for messages.
func TestLimitsSurviveReload(t *testing.T) {
	t.Parallel()
	s := start(t, map[string]map[string]any{
		"limits": {"connections_per_ip": 3, "messages_per_second": 1},
		"log":    {"level": "info"},
	})
	const from = "127.0.0.77"
	full := func(when string) {
		t.Helper()
		dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return s.connect(from) }}
		socket, response, err := dialer.Dial("ws://localhost/ws", http.Header{})
		if err != nil {
			return // reset before the upgrade
		}
		defer socket.Close()
		_, _, err = socket.ReadMessage()
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 4006 {
			t.Errorf("%s: a fourth connection of one address got %v, %v", when, response.Status, err)
		}
	}
	var sockets []*websocket.Conn
	for range 3 {
		socket := s.socket(t, from, false)
		defer socket.Close()
		if kind := hello(t, socket); kind != "welcome" {
			t.Fatalf("hello is answered by %s", kind)
		}
		sockets = append(sockets, socket)
	}
	// limited says something until it is said to be too much.
	limited := func(most int) bool {
		t.Helper()
		socket := sockets[0]
		for range most {
			if err := socket.WriteJSON(map[string]any{"type": "leave", "room": "nowhere"}); err != nil {
				t.Fatal(err)
			}
			var answer struct{ Code string }
			_ = socket.SetReadDeadline(time.Now().Add(time.Minute))
			if err := socket.ReadJSON(&answer); err != nil {
				t.Fatal(err)
			}
			if answer.Code == "rate" {
				return true
			}
		}
		return false
	}
	full("before the reload")
	if !limited(10_000) {
		t.Fatal("10,000 messages are within a limit of one a second")
	}
	if err := s.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.log.String(), "reloaded"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no reload:\n%s", s.log)
		}
	}
	full("after the reload")
	// The burst is 258 messages: to have them all again takes minutes.
	if !limited(100) {
		t.Error("the reload gave a sender its whole burst again")
	}
}
