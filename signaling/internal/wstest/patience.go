package wstest

import (
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Patience bounds every single wait of a test, so that one that hangs says where. It is no
// bound of a whole test, which may take long on a busy machine.
const Patience = 30 * time.Second

// Client makes requests that end.
var Client = &http.Client{Timeout: Patience}

// Read reads the next message, for which it waits so long as Patience.
func Read(ws *websocket.Conn) (kind int, message []byte, err error) {
	_ = ws.SetReadDeadline(time.Now().Add(Patience))
	return ws.ReadMessage()
}

// Wait waits for what another goroutine tells by a channel, or closes.
func Wait[T any](t testing.TB, told <-chan T, what string) (v T) {
	t.Helper()
	over := time.NewTimer(Patience)
	defer over.Stop()
	select {
	case v = <-told:
	case <-over.C:
		t.Fatalf("it did not happen: %s", what)
	}
	return v
}

// Until waits for something that another goroutine does. Where a client knows that it is
// in, or out, before the server has counted that, the test waits for the count.
func Until(t testing.TB, what string, true func() bool) {
	t.Helper()
	over := time.NewTimer(Patience)
	defer over.Stop()
	for !true() {
		select {
		case <-over.C:
			t.Fatalf("it did not happen: %s", what)
		case <-time.After(time.Millisecond): // the pause of a poll
		}
	}
}
