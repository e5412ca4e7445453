package wsock

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A client that does not wait for the 101 loses nothing, wherever TCP cuts what it
// says, over plain TCP and TLS.
func TestEarlyMessages(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Upgrade(w, r, options)
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.Serve(echo(c))
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	dial := map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", plain.Listener.Addr().String()) },
		"TLS":   func() (net.Conn, error) { return tlsDial(secure) },
	}
	request := "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	text := append([]byte(request), masked(0x81, "early")...)
	text = append(text, masked(0x82, string(make([]byte, 5000)))...) // more than net/http reads at once
	text = append(text, masked(0x81, "late")...)
	for transport, dial := range dial {
		cuts := []int{len(text)}
		for at := 1; at < len(request)+20; at++ {
			cuts = append(cuts, at)
		}
		for _, at := range cuts {
			conn, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			for _, piece := range [][]byte{text[:at], text[at:]} {
				if _, err := conn.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			r := bufio.NewReader(conn)
			response, err := http.ReadResponse(r, nil)
			if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%s, cut at %d: %v, %v", transport, at, response, err)
			}
			for _, size := range []int{5, 5000, 4} {
				frame := make([]byte, len(newFrame(opText, make([]byte, size)).wire))
				if _, err := io.ReadFull(r, frame); err != nil {
					t.Fatalf("%s, cut at %d, message of %d bytes: %v", transport, at, size, err)
				}
			}
			conn.Close()
		}
	}
}

// Frames that break RFC 6455 end with 1002, and are told so.
func TestProtocolErrorsAreTold(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		for name, wire := range map[string][]byte{
			"a Close with half a code (section 5.5.1)":   masked(0x88, "\x03"),
			"a Close with a code nobody may send":        masked(0x88, "\x03\xED"),
			"a Close whose reason is not UTF-8":          masked(0x88, "\x03\xE8\xFF"),
			"an unmasked frame (section 5.1)":            newFrame(opText, []byte("x")).wire,
			"a reserved bit (section 5.2)":               masked(0xC1, "x"),
			"an opcode that is none":                     masked(0x83, "x"),
			"a continuation of nothing (section 5.4)":    masked(0x80, "x"),
			"a fragmented ping (section 5.5)":            masked(0x09, "x"),
			"a ping of 126 bytes":                        masked(0x89, string(make([]byte, 126))),
			"a message inside another":                   append(masked(0x01, "x"), masked(0x81, "y")...),
			"one after a good message and a good ping":   append(append(masked(0x81, "good"), masked(0x89, "ping")...), masked(0xF1, "bad")...),
			"more than the socket holds, after the fact": append(masked(0xF1, "bad"), make([]byte, 1<<20)...),
		} {
			t.Run(name, func(t *testing.T) {
				url, ended := w.serve(t, options, func(c *Conn) func(int, []byte) error {
					return func(int, []byte) error { return nil }
				})
				ws := dial(t, url)
				go func() { _, _ = ws.NetConn().Write(wire) }()
				wantClose(t, ws, websocket.CloseProtocolError, "")
				ws.Close()
				wait(t, ended, "the socket has ended")
			})
		}
	})
}

func tlsDial(server *httptest.Server) (net.Conn, error) {
	config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com" // a name of httptest's certificate
	config.NextProtos = []string{"http/1.1"}
	return tls.Dial("tcp", server.Listener.Addr().String(), config)
}
