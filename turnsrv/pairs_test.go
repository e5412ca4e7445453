package turnsrv

import (
	"net"
	"net/netip"
	"testing"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/wire"
)

// TestRelayOfTheSameAddress gives a client the relay address to which it came, over
// every transport and by listeners of one address and of all, and another one where
// that has no port left.
func TestRelayOfTheSameAddress(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Relay = nil
		hosts := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}
		outside := map[string]string{"127.0.0.1": "203.0.113.1", "127.0.0.2": "203.0.113.2", "127.0.0.3": "203.0.113.3"}
		for _, host := range hosts {
			cfg.Relay = append(cfg.Relay, netaddr.RelayAddress{Bind: netip.MustParseAddr(host), Advertise: netip.MustParseAddr(outside[host])})
		}
		cfg.PortMin, cfg.PortMax = 12200, 12203
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		one, err := s.ListenUDP("127.0.0.3:0")
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.ListenUDP("0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		ts := serveTest(t, s)
		came := func(network, address string) string {
			conn, err := net.Dial(network, address)
			if err != nil {
				t.Fatal(err)
			}
			c := newRaw(t, ts, conn, "anna", network == "tcp")
			return c.Allocate()[0].Addr().String()
		}
		check := func(network, address, want string) {
			t.Helper()
			if got := came(network, address); got != want {
				t.Errorf("%s to %s is relayed from %s, want %s", network, address, got, want)
			}
		}
		check("udp", one.String(), "203.0.113.3")
		if cfg.Driver != DriverPortable { // its sockets do not say where a datagram went to
			for _, host := range hosts {
				check("udp", netip.AddrPortFrom(netip.MustParseAddr(host), all.Port()).String(), outside[host])
			}
		}
		streams := ts.listenStreamsAt(t, "127.0.0.2:0", wire.TCP, func(c net.Conn) net.Conn { return c })
		for range 3 {
			check("tcp", streams, "203.0.113.2")
		}
		for i := range 4 { // 127.0.0.2 has four ports, of which all are soon gone
			if got := came("tcp", streams); i == 3 && got == "203.0.113.2" {
				t.Errorf("a fifth port of one address: %s", got)
			}
		}
	})
}
