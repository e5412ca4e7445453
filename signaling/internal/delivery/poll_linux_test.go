package delivery

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling/internal/timers"
)

// layer is a connection whose lower one can be exchanged, as portmux has it.
type layer struct{ net.Conn }

func (l *layer) Buffered() []byte      { return nil }
func (l *layer) NetConn() net.Conn     { return l.Conn }
func (l *layer) SetNetConn(c net.Conn) { l.Conn = c }

// layered makes TLS connections with such layers.
type layered struct {
	net.Listener
	config *tls.Config
}

func (l layered) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(&layer{c}, l.config), nil
}

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
	config := foreign.TLS.Clone()
	config.NextProtos = nil
	plain, secure := httptest.NewServer(n), httptest.NewUnstartedServer(n)
	defer plain.Close()
	secure.Listener = layered{secure.Listener, config}
	secure.Start()
	defer secure.Close()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	for url, carried := range map[string]bool{
		"ws" + strings.TrimPrefix(plain.URL, "http"): true, "wss" + strings.TrimPrefix(secure.URL, "http"): true, "wss" + strings.TrimPrefix(foreign.URL, "https"): false,
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
				if (c.link != nil) != carried {
					t.Errorf("%s: carried by the event loop: %v", url, c.link != nil)
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
