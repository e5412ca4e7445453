package signaling

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// patience bounds a test that waits for something that does not come.
const patience = 20 * time.Second

// newServer returns a running hub and its /ws address.
func newServer(t testing.TB, cfg Config) (*Hub, string) {
	t.Helper()
	return serveHub(t, cfg, httptest.NewServer)
}

// newTLSServer is newServer over TLS, on connections as the program's listeners make
// them: their sockets can be taken over.
func newTLSServer(t testing.TB, cfg Config) (*Hub, string) {
	t.Helper()
	return serveHub(t, cfg, wstest.NewTLSServer)
}

// newServedServer is newServer over TLS where each socket has a goroutine, as on systems
// without an event loop.
func newServedServer(t testing.TB, cfg Config) (*Hub, string) {
	t.Helper()
	return serveHub(t, cfg, httptest.NewTLSServer)
}

// servers are the ways in which a socket is served.
var servers = map[string]func(testing.TB, Config) (*Hub, string){
	"plain": newServer, "TLS": newTLSServer, "TLS with goroutines": newServedServer,
}

func serveHub(t testing.TB, cfg Config, listen func(http.Handler) *httptest.Server, prepare ...func(*Hub)) (*Hub, string) {
	t.Helper()
	if cfg.Limits.ConnectionsPerIP == 0 {
		cfg.Limits.ConnectionsPerIP = 10_000
	}
	h := NewHub(cfg)
	for _, f := range prepare {
		f(h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(ctx)
	}()
	srv := listen(h)
	t.Cleanup(func() {
		cancel()
		<-done
		srv.Close()
	})
	return h, "ws" + strings.TrimPrefix(srv.URL, "http")
}

// frame is a server message.
type frame map[string]any

func (f frame) str(key string) string { s, _ := f[key].(string); return s }
func (f frame) num(key string) int    { n, _ := f[key].(float64); return int(n) }

// client is a WebSocket that speaks the protocol as told, and nothing more.
type client struct {
	t     testing.TB
	ws    *websocket.Conn
	id    string // of the session
	token string
	seq   int
	got   int
}

var dialer = websocket.Dialer{Subprotocols: []string{Subprotocol}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}

func dial(t testing.TB, url string) *client {
	t.Helper()
	ws, _, err := dialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, ws: ws}
	t.Cleanup(func() { ws.Close() })
	return c
}

// open dials and says hello.
func openClient(t testing.TB, url, hello string) *client {
	t.Helper()
	c := dial(t, url)
	c.send(hello)
	c.welcome()
	return c
}

func (c *client) welcome() frame {
	c.t.Helper()
	w := c.expect("welcome")
	c.id = w.str("session")
	c.token = w["resume"].(map[string]any)["token"].(string)
	return w
}

// send sends text as it is.
func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		_ = c.ws.SetReadDeadline(time.Now().Add(patience))
		for {
			if _, b, rerr := c.ws.ReadMessage(); rerr != nil {
				c.t.Fatalf("%v; the server's last word: %v", err, rerr)
			} else {
				c.t.Logf("unread: %.200s", b)
			}
		}
	}
}

// say sends a numbered message; text is without its closing brace.
func (c *client) say(text string) {
	c.t.Helper()
	c.seq++
	c.send(text + `,"seq":` + strconv.Itoa(c.seq) + `}`)
}

func (c *client) read() frame {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	_, b, err := c.ws.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatalf("%s: %v", b, err)
	}
	if n := f.num("seq"); n != 0 {
		if n != c.got+1 {
			c.t.Fatalf("after number %d came %s", c.got, b)
		}
		c.got = n
	}
	return f
}

// expect reads the next message, which must be of that type. Acks are skipped.
func (c *client) expect(typ string) frame {
	c.t.Helper()
	for {
		f := c.read()
		if f.str("type") == "ack" && typ != "ack" {
			continue
		}
		if f.str("type") != typ {
			c.t.Fatalf("want %s, got %v", typ, f)
		}
		return f
	}
}

// expectError reads the next message, which must be this error.
func (c *client) expectError(code wire.ErrorCode) frame {
	c.t.Helper()
	f := c.expect("error")
	if f.str("code") != string(code) {
		c.t.Fatalf("want error %s, got %v", code, f)
	}
	return f
}

// expectState reads the next message, which must be this state of a call.
func (c *client) expectState(state string) frame {
	c.t.Helper()
	f := c.expect("call")
	if f.str("state") != state {
		c.t.Fatalf("want state %s, got %v", state, f)
	}
	return f
}

// expectClose reads until the socket ends, which must be with this code.
func (c *client) expectClose(code wire.CloseCode) {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	for {
		_, _, err := c.ws.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, int(code)) {
			c.t.Fatalf("want close %d, got %v", code, err)
		}
		return
	}
}

// join enters a room and returns the answer.
func (c *client) join(room string) frame {
	c.t.Helper()
	c.say(`{"type":"join","room":"` + room + `","id":1`)
	return c.expect("joined")
}
