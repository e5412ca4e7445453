package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v4"
)

// hostileConn reads as its kind does once it has been told to.
type hostileConn struct {
	net.Conn
	turned, closed chan struct{}
	once           sync.Once
	size           int           // bytes at a time, 0: it never reads
	every          time.Duration // between them
}

func (c *hostileConn) Read(b []byte) (int, error) {
	select {
	case <-c.turned:
	default:
		return c.Conn.Read(b)
	}
	if c.size == 0 {
		<-c.closed
		return 0, net.ErrClosed
	}
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case <-time.After(c.every):
	}
	return c.Conn.Read(b[:min(c.size, len(b))])
}

func (c *hostileConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Clients that read one byte a second, that open their window and shut it again, and
// that acknowledge and never read, while a peer sends each more than the server keeps:
// what the server holds for each is bounded, another client gets everything, and nothing
// of them is left in the end.
func TestStayUpSlowReaders(t *testing.T) {
	clients := long(100, 1000)
	s := start(t, map[string]map[string]any{"relay": {"peers": "any"}, "limits": {"bandwidth_per_allocation": "0", "packets_per_allocation": "0", "allocations_per_user": 10000, "allocations_per_ip": 10000}})
	s.alive(t, "before")
	before := s.settled(t)
	least := s.peakMemory(t)
	t.Run("readers", func(t *testing.T) {
		a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "tcp", "caller")
		permit(t, a, b)
		permit(t, b, a)
		username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "hostile", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		flood := make([]byte, 1200)
		for i := range clients {
			under, err := s.connect(attacker(i))
			if err != nil {
				t.Fatal(err)
			}
			_ = under.(*net.TCPConn).SetReadBuffer(8 << 10)
			slow := &hostileConn{Conn: under, turned: make(chan struct{}), closed: make(chan struct{})}
			switch i % 3 {
			case 0:
				slow.size, slow.every = 1, time.Second
			case 1:
				slow.size, slow.every = 16<<10, 2*time.Second
			}
			var conn net.Conn = slow
			if i%2 == 1 {
				conn = tls.Client(slow, &tls.Config{RootCAs: s.roots, ServerName: "localhost"})
			}
			at := fmt.Sprintf("127.0.0.1:%d", s.port)
			client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: at, TURNServerAddr: at, Conn: turn.NewSTUNConn(conn), Username: username, Password: password, Realm: "turnhub"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			defer slow.Close()
			if err := client.Listen(); err != nil {
				t.Fatal(err)
			}
			relay, err := client.Allocate()
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			if err := client.CreatePermission(peer.LocalAddr()); err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			close(slow.turned)
			for range 400 { // 480 KB at once
				_, _ = peer.WriteTo(flood, relay.LocalAddr())
			}
			exchange(t, a, b, 1200) // all the time, and not one is lost
			exchange(t, b, a, 172)
		}
		// What the queue holds, and as much again until the collector has been.
		each := (s.peakMemory(t) - least) / clients
		t.Logf("%d KB for each of %d clients at the worst", each>>10, clients)
		if each > 2*(256<<10+64<<10) {
			t.Errorf("%d KB for each client", each>>10)
		}
		s.alive(t, "beside slow readers")
	})
	s.alive(t, "afterwards")
	until(t, "nothing of them is left", func() bool {
		now := s.usage(t)
		return now.goroutines <= before.goroutines+4 && now.descriptors <= before.descriptors+4
	})
}
