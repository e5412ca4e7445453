package peerjs

import (
	"context"
	"errors"
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
	hub  *signaling.Hub
	http string
	ws   string
}

func start(t *testing.T, limits signaling.Limits, change func(*Server)) *fixture {
	t.Helper()
	return run(t, signaling.Config{Limits: limits}, Config{}, change)
}

// run runs a server with a hub of its own, once it is changed.
func run(t *testing.T, hubs signaling.Config, cfg Config, change func(*Server)) *fixture {
	t.Helper()
	hub := signaling.NewHub(hubs)
	cfg.Hub = hub
	server := New(cfg)
	if change != nil {
		change(server)
	}
	web := wstest.NewServer(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("close the server: %v", err)
		}
		web.Close()
		hub.Close()
	})
	return &fixture{server, t, hub, web.URL, "ws" + strings.TrimPrefix(web.URL, "http")}
}

func (f *fixture) dial(path string) *websocket.Conn {
	f.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(f.ws+path, http.Header{"Origin": {"null"}})
	if err != nil {
		f.t.Fatalf("%s: %v", path, err)
	}
	f.t.Cleanup(func() { ws.Close() })
	return ws
}

// peer opens a socket and waits for its OPEN.
func (f *fixture) peer(id string) *websocket.Conn {
	f.t.Helper()
	ws := f.dial("/peerjs?key=peerjs&id=" + id + "&token=t-" + id + "&version=1.5.5")
	f.want(ws, `{"type":"OPEN"}`)
	return ws
}

func (f *fixture) want(ws *websocket.Conn, text string) {
	f.t.Helper()
	_, got, err := wstest.Read(ws)
	if err != nil || string(got) != text {
		f.t.Fatalf("got %.200s, %v; want %.200s", got, err, text)
	}
}

func (f *fixture) send(ws *websocket.Conn, text string) {
	f.t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wantClose(ws *websocket.Conn, code int) {
	f.t.Helper()
	_, got, err := wstest.Read(ws)
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		f.t.Fatalf("got %s, %v; want close code %d", got, err, code)
	}
}

// fates counts messages by what became of them.
func (f *fixture) fates() map[string]uint64 { return f.hub.Stats().Dialects["peerjs"] }

// request makes an HTTP request as a page of Origin null would.
func (f *fixture) request(method, path, body string) (int, http.Header, string) {
	f.t.Helper()
	request, err := http.NewRequest(method, f.http+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Origin", "null")
	response, err := wstest.Client.Do(request)
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
