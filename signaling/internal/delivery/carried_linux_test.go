package delivery

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wstest"
)

// The event loop carries the sockets of TCP and of TLS; one of TLS whose layers cannot
// be put over another connection has a goroutine.
func TestSocketsAreCarried(t *testing.T) {
	verifier, err := access.NewVerifier(access.Config{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	n := New(Config{
		Timers: timers.New(), Now: time.Now, Day: time.Now, Log: slog.New(slog.DiscardHandler), Access: verifier,
		ClientAddress: func(*http.Request) (netip.AddrPort, bool) { return netip.AddrPort{}, true },
		Port:          func(*http.Request) uint16 { return 0 },
	})
	foreign := httptest.NewTLSServer(n)
	defer foreign.Close()
	plain, secure := httptest.NewServer(n), wstest.NewTLSServer(n)
	defer plain.Close()
	defer secure.Close()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	for url, carried := range map[string]bool{
		"ws" + strings.TrimPrefix(plain.URL, "http"): true, "wss" + strings.TrimPrefix(secure.URL, "https"): true, "wss" + strings.TrimPrefix(foreign.URL, "https"): false,
	} {
		ws, _, err := dialer.Dial(url, nil)
		if err != nil {
			t.Fatal(url, err)
		}
		open := func() (c *conn, number int) {
			n.gate.Lock()
			defer n.gate.Unlock()
			for c = range n.conns {
			}
			return c, len(n.conns)
		}
		wstest.Until(t, "the socket is on the books", func() bool { _, number := open(); return number > 0 })
		if c, _ := open(); c.line.Carried() != carried {
			t.Errorf("%s: carried by the event loop: %v", url, c.line.Carried())
		}
		ws.Close()
		wstest.Until(t, "the socket is off the books", func() bool { _, number := open(); return number == 0 })
	}
	n.Close()
}
