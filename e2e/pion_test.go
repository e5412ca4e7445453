package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pion/turn/v4"
)

// TestPion takes two allocations with pion's client over every transport and sends datagrams of many sizes from
// relayed address to relayed address, both ways.
func TestPion(t *testing.T) {
	s := start(t, nil)
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			a := s.allocate(t, transport, "pion")
			b := s.allocate(t, transport, "pion")
			permit(t, a, b)
			permit(t, b, a)
			// From 5 bytes on: on streams pion's client waits for a ninth byte of a ChannelData message.
			for _, size := range []int{5, 6, 7, 8, 20, 171, 172, 1200, 1400} {
				exchange(t, a, b, size)
				exchange(t, b, a, size)
			}
		})
	}
}

// TestTransportsMeet relays between a client on each transport and one on every other.
func TestTransportsMeet(t *testing.T) {
	s := start(t, nil)
	transports := []string{"udp", "tcp", "tls"}
	ends := map[string]*allocation{}
	for _, transport := range transports {
		ends[transport] = s.allocate(t, transport, "pion")
	}
	for i, from := range transports {
		for _, to := range transports[i+1:] {
			t.Run(from+" "+to, func(t *testing.T) {
				permit(t, ends[from], ends[to])
				permit(t, ends[to], ends[from])
				exchange(t, ends[from], ends[to], 900)
				exchange(t, ends[to], ends[from], 900)
			})
		}
	}
}

// TestWrongCredentials is refused with 401, by pion's own reading of the answer.
func TestWrongCredentials(t *testing.T) {
	s := start(t, nil)
	username, _, err := turn.GenerateLongTermTURNRESTCredentials(secret, "pion", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	client := s.dial(t, "udp", username, "not-the-password")
	if _, err := client.Allocate(); err == nil || !bytes.Contains([]byte(err.Error()), []byte("401")) {
		t.Errorf("Allocate with a wrong password: %v; want error 401", err)
	}
}

type allocation struct {
	client *turn.Client
	relay  net.PacketConn
}

// allocate takes an allocation for user over a transport; the test's end gives it back.
func (s *server) allocate(t *testing.T, transport, user string) *allocation {
	t.Helper()
	username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, user, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	client := s.dial(t, transport, username, password)
	relay, err := client.Allocate()
	if err != nil {
		t.Fatalf("allocate over %s: %v\n%s", transport, err, s.log)
	}
	t.Cleanup(func() { _ = relay.Close() })
	return &allocation{client, relay}
}

// dial connects pion's client over "udp", "tcp" or "tls"; the server's certificate is verified.
func (s *server) dial(t *testing.T, transport, username, password string) *turn.Client {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", s.port)
	var conn net.PacketConn
	switch transport {
	case "udp":
		socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn = socket
	case "tcp":
		stream, err := net.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		conn = turn.NewSTUNConn(stream)
	case "tls":
		stream, err := tls.Dial("tcp4", address, &tls.Config{RootCAs: s.roots, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		conn = turn.NewSTUNConn(stream)
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: address, TURNServerAddr: address, Conn: conn, Username: username, Password: password, Realm: "turnhub",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	return client
}

func permit(t *testing.T, a, b *allocation) {
	t.Helper()
	if err := a.client.CreatePermission(b.relay.LocalAddr()); err != nil {
		t.Fatalf("permission for %s: %v", b.relay.LocalAddr(), err)
	}
}

// exchange sends size random bytes from one relayed address to another and expects them there unchanged.
func exchange(t *testing.T, from, to *allocation, size int) {
	t.Helper()
	sent := make([]byte, size)
	_, _ = rand.Read(sent)
	if _, err := from.relay.WriteTo(sent, to.relay.LocalAddr()); err != nil {
		t.Fatalf("send %d bytes: %v", size, err)
	}
	buffer := make([]byte, 2000)
	_ = to.relay.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, peer, err := to.relay.ReadFrom(buffer)
	if err != nil {
		t.Fatalf("receive %d bytes: %v", size, err)
	}
	if !bytes.Equal(buffer[:n], sent) {
		t.Errorf("%d bytes arrived changed", size)
	}
	if peer.String() != from.relay.LocalAddr().String() {
		t.Errorf("they came from %s, want %s", peer, from.relay.LocalAddr())
	}
}
