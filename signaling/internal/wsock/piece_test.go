package wsock

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// sniffed is a connection that notes the lengths of the TLS records that come.
type sniffed struct {
	net.Conn
	header  []byte
	left    int
	lengths []int
}

func (c *sniffed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for _, one := range b[:n] {
		if c.left > 0 {
			c.left--
			continue
		}
		if c.header = append(c.header, one); len(c.header) == 5 {
			c.left = int(c.header[3])<<8 | int(c.header[4])
			if c.header[0] == 23 { // application data, RFC 8446 5.1
				c.lengths = append(c.lengths, c.left)
			}
			c.header = c.header[:0]
		}
	}
	return n, err
}

// Of what is said at once at the beginning the first can be read before all of it has
// come, and later no record is cut.
func TestFirstWordsComeAlone(t *testing.T) {
	const messages, size = 24, 8 << 10
	for _, w := range []way{"TLS", "goroutines"} {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			began := make(chan *Conn, 1)
			roomy := options
			roomy.QueueBytes = 1 << 20
			url, ended := w.serve(t, roomy, func(c *Conn) func(int, []byte) error {
				began <- c
				return func(int, []byte) error {
					text := []byte(strings.Repeat("x", size))
					for range messages {
						c.Send(Text(text))
					}
					return nil
				}
			})
			var raw *sniffed
			d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, address)
				raw = &sniffed{Conn: c}
				return raw, err
			}}
			ws, _, err := d.Dial("wss"+strings.TrimPrefix(strings.TrimPrefix(url, "wss"), "ws"), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ws.Close() })
			wait(t, began, "the socket")
			raw.lengths = nil
			if err := ws.WriteMessage(websocket.TextMessage, []byte("go")); err != nil {
				t.Fatal(err)
			}
			for range messages {
				if _, text, err := read(ws); err != nil || len(text) != size {
					t.Fatalf("%d bytes, %v", len(text), err)
				}
			}
			total := 0
			for i, length := range raw.lengths {
				if total < 32<<10 && length > 5000 {
					t.Errorf("record %d has %d bytes: %v", i, length, raw.lengths)
				}
				total += length
			}
			if slices.Max(raw.lengths) <= 5000 {
				t.Errorf("all are cut: %v", raw.lengths)
			}
			ws.Close()
			wait(t, ended, "the socket has ended")
		})
	}
}
