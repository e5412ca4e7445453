// Command plain is what turnhub is measured against in the network lab: an ordinary page in the manner of the
// tutorials, a WebSocket that passes its messages on, and a TURN server of pion/turn/v4's own making. Good
// practice otherwise: trickled candidates, UDP, TCP and TLS offered at once.
package main

import (
	"crypto/tls"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/pion/turn/v4"
)

//go:embed page.html
var page []byte

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func run() error {
	certFile := flag.String("cert", "", "certificate")
	keyFile := flag.String("key", "", "its key")
	external := flag.String("ip", "", "public IPv4 address: the page on 443, TURN on 3478")
	second := flag.String("second-ip", "", "another one, for TURN over TLS on 443")
	flag.Parse()
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return err
	}
	secure := &tls.Config{Certificates: []tls.Certificate{certificate}}
	server, err := startTURN(*external, *second, secure)
	if err != nil {
		return err
	}
	defer server.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	mux.Handle("GET /ws", &hub{rooms: map[string]map[*websocket.Conn]bool{}})
	listener, err := tls.Listen("tcp", net.JoinHostPort(*external, "443"), secure)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, mux) }()

	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// startTURN listens on UDP 3478 and TCP 3478, and on TLS 443 of the second address, with one fixed user.
func startTURN(external, second string, secure *tls.Config) (*turn.Server, error) {
	relay := &turn.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP(external), Address: "0.0.0.0"}
	udp, err := net.ListenPacket("udp4", ":3478")
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp4", ":3478")
	if err != nil {
		return nil, err
	}
	overTLS, err := tls.Listen("tcp4", net.JoinHostPort(second, "443"), secure)
	if err != nil {
		return nil, err
	}
	return turn.NewServer(turn.ServerConfig{
		Realm: "plain",
		AuthHandler: func(username, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(username, realm, "plain"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: relay}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: tcp, RelayAddressGenerator: relay}, {Listener: overTLS, RelayAddressGenerator: relay}},
	})
}

// hub passes every message of a socket on to every other socket of its room, the URL's query.
type hub struct {
	mu    sync.Mutex
	rooms map[string]map[*websocket.Conn]bool
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	h.mu.Lock()
	room := h.rooms[r.URL.RawQuery]
	if room == nil {
		room = map[*websocket.Conn]bool{}
		h.rooms[r.URL.RawQuery] = room
	}
	room[conn] = true
	h.mu.Unlock()
	for {
		kind, message, err := conn.ReadMessage()
		h.mu.Lock()
		if err != nil {
			delete(room, conn)
			h.mu.Unlock()
			return
		}
		for other := range room {
			if other != conn {
				_ = other.WriteMessage(kind, message)
			}
		}
		h.mu.Unlock()
	}
}
