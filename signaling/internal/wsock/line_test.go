package wsock

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/stream"
)

// long is a hold that no test waits for.
const long = time.Hour

// Who is held up by its meter waits, and nobody else: the event loop goes on.
func TestHoldDelaysNobodyElse(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		metered := options
		metered.Meter = func(bytes int) (time.Duration, error) {
			if bytes == len("hold me") {
				return long, nil
			}
			return 0, nil
		}
		var held []*websocket.Conn
		url, ended := w.serve(t, metered, func(c *Conn) func(int, []byte) error {
			t.Cleanup(func() { c.Close(CodeGoingAway, "") })
			return func(kind int, payload []byte) error {
				if string(payload) == "hold me" {
					t.Error("what is held up was handled")
				}
				return echo(c)(kind, payload)
			}
		})
		for range 8 { // on every loop
			ws := dial(t, url)
			for _, text := range []string{"first", "hold me", "behind it"} {
				if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if _, got, err := read(ws); err != nil || string(got) != "first" {
				t.Fatalf("got %q, %v", got, err)
			}
			held = append(held, ws)
		}
		for range 8 {
			ws := dial(t, url)
			if err := ws.WriteMessage(websocket.TextMessage, []byte("me")); err != nil {
				t.Fatal(err)
			}
			if _, got, err := read(ws); err != nil || string(got) != "me" {
				t.Fatalf("got %q, %v", got, err)
			}
			ws.Close()
			wait(t, ended, "the socket has ended")
		}
		if w == "goroutines" {
			return // one sees the end of TCP when the hold is over
		}
		// A connection that is reset ends, held up or not.
		for _, ws := range held {
			tcp := stream.TCP(ws.NetConn())
			if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
				t.Fatal(err)
			}
			if err := wait(t, ended, "the socket has ended"); err == nil {
				t.Error("ended without a cause")
			}
		}
	})
}

// What is held up comes later, in order, and so does what follows it.
func TestHoldKeepsTheOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		metered := options
		n := 0
		metered.Meter = func(int) (time.Duration, error) {
			n++
			return time.Duration(n%3) * time.Millisecond, nil
		}
		url, _ := w.serve(t, metered, echo)
		ws := dial(t, url)
		const messages = 100
		message := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), i*20) }
		go func() {
			for i := range messages {
				if i%10 == 0 {
					_ = ws.WriteControl(websocket.PingMessage, []byte("p"), time.Now().Add(time.Minute))
				}
				_ = ws.WriteMessage(websocket.TextMessage, []byte(message(i)))
			}
		}()
		for i := range messages {
			if _, got, err := read(ws); err != nil || string(got) != message(i) {
				t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
			}
		}
	})
}

// A Close that comes between the meter's word and the hold is not held up either.
func TestCloseBeforeAHold(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		metered := options
		var conn *Conn
		metered.Meter = func(int) (time.Duration, error) {
			conn.Close(4005, "restart")
			return long, nil
		}
		for name, say := range map[string]int{"message": websocket.TextMessage, "ping": websocket.PingMessage} {
			url, ended := w.serve(t, metered, func(c *Conn) func(int, []byte) error {
				conn = c
				return func(int, []byte) error {
					t.Errorf("%s: what is held up was handled", name)
					return nil
				}
			})
			ws := dial(t, url)
			if err := ws.WriteMessage(say, []byte("held")); err != nil {
				t.Fatal(err)
			}
			wantClose(t, ws, 4005, "restart")
			var closed *PeerClosed
			if err := wait(t, ended, "the socket has ended"); !errors.As(err, &closed) || closed.Code != 4005 {
				t.Errorf("%s: ended with %v, want the client's answer", name, err)
			}
		}
	})
}

// A Close ends a hold: the client gets the code at once, its answer is waited for, and
// what was held up is not handled.
func TestCloseEndsAHold(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		metered := options
		holding := make(chan struct{})
		metered.Meter = func(int) (time.Duration, error) {
			close(holding)
			return long, nil
		}
		url, ended := w.serve(t, metered, func(c *Conn) func(int, []byte) error {
			go func() {
				<-holding
				c.Close(4005, "restart")
			}()
			return func(int, []byte) error {
				t.Error("what is held up was handled")
				return nil
			}
		})
		ws := dial(t, url)
		if err := ws.WriteMessage(websocket.TextMessage, []byte("held")); err != nil {
			t.Fatal(err)
		}
		wantClose(t, ws, 4005, "restart")
		var closed *PeerClosed
		if err := wait(t, ended, "the socket has ended"); !errors.As(err, &closed) || closed.Code != 4005 {
			t.Errorf("ended with %v, want the client's answer", err)
		}
	})
}

// What a slow peer gets, when it reads at last, is whole messages and the Close, or the
// end of TCP: no message is cut to make room for the Close.
func TestNothingIsCutForTheClose(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		small := options
		small.QueueBytes = 2 << 20
		full := make(chan struct{})
		url, _ := w.serve(t, small, func(c *Conn) func(int, []byte) error {
			go func() {
				defer close(full)
				for f := Binary(make([]byte, 300<<10)); c.Send(f); {
				}
			}()
			return echo(c)
		})
		ws := dial(t, url)
		wait(t, full, "the queue is full")
		for {
			_, got, err := read(ws)
			if err == nil {
				if len(got) != 300<<10 {
					t.Fatalf("a message of %d bytes", len(got))
				}
				continue
			}
			var closed *websocket.CloseError
			var network net.Error
			if !errors.As(err, &closed) && !errors.As(err, &network) || closed != nil && closed.Code != 4008 && closed.Code != websocket.CloseAbnormalClosure {
				t.Errorf("ended with %v", err)
			}
			return
		}
	})
}

// What was said before the reading begins leaves, however much it is.
func TestSentBeforeStart(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		large := options
		large.QueueBytes = 64 << 20
		const messages, size = 4, 1 << 20
		url, _ := w.serve(t, large, func(c *Conn) func(int, []byte) error {
			for range messages {
				if !c.Send(Binary(make([]byte, size))) {
					t.Error("not taken")
				}
			}
			return echo(c)
		})
		ws := dial(t, url)
		for i := range messages {
			if _, got, err := read(ws); err != nil || len(got) != size {
				t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
			}
		}
	})
}
