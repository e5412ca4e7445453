package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
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
		until(t, counter+" counts", func() bool { return s.metric(t, counter) > 0 })
	}
}

// metric is the value of a line of /metrics, 0 where there is none.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	response, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(fmt.Sprint(`(?m)^`, regexp.QuoteMeta(name), ` (\S+)$`)).FindSubmatch(text)
	if line == nil {
		return 0
	}
	value, err := strconv.ParseFloat(string(line[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
