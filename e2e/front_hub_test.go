package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// atHub is somebody's session at the hub through a proxy. It keeps to signaling/protocol.md,
// "Numbers, acknowledgement, resume".
type atHub struct {
	server  *server
	number  int // of the call
	from    string
	port    int
	returns bool // comes back after the socket has ended; else that is a failure
	// dial connects instead of a dialer from the address; may be nil
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	socket             *websocket.Conn
	returned           int // how often it has come back
	session, token     string
	username, password string
	said, heard        int // last numbers
	acknowledged       int
	unacknowledged     []map[string]any
	waiting            [][]byte // what has come while something else was awaited
}

// open connects, and resumes what there was.
func (a *atHub) open(t *testing.T) {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: as(a.from).DialContext, TLSClientConfig: &tls.Config{RootCAs: a.server.roots}, Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 20 * time.Second}
	if a.dial != nil {
		dialer.NetDialContext = a.dial
	}
	path := "/ws"
	if a.session != "" { // resume.path
		path = fmt.Sprintf("/ws/try-%d", a.returned)
	}
	ws, _, err := dialer.Dial(fmt.Sprintf("wss://localhost:%d%s", a.port, path), nil)
	if err != nil {
		t.Fatalf("call %d: %v", a.number, err)
	}
	t.Cleanup(func() { ws.Close() })
	a.socket = ws
	hello := map[string]any{"type": "hello"}
	if a.session != "" {
		hello["resume"] = map[string]any{"session": a.session, "token": a.token, "seq": a.heard}
	}
	if err := ws.WriteJSON(hello); err != nil {
		t.Fatal(err)
	}
	var welcome struct {
		Session string
		Ack     int
		Resumed bool
		Resume  struct{ Token string }
		Config  struct {
			IceServers []struct{ Username, Credential string }
		}
	}
	a.hear(t, "welcome", &welcome)
	if a.session != "" && (!welcome.Resumed || welcome.Session != a.session) {
		t.Fatalf("call %d: the session is lost with its socket", a.number)
	}
	for _, m := range a.unacknowledged {
		if m["seq"].(int) > welcome.Ack {
			if err := ws.WriteJSON(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a.returned > 0 { // that of say may be lost
		if err := ws.WriteJSON(map[string]any{"type": "ping"}); err != nil {
			t.Fatal(err)
		}
	}
	a.session, a.token = welcome.Session, welcome.Resume.Token
	a.username, a.password = welcome.Config.IceServers[0].Username, welcome.Config.IceServers[0].Credential
}

// lost opens another socket where that is how the proxy is reloaded.
func (a *atHub) lost(t *testing.T, doing string, err error) {
	t.Helper()
	if !a.returns || a.returned > 0 {
		t.Fatalf("call %d, %s: %v", a.number, doing, err)
	}
	a.returned++
	a.socket.Close()
	a.open(t)
}

// say waits until the server has it: what is written to a socket that has ended is lost.
func (a *atHub) say(t *testing.T, message map[string]any) {
	t.Helper()
	a.said++
	message["seq"] = a.said
	a.unacknowledged = append(a.unacknowledged, message)
	for _, m := range []map[string]any{message, {"type": "ping"}} {
		if err := a.socket.WriteJSON(m); err != nil {
			a.lost(t, "saying", err) // which says it
			break
		}
	}
	for a.acknowledged < a.said {
		var pong struct{ Ack int }
		a.hear(t, "pong", &pong)
		a.acknowledged = pong.Ack
	}
	a.unacknowledged = nil
}

// hear awaits a message of a type, and keeps those of other types for later.
func (a *atHub) hear(t *testing.T, kind string, into any) {
	t.Helper()
	ofKind := func(text []byte) bool { return strings.HasPrefix(string(text), `{"type":"`+kind+`"`) }
	i := slices.IndexFunc(a.waiting, ofKind)
	for i < 0 {
		_ = a.socket.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, text, err := a.socket.ReadMessage()
		if err != nil {
			a.lost(t, "awaiting "+kind, err)
			continue
		}
		var numbered struct{ Seq int }
		if err := json.Unmarshal(text, &numbered); err != nil {
			t.Fatal(err)
		}
		a.heard = max(a.heard, numbered.Seq)
		if a.waiting = append(a.waiting, text); ofKind(text) {
			i = len(a.waiting) - 1
		}
	}
	text := a.waiting[i]
	a.waiting = slices.Delete(a.waiting, i, i+1)
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
}
