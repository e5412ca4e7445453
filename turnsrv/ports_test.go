package turnsrv

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestLastPorts lets another program hold half of a narrow range of relay ports:
// every port of the other half can be had, then comes 508, in both families, and
// for pairs too. (relay.sockets: auto would go on without sockets.)
func TestLastPorts(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		const low, high = 12100, 12139
		cfg.PortMin, cfg.PortMax = low, high
		cfg.Sockets = SocketsOn
		ips := []string{"127.0.0.1", "::1"}
		for f, ip := range ips {
			addr := netip.MustParseAddr(ip)
			cfg.Relay = []netaddr.RelayAddress{{Bind: addr, Advertise: addr}}
			for _, pair := range []bool{false, true} {
				ts := startServer(t, cfg)
				free := 0
				var foreign []net.PacketConn
				for port := uint16(low); port <= high; port++ {
					// Of four ports one pair is whole.
					if pair && port%4 != 3 || !pair && port%2 == 0 {
						free++
						continue
					}
					conn, err := net.ListenPacket("udp", netip.AddrPortFrom(addr, port).String())
					if err != nil {
						t.Fatal(err)
					}
					foreign = append(foreign, conn)
				}
				attrs := []turntest.Attr{turntest.Transport(wire.ProtocolUDP), turntest.Family([]byte{wire.FamilyIPv4, wire.FamilyIPv6}[f])}
				if pair {
					free = (high - low + 1) / 4
					attrs = append(attrs, turntest.With(stun.AttrEvenPort, []byte{0x80}))
				}
				name := strings.Join([]string{ip, fmt.Sprint("pair ", pair)}, ", ")
				for i := range free {
					c := dialRaw(t, ts, fmt.Sprint("user ", i))
					if code := turntest.CodeOf(c.Do(stun.MethodAllocate, attrs...)); code != 0 {
						t.Fatalf("%s: allocation %d of %d: %d", name, i+1, free, code)
					}
				}
				if code := turntest.CodeOf(dialRaw(t, ts, "one more").Do(stun.MethodAllocate, attrs...)); code != 508 {
					t.Errorf("%s: one more: %d, want 508", name, code)
				}
				for _, conn := range foreign {
					conn.Close()
				}
				ts.stop()
			}
		}
	})
}
