package turnsrv

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// statedConn is a connection from an address that a test states: as a proxy's word,
// or as if it had come from there.
type statedConn struct {
	bridge
	from netip.AddrPort
	told bool
}

func (c *statedConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }
func (c *statedConn) Told() bool           { return c.told }

// everyone is a call of all users, whom no signaling has seen.
type everyone struct{}

func (everyone) Together(a, b string) bool    { return true }
func (everyone) Seen(string, netip.Addr) bool { return false }

// TestToldAddress has clients come from addresses that a proxy only tells: those that
// would be in the operator's own network are nobody's place, so that no header opens
// them to the others of a call. What the server has seen itself is.
func TestToldAddress(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Policy = policy.New(policy.Config{Mode: policy.ModeCalls, Calls: everyone{}})
		ts := startServer(t, cfg)
		anna := dialRaw(t, ts, "anna")
		anna.Challenge()
		anna.Allocate()
		for _, x := range []struct {
			from string
			told bool
			want int
		}{
			{"10.7.7.7", true, 403}, {"192.168.3.3", true, 403}, {"100.64.0.9", true, 403},
			{"127.0.0.2", true, 403}, {"169.254.169.254", true, 403},
			{"8.8.4.7", true, 0},
			{"10.8.8.8", false, 0}, {"8.8.4.8", false, 0}, {"127.0.0.3", false, 403},
		} {
			from := netip.AddrPortFrom(netip.MustParseAddr(x.from), 5000)
			address := ts.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn {
				return &statedConn{bridge: bridge{c}, from: from, told: x.told}
			})
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			bob := newRaw(t, ts, conn, "bob", true)
			bob.Challenge()
			bob.Allocate()
			if got := turntest.CodeOf(anna.Do(stun.MethodCreatePermission, turntest.Peer(from.String()))); got != x.want {
				t.Errorf("%s, told %v: CreatePermission is answered %d, want %d", x.from, x.told, got, x.want)
			}
			bob.Do(stun.MethodRefresh, turntest.Lifetime(0))
			if got := turntest.CodeOf(anna.Do(stun.MethodCreatePermission, turntest.Peer(from.String()))); got != 403 {
				t.Errorf("%s, told %v: after the end CreatePermission is answered %d", x.from, x.told, got)
			}
			conn.Close()
		}
	})
}
