package media

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

var insecure = &tls.Config{InsecureSkipVerify: true}

// world is a hub and a media server as the program has them together.
type world struct {
	t     testing.TB
	clock *wstest.Clock
	hub   *signaling.Hub
	media *Server
	url   string
}

// start serves in the way that WEBSOCKET_WAY names, see wstest.
func start(t testing.TB, hub signaling.Config, cfg Config) *world {
	return serve(t, hub, cfg, wstest.NewServer)
}

func serve(t testing.TB, hub signaling.Config, cfg Config, listen func(http.Handler) *httptest.Server) *world {
	t.Helper()
	w := &world{t: t, clock: new(wstest.Clock)}
	hub.Now = w.clock.Now
	hub.OnChange = func(sessions ...string) { w.media.Recheck(sessions...) }
	hub.OnEnd = func(session, reason string) { w.media.Ended(session, reason) }
	if hub.Limits.ConnectionsPerIP == 0 {
		hub.Limits.ConnectionsPerIP = 100_000
	}
	w.hub = signaling.NewHub(hub)
	cfg.Hub = w.hub
	w.media = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = w.hub.Serve(ctx)
	}()
	mux := http.NewServeMux()
	mux.Handle("/ws", w.hub)
	mux.Handle("/media", w.media)
	server := listen(mux)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), wstest.Patience)
		defer stop()
		if err := w.media.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		<-served
		server.Close()
		w.media.mu.Lock()
		defer w.media.mu.Unlock()
		if len(w.media.sockets)+len(w.media.pairs)+len(w.media.of) > 0 {
			t.Errorf("left behind: %d sockets, %d pairs, %d sessions", len(w.media.sockets), len(w.media.pairs), len(w.media.of))
		}
	})
	w.url = "ws" + strings.TrimPrefix(server.URL, "http")
	return w
}

// person is a session.
type person struct {
	w         *world
	ws        *websocket.Conn
	id, token string
	welcome   map[string]any
}

func (w *world) person(rooms ...string) *person {
	w.t.Helper()
	p := &person{w: w, ws: w.dial("/ws", signaling.Subprotocol)}
	p.say(`{"type":"hello"}`)
	p.welcome = p.hear("welcome")
	p.id, _ = p.welcome["session"].(string)
	resume, _ := p.welcome["resume"].(map[string]any)
	p.token, _ = resume["token"].(string)
	for _, room := range rooms {
		p.say(`{"type":"join","room":"` + room + `"}`)
		p.hear("joined")
	}
	return p
}

func (w *world) dial(path, subprotocol string) *websocket.Conn {
	w.t.Helper()
	dialer := *websocket.DefaultDialer
	dialer.Subprotocols = []string{subprotocol}
	dialer.TLSClientConfig = insecure
	ws, response, err := dialer.Dial(w.url+path, nil)
	if err != nil {
		w.t.Fatalf("%s: %v (%v)", path, err, response)
	}
	w.t.Cleanup(func() { ws.Close() })
	return ws
}

func (p *person) say(text string) {
	p.w.t.Helper()
	if err := p.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		p.w.t.Fatal(err)
	}
}

func (p *person) hear(typ string) map[string]any {
	p.w.t.Helper()
	for {
		var m map[string]any
		_, text, err := wstest.Read(p.ws)
		if err != nil {
			p.w.t.Fatalf("waiting for %s: %v", typ, err)
		}
		if err := json.Unmarshal(text, &m); err != nil {
			p.w.t.Fatal(err)
		}
		if m["type"] == typ {
			return m
		}
	}
}

// end is one media socket of a test.
type end struct {
	t  testing.TB
	ws *websocket.Conn
}

// open dials and says hello.
func (p *person) open(peer *person) *end {
	p.w.t.Helper()
	e := p.w.end()
	e.hello(p.id, p.token, peer.id)
	return e
}

// leaves has somebody leave the room "room", whose sockets end then.
func (p *person) leaves(sockets ...*end) {
	p.w.t.Helper()
	p.say(`{"type":"leave","room":"room"}`)
	for _, e := range sockets {
		if why := e.closed(wire.CloseRefused); why != string(wire.CodeNotInRoom) {
			p.w.t.Errorf("error %q", why)
		}
	}
}

func (w *world) end() *end {
	w.t.Helper()
	return &end{w.t, w.dial("/media", Subprotocol)}
}

func (e *end) hello(session, token, peer string) {
	e.t.Helper()
	b, _ := json.Marshal(hello{"hello", session, token, peer})
	e.text(string(b))
}

func (e *end) text(text string) {
	e.t.Helper()
	if err := e.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) send(frame []byte) {
	e.t.Helper()
	if err := e.ws.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		e.t.Fatal(err)
	}
}

// next is the next message: a text as it is, a frame as its kind.
func (e *end) next() (text string, frame []byte) {
	e.t.Helper()
	kind, b, err := wstest.Read(e.ws)
	if err != nil {
		e.t.Fatal(err)
	}
	if kind == websocket.TextMessage {
		return string(b), nil
	}
	return "", b
}

// want waits for a text that comes next.
func (e *end) want(text string) {
	e.t.Helper()
	if got, frame := e.next(); got != text {
		e.t.Fatalf("got %q and a frame of %d bytes, want %s", got, len(frame), text)
	}
}

// closed waits for the Close, past everything else, and returns the code of an error
// before it.
func (e *end) closed(code wire.CloseCode) (why string) {
	e.t.Helper()
	for {
		kind, b, err := wstest.Read(e.ws)
		if err != nil {
			if !websocket.IsCloseError(err, int(code)) {
				e.t.Fatalf("ended with %v, want %d", err, code)
			}
			return why
		}
		var m struct{ Type, Code string }
		if kind == websocket.TextMessage && json.Unmarshal(b, &m) == nil && m.Type == "error" {
			why = m.Code
		}
	}
}

// pair are two in one room, with their sockets, who both know of each other.
func (w *world) pair() (a, b *person, x, y *end) {
	w.t.Helper()
	a, b = w.person("room"), w.person("room")
	x = a.open(b)
	x.want(`{"type":"ready","here":false}`)
	y = b.open(a)
	y.want(`{"type":"ready","here":true}`)
	x.want(`{"type":"peer","here":true}`)
	return a, b, x, y
}
