package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/turn/v4"

	"turnhub/cluster/natstest"
)

// limitedNodes starts three nodes of one cluster.
func limitedNodes(t *testing.T, nats *natstest.Server, more map[string]map[string]any) (nodes []*server) {
	t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		config := map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"}}
		for section, members := range more {
			config[section] = members
		}
		nodes = append(nodes, start(t, config))
	}
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { return n.metric(t, `turnhub_cluster_nodes{state="alive"}`) == 3 })
	}
	return nodes
}

// tries makes an allocation for a user, which goes on when keep says so.
func (s *server) tries(t *testing.T, user string, keep bool) error {
	t.Helper()
	username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, user, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	client := s.dial(t, "udp", username, password)
	relay, err := client.Allocate()
	switch {
	case err != nil:
		client.Close()
		return err
	case keep:
		t.Cleanup(func() { _ = relay.Close() })
	default:
		_ = relay.Close()
		client.Close()
	}
	return nil
}

// opens opens a socket of the hub, which stays open when keep says so.
func (s *server) opens(t *testing.T, keep bool) error {
	t.Helper()
	dialer := websocket.Dialer{
		NetDial:         func(string, string) (net.Conn, error) { return s.connect("127.0.0.1") },
		TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: "localhost"}, Subprotocols: []string{"turnhub.v1"},
	}
	socket, response, err := dialer.Dial("wss://localhost/ws", nil)
	if err == nil { // where it is full, it says so on the socket
		_ = socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`))
		_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, _, err = socket.ReadMessage()
	}
	switch {
	case err != nil:
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("%s: %w", response.Status, err)
		}
		if socket != nil {
			socket.Close()
		}
		return err
	case keep:
		t.Cleanup(func() { socket.Close() })
	default:
		_ = socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"bye","seq":1}`))
		socket.Close()
	}
	return nil
}

// TestLimitsAcrossNodes: a user, and an address, who is at a limit on one node is refused on
// the others, until that node is killed; without NATS each node counts for itself.
func TestLimitsAcrossNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	const most = 16
	nodes := limitedNodes(t, nats, map[string]map[string]any{"limits": {"allocations_per_user": 4, "connections_per_ip": most}})
	a, b, c := nodes[0], nodes[1], nodes[2]
	for range 4 {
		if err := a.tries(t, "anna", true); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for _, n := range []*server{b, c} {
		until(t, "anna is refused elsewhere", func() bool { return n.tries(t, "anna", false) != nil })
	}
	t.Logf("a user is refused on the other nodes after %v", time.Since(began)) // the aim is 3 s
	if err := b.tries(t, "bob", false); err != nil {
		t.Errorf("bob pays for it: %v", err)
	}
	for i := range most - 4 {
		if err := a.opens(t, true); err != nil {
			t.Fatalf("socket %d: %v\n%s", i, err, a.log)
		}
	}
	for i := range 4 {
		until(t, "a socket on another node", func() bool { return c.opens(t, true) == nil })
		t.Logf("socket %d of 4", i)
	}
	until(t, "the address has its sockets", func() bool { return b.opens(t, false) != nil })

	a.kill(t)
	until(t, "anna is let in again", func() bool { return b.tries(t, "anna", false) == nil })
	until(t, "so is the address", func() bool { return b.opens(t, false) == nil })

	for range 4 {
		until(t, "anna has allocations on b", func() bool { return b.tries(t, "anna", true) == nil })
	}
	until(t, "anna is refused on c", func() bool { return c.tries(t, "anna", false) != nil })
	nats.Kill()
	until(t, "c counts for itself", func() bool { return c.tries(t, "anna", false) == nil })
	nats.Run()
	until(t, "they count together again", func() bool { return c.tries(t, "anna", false) != nil })
}

// TestVolumeAcrossNodes: what a user has had relayed by one node counts on the others, also
// when that node is dead.
func TestVolumeAcrossNodes(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := limitedNodes(t, natstest.Start(t, true), map[string]map[string]any{
		"limits": {"volume_per_user_day": "1MiB"}, "access": {"mode": "token", "token_secret_file": tokens},
	})
	a, b := nodes[0], nodes[1]
	pair := func(n *server) (one, two *allocation) {
		one, two = n.allocate(t, "udp", "anna"), n.allocate(t, "udp", "anna")
		permit(t, one, two)
		permit(t, two, one)
		return one, two
	}
	const dropped = `turnhub_relay_drops_total{reason="user_volume"}`
	one, two := pair(a)
	for i := 0; a.metric(t, dropped) == 0; i++ {
		if i > 100 {
			t.Fatal("the volume has no end")
		}
		for range 50 { // what is dropped at the end does not come
			if _, err := one.relay.WriteTo(make([]byte, 1000), two.relay.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, two = pair(b)
	sent := byte(0)
	refuses := func(n *server) (refused bool) {
		sent++
		before := n.metric(t, dropped)
		if _, err := one.relay.WriteTo(bytes.Repeat([]byte{sent}, 1000), two.relay.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		until(t, "it comes, or is dropped", func() bool {
			if refused = n.metric(t, dropped) > before; refused {
				return true
			}
			got := make([]byte, 1000)
			_ = two.relay.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			_, _, err := two.relay.ReadFrom(got)
			return err == nil && got[0] == sent
		})
		return refused
	}
	until(t, "b knows that anna has had it", func() bool { return refuses(b) })
	a.kill(t)
	until(t, "b knows that a is dead", func() bool { return b.metric(t, `turnhub_cluster_nodes{state="alive"}`) == 2 })
	if !refuses(b) {
		t.Error("what was relayed by a is forgotten with it")
	}
}
