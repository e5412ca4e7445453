package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

type fixture struct {
	*Server
	t    *testing.T
	http string
	ws   string
}

func start(t *testing.T, limits signaling.Limits, origins ...string) *fixture {
	t.Helper()
	return run(t, signaling.Config{Limits: limits, AllowedOrigins: origins}, Config{})
}

// run runs a server with a hub of its own.
func run(t *testing.T, hubs signaling.Config, cfg Config) *fixture {
	t.Helper()
	hub := signaling.NewHub(hubs)
	cfg.Hub = hub
	server := New(cfg)
	web := wstest.NewServer(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("close the server: %v", err)
		}
		web.Close()
		// One who did not read is ended beside all requests.
		wstest.Until(t, "no session and no room is left behind", func() bool {
			server.mu.Lock()
			defer server.mu.Unlock()
			return len(server.sessions) == 0 && len(server.rooms) == 0
		})
		hub.Close()
	})
	return &fixture{server, t, web.URL, "ws" + strings.TrimPrefix(web.URL, "http")}
}

// request makes an HTTP request as a page would.
func (f *fixture) request(method, query, body string) (int, http.Header, string) {
	f.t.Helper()
	status, header, text, err := f.try(method, query, body)
	if err != nil {
		f.t.Fatal(err)
	}
	return status, header, text
}

// try is request for a goroutine that is not the test's own, which must not end the test.
func (f *fixture) try(method, query, body string) (int, http.Header, string, error) {
	request, err := http.NewRequest(method, f.http+"/socket.io/"+query, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	request.Header.Set("Origin", "http://page.example")
	request.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	response, err := wstest.Client.Do(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, string(text), err
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
		p.take(<-p.poll())
	}
	return p.first()
}

// polled is the answer to a poll.
type polled struct {
	body string
	err  error
}

// poll begins a poll, while the test does something else.
func (p *poller) poll() <-chan polled {
	answer := make(chan polled, 1)
	go func() {
		status, _, body, err := p.f.try("GET", p.query, "")
		if err == nil && status != 200 {
			err = fmt.Errorf("poll: %d %s", status, body)
		}
		answer <- polled{body, err}
	}()
	return answer
}

// take takes the packets of a poll.
func (p *poller) take(packets polled) {
	p.f.t.Helper()
	if packets.err != nil {
		p.f.t.Fatal(packets.err)
	}
	p.left = strings.Split(packets.body, "\x1e")
}

// first is the first packet that is left.
func (p *poller) first() string {
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
	_, got, err := wstest.Read(ws)
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
