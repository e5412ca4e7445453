package wsock

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/wstest"
)

// way is how the sockets of a test are served, see wstest.Ways.
type way string

// eachWay runs a test in all ways.
func eachWay(t *testing.T, test func(t *testing.T, w way)) {
	for name := range wstest.Ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, way(name))
		})
	}
}

// serve starts a server whose sockets are handed to run, and returns its URL
// and the ends of its sockets.
func (w way) serve(t *testing.T, opt Options, run func(*Conn) func(int, []byte) error) (string, <-chan error) {
	t.Helper()
	ended := make(chan error, 64)
	return w.serveEnding(t, opt, run, func(cause error) { ended <- cause }), ended
}

// serveEnding is serve for a test that is itself told of the ends.
func (w way) serveEnding(t *testing.T, opt Options, run func(*Conn) func(int, []byte) error, ended func(error)) string {
	t.Helper()
	loops := NewLoops(time.Now, func(err error) { t.Error(err) })
	opt.Loops = loops
	var handlers sync.WaitGroup
	server := wstest.Ways[string(w)](http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		c, err := Upgrade(answer, r, opt)
		if err != nil {
			return
		}
		if c.line.Carried() != (w != "goroutines") {
			t.Errorf("carried by an event loop: %v", c.line.Carried())
		}
		c.Start(run(c), ended)
	}))
	t.Cleanup(func() {
		server.Close()
		handlers.Wait() // those of upgraded connections, for which the server does not wait
		loops.Close()
	})
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

var dialer = websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := dialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

// read is ws.ReadMessage that ends.
func read(ws *websocket.Conn) (kind int, message []byte, err error) { return wstest.Read(ws) }

// wait waits for what a channel tells, or fails.
func wait[T any](t *testing.T, told <-chan T, what string) (v T) {
	t.Helper()
	return wstest.Wait(t, told, what)
}

func wantClose(t *testing.T, ws *websocket.Conn, code int, reason string) {
	t.Helper()
	for {
		_, _, err := read(ws)
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			if closed.Code != code || !strings.Contains(closed.Text, reason) {
				t.Fatalf("closed with %d %q, want %d %q", closed.Code, closed.Text, code, reason)
			}
			return
		}
		if err != nil {
			t.Fatalf("want a Close with %d, got %v", code, err)
		}
	}
}

var options = Options{MessageSize: 1 << 20, TooBig: 4009, Flood: 4007, Slow: 4008, QueueBytes: 4 << 20}

func echo(c *Conn) func(int, []byte) error {
	return func(kind int, payload []byte) error {
		if kind == KindText {
			c.Send(Text(payload))
		} else {
			c.Send(Binary(payload))
		}
		return nil
	}
}

// TestFrameLengths sends messages around each boundary of the length encoding
// of RFC 6455 section 5.2.
func TestFrameLengths(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		url, _ := w.serve(t, options, echo)
		ws := dial(t, url)
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} {
			for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
				sent := bytes.Repeat([]byte{'x'}, n)
				if err := ws.WriteMessage(kind, sent); err != nil {
					t.Fatal(err)
				}
				k, got, err := read(ws)
				if err != nil || k != kind || !bytes.Equal(got, sent) {
					t.Fatalf("%d bytes of kind %d came back as %d of kind %d, %v", n, kind, len(got), k, err)
				}
			}
		}
	})
}

func TestBadMessagesEndWithCode(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		small := options
		small.MessageSize = 100
		for name, c := range map[string]struct {
			send   func(*websocket.Conn) error
			code   int
			reason string
		}{
			"too big": {func(ws *websocket.Conn) error {
				return ws.WriteMessage(websocket.TextMessage, make([]byte, 101))
			}, 4009, "larger than 100 bytes"},
			"not UTF-8": {func(ws *websocket.Conn) error {
				return ws.WriteMessage(websocket.TextMessage, []byte{0xC3, 0x28})
			}, CodeInvalidText, "UTF-8"},
			"refused by the handler": {func(ws *websocket.Conn) error {
				return ws.WriteMessage(websocket.TextMessage, []byte("no"))
			}, 1008, "no"},
		} {
			t.Run(name, func(t *testing.T) {
				url, _ := w.serve(t, small, func(*Conn) func(int, []byte) error {
					return func(int, []byte) error { return &CloseError{1008, "no"} }
				})
				ws := dial(t, url)
				if err := c.send(ws); err != nil {
					t.Fatal(err)
				}
				wantClose(t, ws, c.code, c.reason)
			})
		}
	})
}

// TestCloseFollowsWhatIsQueued: a last word and the Close both arrive.
func TestCloseFollowsWhatIsQueued(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		url, ended := w.serve(t, options, func(c *Conn) func(int, []byte) error {
			for range 100 {
				c.Send(Text([]byte("last word")))
			}
			c.Close(4001, "replaced")
			if c.Send(Text([]byte("late"))) {
				t.Error("a message was taken after Close")
			}
			return echo(c)
		})
		ws := dial(t, url)
		for range 100 {
			if _, got, err := read(ws); err != nil || string(got) != "last word" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		wantClose(t, ws, 4001, "replaced")
		wait(t, ended, "the socket has ended")
	})
}

// TestPeersCloseIsAnswered: the client's Close comes back with its code.
func TestPeersCloseIsAnswered(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		url, ended := w.serve(t, options, echo)
		ws := dial(t, url)
		if err := ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "")); err != nil {
			t.Fatal(err)
		}
		wantClose(t, ws, 4321, "")
		var closed *PeerClosed
		if err := wait(t, ended, "the socket has ended"); !errors.As(err, &closed) || closed.Code != 4321 {
			t.Fatalf("ended with %v", err)
		}
	})
}

// TestSlowPeerIsAbandoned: Send never blocks, and a peer that does not read is
// ended when its queue is full.
func TestSlowPeerIsAbandoned(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		small := options
		small.QueueBytes = 1 << 20
		url, ended := w.serve(t, small, func(c *Conn) func(int, []byte) error {
			f := Binary(make([]byte, 64<<10))
			for c.Send(f) {
			}
			return echo(c)
		})
		dial(t, url) // never reads
		if err := wait(t, ended, "the socket has ended"); err == nil {
			t.Fatal("no cause")
		}
	})
}

func TestSilentPeerIsGone(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		quick := options
		quick.Ping, quick.Silence = 1e6, 50e6
		url, ended := w.serve(t, quick, echo)
		ws := dial(t, url)
		ws.SetPingHandler(func(string) error { return nil }) // half open: pings go unanswered
		go func() {
			for {
				if _, _, err := read(ws); err != nil {
					return
				}
			}
		}()
		var timeout net.Error
		if err := wait(t, ended, "the socket has ended"); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("ended with %v, want a timeout", err)
		}
	})
}

func TestAlive(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		alive := make(chan bool, 1)
		url, _ := w.serve(t, options, func(c *Conn) func(int, []byte) error {
			go func() { alive <- c.Alive(1e10) }()
			return echo(c)
		})
		ws := dial(t, url)
		go read(ws) // answers the ping
		if !wait(t, alive, "Alive has answered") {
			t.Fatal("a peer that answers counts as gone")
		}

		// A program that does not read, so that only its TCP answers.
		busy, _ := w.serve(t, options, func(c *Conn) func(int, []byte) error {
			go func() { alive <- c.Alive(1e8) }()
			return echo(c)
		})
		dial(t, busy)
		if !wait(t, alive, "Alive has answered") {
			t.Fatal("a peer that is busy counts as gone")
		}

		start := make(chan struct{})
		lost, _ := w.serve(t, options, func(c *Conn) func(int, []byte) error {
			go func() {
				<-start
				alive <- c.Alive(1e8)
			}()
			return echo(c)
		})
		wstest.LoseNetwork(t, dial(t, lost).NetConn())
		close(start)
		if wait(t, alive, "Alive has answered") {
			t.Fatal("a peer whose network is lost counts as alive")
		}
	})
}

// TestMeterClosesOnFloodOfPings: control frames are metered like messages.
func TestMeterClosesOnFloodOfPings(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		metered := options
		n := 0
		metered.Meter = func(int) (time.Duration, error) {
			if n++; n > 10 {
				return 0, &CloseError{4007, "flood"}
			}
			return 0, nil
		}
		url, ended := w.serve(t, metered, echo)
		ws := dial(t, url)
		for range 20 {
			if err := ws.WriteMessage(websocket.PingMessage, nil); err != nil {
				t.Fatal(err)
			}
		}
		wantClose(t, ws, 4007, "flood")
		wait(t, ended, "the socket has ended")
	})
}

// idleFrames are those that no limit of messages holds for.
var idleFrames = map[string]func(i int) []byte{
	"pings": func(int) []byte { return masked(0x89, "") },
	"pongs": func(int) []byte { return masked(0x8A, "full to the last of its hundred and twenty-five bytes") },
	"empty fragments": func(i int) []byte {
		if i == 0 {
			return masked(opText, "")
		}
		return masked(0, "")
	},
	"small fragments": func(i int) []byte {
		if i == 0 {
			return masked(opBinary, "x")
		}
		return masked(0, "x")
	},
	"fragments and pings in turn": func(i int) []byte {
		switch {
		case i == 0:
			return masked(opText, "")
		case i%2 == 0:
			return masked(0, "")
		}
		return masked(0x89, "p")
	},
}

// TestIdleFloodIsEnded: who sends far more frames without a message than anybody needs is
// ended, and nobody who sends many.
func TestIdleFloodIsEnded(t *testing.T) {
	for name, frame := range idleFrames {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, w way) {
				url, ended := w.serve(t, options, echo)
				ws := dial(t, url)
				go func() { // the answers are read meanwhile
					for i := 0; ; i++ {
						if _, err := ws.NetConn().Write(frame(i)); err != nil {
							return
						}
					}
				}()
				wantClose(t, ws, 4007, ErrFlood.Error())
				wait(t, ended, "the socket has ended")
			})
		})
	}
}

// TestManyIdleFramesAreTaken: a message in thousands of fragments, with pings between them,
// comes whole.
func TestManyIdleFramesAreTaken(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		url, _ := w.serve(t, options, echo)
		ws := dial(t, url)
		wire := masked(opText, "a")
		for range 3000 {
			wire = append(wire, masked(0x8A, "")...)
			wire = append(wire, masked(0, "b")...)
		}
		wire = append(wire, masked(0x80, "c")...)
		if _, err := ws.NetConn().Write(wire); err != nil {
			t.Fatal(err)
		}
		_, got, err := ws.ReadMessage()
		if want := "a" + strings.Repeat("b", 3000) + "c"; err != nil || string(got) != want {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		large := strings.Repeat("d", maxControl+1) // bounded by the message alone
		for range 5 {
			wire = masked(opBinary, large)
			for range 5000 {
				wire = append(wire, masked(0, large)...)
			}
			wire = append(wire, masked(0x80, "")...)
			if _, err := ws.NetConn().Write(wire); err != nil {
				t.Fatal(err)
			}
			if _, got, err := ws.ReadMessage(); err != nil || len(got) != 5001*len(large) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
	})
}

func TestFirstSubprotocolIsTaken(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		url, _ := w.serve(t, options, echo)
		dialer := dialer
		dialer.Subprotocols = []string{"chat", "other"}
		ws, _, err := dialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if ws.Subprotocol() != "chat" {
			t.Fatalf("subprotocol %q", ws.Subprotocol())
		}
	})
}
