package signaling_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
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
	"turnhub/signaling/peerjs"
	"turnhub/signaling/rawrelay"
	"turnhub/signaling/socketio"
	"turnhub/signaling/yjs"
)

// dialects are all of them on one hub.
type dialects struct {
	t    *testing.T
	hub  *signaling.Hub
	base string
	mint func(user string, rooms ...string) string
}

func startDialects(t *testing.T, change func(*signaling.Config)) *dialects {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	cfg := signaling.Config{Access: verifier}
	if change != nil {
		change(&cfg)
	}
	hub := signaling.NewHub(cfg)
	pjs, sio, raw, yws := peerjs.New(peerjs.Config{Hub: hub}), socketio.New(socketio.Config{Hub: hub}), rawrelay.New(rawrelay.Config{Hub: hub}), yjs.New(yjs.Config{Hub: hub})
	mux := http.NewServeMux()
	mux.Handle("/peerjs", pjs)
	mux.Handle("/peerjs/", pjs)
	mux.Handle("/blue/", pjs)
	mux.Handle("/socket.io/", sio)
	mux.Handle("/relay/", raw)
	mux.Handle("/yjs", yws)
	server := wstest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, d := range []interface{ Close(context.Context) error }{pjs, sio, raw, yws} {
			if err := d.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		server.Close()
		hub.Close()
	})
	mint := func(user string, rooms ...string) string {
		token, err := access.Mint(file, user, rooms, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	return &dialects{t, hub, server.URL, mint}
}

// status tries a request, as a WebSocket where it should be one.
func (d *dialects) status(method, path string) (int, string) {
	d.t.Helper()
	if method == "WS" {
		ws, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(d.base, "http")+path, nil)
		if err == nil {
			ws.Close()
		} else if response == nil {
			d.t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	request, err := http.NewRequest(method, d.base+path, strings.NewReader(`{"type":"OFFER","dst":"b"}`))
	if err != nil {
		d.t.Fatal(err)
	}
	response, err := wstest.Client.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// TestDialectsNeedTokens: in access.mode token nothing of any dialect opens
// without a valid one, and one for certain rooms opens just these.
func TestDialectsNeedTokens(t *testing.T) {
	d := startDialects(t, nil)
	any, blue := d.mint("vasya"), d.mint("petya", "blue")
	const polling = "/socket.io/?EIO=4&transport=polling"
	for _, c := range []struct {
		method, path           string
		without, any, blueOnly int
	}{
		{"WS", "/relay/x?", 401, 101, 403},
		{"WS", "/relay/blue?", 401, 101, 101},
		{"WS", "/yjs?", 401, 101, 101},                   // what is refused ends the socket
		{"WS", "/peerjs?key=peerjs&id=a", 401, 101, 101}, // what is refused is told as ERROR
		{"GET", "/peerjs/id?", 401, 200, 403},
		{"GET", "/blue/peerjs/id?", 401, 200, 200},
		{"POST", "/peerjs/a/TOKEN/offer?", 401, 200, 403},
		{"GET", polling, 401, 200, 200},
		{"GET", polling + "&channel=x", 401, 200, 403},
		{"GET", polling + "&channel=blue", 401, 200, 200},
		{"WS", "/socket.io/?EIO=4&transport=websocket", 401, 101, 101},
	} {
		for token, want := range map[string]int{"": c.without, "nonsense": 401, any: c.any, blue: c.blueOnly} {
			path := strings.Replace(c.path, "TOKEN", token, 1)
			if path == c.path && token != "" {
				path += "&token=" + token
			}
			if strings.Contains(path, "//offer") { // a path that net/http would clean
				continue
			}
			status, body := d.status(c.method, path)
			if status != want {
				t.Errorf("%s %s with %.10q: %d %s, want %d", c.method, c.path, token, status, body, want)
			}
			if status == 401 && !strings.Contains(body, `"error":"unauthorized"`) {
				t.Errorf("%s %s: %s", c.method, c.path, body)
			}
		}
	}
	if status, _ := d.status("GET", "/socket.io/socket.io.js"); status != 200 {
		t.Errorf("the client library: %d", status)
	}
}

// TestDialectsTellWhereTheirPeopleAre: the relay may reach the address of
// somebody on a dialect's socket, for as long as the socket is there.
func TestDialectsTellWhereTheirPeopleAre(t *testing.T) {
	here := netip.MustParseAddrPort("198.18.7.7:1234")
	d := startDialects(t, func(c *signaling.Config) {
		c.Access = nil
		c.ClientAddress = func(*http.Request) (netip.AddrPort, bool) { return here, true }
	})
	base := "ws" + strings.TrimPrefix(d.base, "http")
	for _, path := range []string{"/relay/x", "/yjs", "/peerjs?key=peerjs&id=a&token=t", "/socket.io/?EIO=4&transport=websocket"} {
		if d.hub.Seen("somebody", here.Addr()) {
			t.Fatalf("%s: seen before", path)
		}
		ws, _, err := websocket.DefaultDialer.Dial(base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.until(func() bool { return d.hub.Seen("somebody", here.Addr()) })
		if d.hub.Seen("s_session", here.Addr()) {
			t.Errorf("%s: a session of the hub is told of a stranger", path)
		}
		ws.Close()
		d.until(func() bool { return !d.hub.Seen("somebody", here.Addr()) })
	}
}

// TestDialectsEndAtTheOperatorsWord: revoking a user ends the user's sockets of every
// dialect, a restart everybody's, each with its code.
func TestDialectsEndAtTheOperatorsWord(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*signaling.Hub)
		code wire.CloseCode
	}{
		"revoked": {func(h *signaling.Hub) { h.Revoke("vasya") }, wire.CloseRevoked},
		"restart": {func(h *signaling.Hub) { h.Restart(0) }, wire.CloseRestart},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDialects(t, nil)
			base, token := "ws"+strings.TrimPrefix(d.base, "http"), d.mint("vasya")
			sockets := map[string]*websocket.Conn{}
			for _, path := range []string{"/relay/x?", "/yjs?", "/peerjs?key=peerjs&id=a", "/socket.io/?EIO=4&transport=websocket"} {
				ws, _, err := websocket.DefaultDialer.Dial(base+path+"&token="+token, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer ws.Close()
				sockets[path] = ws
			}
			d.until(func() bool { return d.hub.Stats().DialectClients == len(sockets) })
			c.end(d.hub)
			for path, ws := range sockets {
				var err error
				for err == nil {
					_, _, err = wstest.Read(ws)
				}
				want := int(c.code)
				if strings.Contains(path, "socket.io") {
					want = websocket.CloseNormalClosure // its clients know no codes, and come back by themselves
				}
				var closed *websocket.CloseError
				if !errors.As(err, &closed) || closed.Code != want {
					t.Errorf("%s: %v, want %d", path, err, want)
				}
			}
			d.until(func() bool { return d.hub.Stats().DialectClients == 0 })
		})
	}
}

// TestDialectsWhileTheHubDrains: who comes to a process that is only carrying its
// last calls is sent on, in a way that brings the client back, and the addresses of
// those who were here stay known to the relay until the hub opens again.
func TestDialectsWhileTheHubDrains(t *testing.T) {
	here := netip.MustParseAddrPort("198.18.7.7:1234")
	d := startDialects(t, func(c *signaling.Config) {
		c.Access = nil
		c.ClientAddress = func(*http.Request) (netip.AddrPort, bool) { return here, true }
	})
	base := "ws" + strings.TrimPrefix(d.base, "http")
	before, _, err := websocket.DefaultDialer.Dial(base+"/relay/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	d.until(func() bool { return d.hub.Seen("somebody", here.Addr()) })
	d.hub.Restart(0)
	d.until(func() bool { return d.hub.Stats().DialectClients == 0 })
	if !d.hub.Seen("somebody", here.Addr()) {
		t.Error("the relay does not know any more where the people of its calls are")
	}
	for _, path := range []string{"/relay/x", "/yjs", "/peerjs?key=peerjs&id=a&token=t"} {
		ws, _, err := websocket.DefaultDialer.Dial(base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, text, err := wstest.Read(ws)
		if !websocket.IsCloseError(err, int(wire.CloseRestart)) {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		ws.Close()
	}
	for method, path := range map[string]string{
		"GET": "/socket.io/?EIO=4&transport=polling",
		"WS":  "/socket.io/?EIO=4&transport=websocket",
	} {
		if status, body := d.status(method, path); status != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s", method, path, status, body)
		}
	}
	d.hub.Reopen()
	if d.hub.Seen("somebody", here.Addr()) {
		t.Error("who has left is still seen")
	}
	after, _, err := websocket.DefaultDialer.Dial(base+"/relay/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	after.Close()
}

// until waits for something that another goroutine does.
func (d *dialects) until(true func() bool) {
	d.t.Helper()
	wstest.Until(d.t, "what the test waits for", true)
}
