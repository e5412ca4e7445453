package delivery

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wsock"
)

// A write that is stuck has as long as the hub says, by the hub's clock.
func TestClockOfAStuckWrite(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		now := func() time.Time { return start.Add(time.Since(start) - by) }
		n := New(Config{Timers: timers.New(), Now: now, Day: time.Now, Log: slog.New(slog.DiscardHandler), Timing: Timing{Write: 200 * time.Millisecond}})
		go n.timers.Serve(t.Context(), now)
		c := &conn{node: n, done: true}
		c.line = wsock.NewLine(server, c, n.loops, n.timing.Write)
		n.sockets.Force(c.remote, 1)
		n.wait.Add(1)
		if !c.line.Carried() {
			t.Fatal("the event loop does not take the socket")
		}
		c.line.Direct(make([]byte, 16<<20), 0) // more than the kernel's buffers can grow
		c.line.Start()
		begun := time.Now()
		c.line.SetWriteDeadline(within(200 * time.Millisecond))
		gone := make(chan struct{})
		go func() {
			n.wait.Wait()
			close(gone)
		}()
		select {
		case <-gone:
		case <-time.After(20 * time.Second):
			t.Fatalf("clock set by %v: a stuck write of 200 ms waits for ever", by)
		}
		if took := time.Since(begun); took < 150*time.Millisecond {
			t.Errorf("clock set by %v: a stuck write of 200 ms was given up after %v", by, took)
		}
		n.Close()
	}
}
