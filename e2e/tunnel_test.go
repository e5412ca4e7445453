package e2e

import (
	"net"
	"strings"
	"testing"
)

// TestTunnelIsRefused has the server refuse what a tunnel wants and a call does not: more
// new peers than 32 at once, more packets, and more bytes of one person over all
// allocations. Each is counted by its reason.
func TestTunnelIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, map[string]map[string]any{"relay": {"external_ip": "127.0.0.1", "peers": "any"}, "limits": {"packets_per_allocation": "100/s", "bandwidth_per_user": "10kB/s"}})

	// That many new peers by default; the next ones come only at five a second.
	scan := s.allocate(t, "udp", "scanner")
	peers := func(net4 int) (all []net.Addr) {
		for i := range 32 {
			all = append(all, &net.UDPAddr{IP: net.IPv4(9, 9, byte(net4), byte(i+1)), Port: 53})
		}
		return all
	}
	if err := scan.client.CreatePermission(peers(1)...); err != nil {
		t.Errorf("32 peers at once: %v", err)
	}
	if err := scan.client.CreatePermission(peers(2)...); err == nil || !strings.Contains(err.Error(), "508") {
		t.Errorf("32 more: %v", err)
	}

	for user, size := range map[string]int{"packets": 1, "bytes": 1000} {
		a, b := s.allocate(t, "tcp", user), s.allocate(t, "tcp", user)
		permit(t, a, b)
		permit(t, b, a)
		exchange(t, a, b, 5)
		for range 1000 {
			if _, err := a.relay.WriteTo(make([]byte, size), b.relay.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, counter := range []string{`turnhub_relay_peers_denied_total{reason="new-peers"}`, `turnhub_relay_drops_total{reason="packets"}`, `turnhub_relay_drops_total{reason="user_bandwidth"}`} {
		until(t, counter+" counts", func() bool {
			n, _ := findMetric(t, s.metrics(t), counter) // a reason why peers are denied is there once one was
			return n > 0
		})
	}
}
