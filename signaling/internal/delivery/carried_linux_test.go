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
		for {
			n.gate.Lock()
			var c *conn
			for c = range n.conns {
			}
			n.gate.Unlock()
			if c != nil {
				if c.line.Carried() != carried {
					t.Errorf("%s: carried by the event loop: %v", url, c.line.Carried())
				}
				break
			}
			time.Sleep(time.Millisecond)
		}
		ws.Close()
		for left := 1; left > 0; time.Sleep(time.Millisecond) {
			n.gate.Lock()
			left = len(n.conns)
			n.gate.Unlock()
		}
	}
	n.Close()
}
