package delivery

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"turnhub/signaling/internal/timers"
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
		p, err := newPoller(n)
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{node: n, nc: server, done: true}
		n.sockets.Force(c.remote, 1)
		n.wait.Add(1)
		if !p.newLink(c) {
			t.Fatal("the poller does not take the socket")
		}
		block := make([]byte, 1<<20)
		for c.link.Waiting() < 16*len(block) { // more than the kernel's buffers can grow
			if err = c.link.Send(block); err != nil {
				t.Fatal(err)
			}
		}
		c.link.start()
		begun := time.Now()
		c.link.SetWriteDeadline(within(200 * time.Millisecond))
		for {
			if c.link.FD() < 0 {
				break
			}
			if time.Since(begun) > 20*time.Second {
				t.Fatalf("clock set by %v: a stuck write of 200 ms waits for ever", by)
			}
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begun); took < 150*time.Millisecond {
			t.Errorf("clock set by %v: a stuck write of 200 ms was given up after %v", by, took)
		}
		p.close()
	}
}
