package media

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

// TestSlowReceiver: for one who does not read nothing but a bounded part waits, however
// long it takes; when it reads again it gets what is fresh, sound first, and its sender is
// asked for a key picture. Nobody is ended for it.
func TestSlowReceiver(t *testing.T) {
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			if name == "TLS" && os.Getenv("E2E_LONG") == "" {
				t.Skip("set E2E_LONG=1 (make soak)")
			}
			w := serve(t, signaling.Config{}, Config{Timing: Timing{Write: time.Minute}}, wstest.Ways[name])
			a, b := w.person("room"), w.person("room")
			y := w.small(b, a)
			y.want(`{"type":"ready","here":false}`)
			x := a.open(b)
			x.want(`{"type":"ready","here":true}`)
			y.want(`{"type":"peer","here":true}`)
			w.clock.Stop()
			x.send(numbered(Key, 0, 1200))
			y.next()
			w.clock.Go()
			// Until the server holds as much as it will, and begins to drop.
			number := 0
			dropped := func(kind, why string) uint64 { return w.media.Stats().Dropped[kind][why] }
			wstest.Until(t, "pictures are dropped", func() bool {
				for range 8 {
					number++
					x.send(numbered(Picture, number, 60_000))
					x.send(numbered(Sound, number, 100))
				}
				return dropped("picture", "full") > 0 && dropped("picture", "no_key") > 0 && dropped("sound", "late")+dropped("sound", "full") > 0
			})
			k := w.of(b.id)
			k.mu.Lock()
			waiting := k.queue.sound.bytes + k.queue.pictures.bytes
			k.mu.Unlock()
			if waiting > soundBytes+pictureBytes {
				t.Errorf("%d bytes wait", waiting)
			}
			// What the kernel and the two buffers between hold is little: the server's own
			// knowledge is what decides.
			if passed := w.media.Stats().Bytes["picture"]; passed > 3<<20 {
				t.Errorf("%d bytes of pictures went to one who reads nothing", passed)
			}
			x.send(numbered(Report, 1_000_000, 100))
			asked := make(chan bool, 1)
			go func() {
				for {
					kind, text, err := wstest.Read(x.ws)
					if err != nil {
						return
					}
					if kind == websocket.TextMessage && string(text) == `{"type":"key"}` {
						asked <- true
						return
					}
				}
			}()
			for { // it reads again
				_, frame := y.next()
				if frame != nil && Kind(frame[0]) == Report {
					break
				}
			}
			x.send(numbered(Picture, number+1, 100)) // builds on what is lost
			wstest.Wait(t, asked, "the sender is asked for a key picture")
			x.send(numbered(Key, 2_000_000, 1200))
			for {
				_, frame := y.next()
				switch {
				case frame == nil, Kind(frame[0]) == Sound:
				case Kind(frame[0]) == Key:
					return
				case Kind(frame[0]) == Picture:
					t.Fatal("a picture without those that it builds on")
				}
			}
		})
	}
}

// small is open with small buffers of the kernel on the client's side.
func (w *world) small(p, peer *person) *end {
	w.t.Helper()
	dialer := *websocket.DefaultDialer
	dialer.TLSClientConfig = insecure
	dialer.NetDial = func(network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}
	ws, _, err := dialer.Dial(w.url+"/media", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ws.Close() })
	e := &end{w.t, ws}
	e.hello(p.id, p.token, peer.id)
	return e
}

// of is the socket of a session that has one.
func (w *world) of(session string) *socket {
	w.media.mu.Lock()
	defer w.media.mu.Unlock()
	for p := range w.media.of[session] {
		return p.ends[p.side(session)].Load()
	}
	return nil
}
