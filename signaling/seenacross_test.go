package signaling_test

import (
	"net/netip"
	"testing"

	"turnhub/signaling"
	"turnhub/signaling/internal/topicstest"
	"turnhub/signaling/internal/wstest"
)

// TestSeenAcross: where somebody who speaks a dialect is on one node, the relay of another one
// lets others of his kind reach him, and what that node relays, for as long as he is there and
// the node lives; people with a hub session are not let through to him.
func TestSeenAcross(t *testing.T) {
	net := topicstest.New("a", "b")
	end := net.Run()
	defer end()
	relay := netip.MustParseAddr("198.51.100.7")
	hubs := make(map[string]*signaling.Hub)
	attach := func(node, addr string) *signaling.DialectClient {
		c, err := hubs[node].Attach(signaling.ClientInfo{Dialect: "relay", Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 1), Direct: true}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, name := range []string{"a", "b"} {
		hubs[name] = signaling.NewHub(signaling.Config{})
		defer hubs[name].Close()
		hubs[name].ShareSeen(net.Node(name), func() []netip.Addr { return []netip.Addr{relay} })
	}
	sees := func(addr string) bool { return hubs["b"].Seen("somebody", netip.MustParseAddr(addr)) }
	wstest.Until(t, "they meet", func() bool { return sees("198.51.100.7") })
	ann, bob, twice := attach("a", "8.8.8.8"), attach("a", "2606:4700::1111"), attach("a", "8.8.8.8")
	wstest.Until(t, "they are seen", func() bool { return sees("8.8.8.8") && sees("2606:4700::1111") && sees("::ffff:8.8.8.8") })
	if sees("8.8.4.4") || sees("198.51.100.8") || hubs["b"].Seen(signaling.SessionPrefix+"x", netip.MustParseAddr("8.8.8.8")) {
		t.Error("more is let through")
	}
	twice.Detach()
	bob.Detach()
	wstest.Until(t, "bob has gone", func() bool { return !sees("2606:4700::1111") })
	if !sees("8.8.8.8") {
		t.Error("ann is still there")
	}
	net.Cut(true)
	wstest.Until(t, "a is not heard", func() bool { return !sees("8.8.8.8") && !sees("198.51.100.7") })
	net.Cut(false)
	wstest.Until(t, "a is back", func() bool { return sees("8.8.8.8") && sees("198.51.100.7") })
	net.Kill("a")
	wstest.Until(t, "a has died", func() bool { return !sees("8.8.8.8") && !sees("198.51.100.7") })
	ann.Detach()
}
