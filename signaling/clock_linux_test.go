package signaling

import (
	"net"
	"testing"
	"time"
)

// A write that is stuck has as long as the hub says, by the hub's clock.
func TestClockOfAStuckWrite(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 10 * year, -10 * year} {
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
		h := NewHub(Config{})
		even := steady()
		h.now = func() time.Time { return even().Add(-by) }
		go func() { _ = h.Serve(t.Context()) }()
		p, err := newPoller(h)
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{hub: h, nc: server, done: true}
		h.sockets.Force(c.remote, 1)
		h.wait.Add(1)
		if !p.newLink(c) {
			t.Fatal("the poller does not take the socket")
		}
		block := make([]byte, 1<<20)
		for n := 1; n > 0; {
			if n, err = c.link.try(block); err != nil {
				t.Fatal(err)
			}
		}
		c.link.start()
		begun := time.Now()
		c.link.await(true, 200*time.Millisecond)
		for {
			c.link.mu.Lock()
			closed := c.link.fd < 0
			c.link.mu.Unlock()
			if closed {
				break
			}
			if time.Since(begun) > patience {
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
