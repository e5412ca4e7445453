package signaling

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

// clientFrame is a client's frame of up to 125 bytes, with a mask of zeros.
func clientFrame(first byte, payload string) string {
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

// rawClient sends an upgrade request with what follows, cut at a place (0: nowhere),
// and returns what answers after the 101.
func rawClient(t *testing.T, url, follows string, cut int) *bufio.Reader {
	t.Helper()
	address := url[strings.Index(url, "//")+2:]
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(url, "wss") {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	text := "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + follows
	for _, piece := range []string{text[:cut], text[cut:]} {
		if _, err := conn.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("cut at %d: %v, %v", cut, response, err)
	}
	return r
}

// readFrame reads one frame of the server's.
func readFrame(t *testing.T, r *bufio.Reader) (opcode byte, payload string) {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		t.Fatal(err)
	}
	length := int(head[1])
	if length == 126 {
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			t.Fatal(err)
		}
		length = int(head[2])<<8 | int(head[3])
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return head[0] & 0xF, string(b)
}

// A client that says hello without waiting for the 101 is heard, wherever TCP cuts it.
func TestEarlyHello(t *testing.T) {
	for transport, listen := range servers {
		t.Run(transport, func(t *testing.T) {
			_, url := listen(t, Config{})
			for cut := range 200 {
				early := clientFrame(0x81, `{"type":"hello"}`) + clientFrame(0x89, "p") + clientFrame(0x81, fmt.Sprintf(`{"type":"join","id":1,"seq":1,"room":"%d"}`, cut))
				r := rawClient(t, url, early, cut)
				heard := ""
				for !strings.Contains(heard, `"joined"`) || !strings.Contains(heard, "pong p") {
					opcode, payload := readFrame(t, r)
					switch opcode {
					case 0xA:
						heard += "pong " + payload
					case 1:
						heard += payload
					default:
						t.Fatalf("cut at %d: frame %d %q after %s", cut, opcode, payload, heard)
					}
				}
			}
			// What is wrong is told all the same.
			r := rawClient(t, url, clientFrame(0x81, `{"type":"nonsense"}`), 0)
			for {
				if opcode, payload := readFrame(t, r); opcode == 8 {
					if code := int(payload[0])<<8 | int(payload[1]); code != int(wire.CloseBadHello) {
						t.Fatalf("closed with %d", code)
					}
					break
				}
			}
		})
	}
}

// A Close with half a code breaks RFC 6455 section 5.5.1, before hello and after.
func TestHalfACloseCode(t *testing.T) {
	for transport, listen := range servers {
		_, url := listen(t, Config{})
		for _, before := range []string{"", clientFrame(0x81, `{"type":"hello"}`)} {
			r := rawClient(t, url, before+clientFrame(0x88, "\x03"), 0)
			for {
				opcode, payload := readFrame(t, r)
				if opcode != 8 {
					continue
				}
				if code := int(payload[0])<<8 | int(payload[1]); code != 1002 {
					t.Errorf("%s, after %q: closed with %d, want 1002", transport, before, code)
				}
				break
			}
		}
	}
}
