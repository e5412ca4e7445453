package turnsrv

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestQuotaUnderConcurrency has many clients allocate at once on all workers:
// never one more than the quota gets through, and not one less.
func TestQuotaUnderConcurrency(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Workers = 4
		cfg.Limits = core.Limits{AllocationsPerUser: 10, AllocationsPerIP: 100, AllocationsTotal: 25}
		ts := startServer(t, cfg)
		var ok, refused atomic.Int32
		var wg sync.WaitGroup
		for i := range 80 {
			c := dialRaw(t, ts, []string{"alice", "bob", "carol", "dave"}[i%4])
			wg.Go(func() {
				switch code := turntest.CodeOf(c.Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); code {
				case 0:
					ok.Add(1)
				case 486:
					refused.Add(1)
				default:
					t.Errorf("code %d", code)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 25 || refused.Load() != 55 {
			t.Errorf("%d allocations, %d refused", ok.Load(), refused.Load())
		}
		if n := len(ts.Allocations()); n != 25 {
			t.Errorf("%d allocations exist", n)
		}
	})
}

// TestReservedPortsCount has one client put aside ports with EVEN-PORT and end its
// allocation at once, again and again: the reserved ports count as its own until
// they expire, or are taken.
func TestReservedPortsCount(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Limits.AllocationsPerUser = 4
		ts := startServer(t, cfg)
		pair := turntest.With(stun.AttrEvenPort, []byte{0x80})
		var token []byte
		for i, want := range []int{0, 0, 0, 486} {
			c := dialRaw(t, ts, "alice")
			res := c.Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), pair)
			if got := turntest.CodeOf(res); got != want {
				t.Fatalf("pair %d: code %d, want %d", i, got, want)
			}
			if want == 0 {
				token, _ = res.Get(stun.AttrReservationToken)
				c.Do(stun.MethodRefresh, turntest.Lifetime(0))
			}
		}
		// Three ports are put aside. The last place goes to an allocation, and the
		// one in which a reserved port is taken is counted already.
		dialRaw(t, ts, "alice").Allocate()
		if got := turntest.CodeOf(dialRaw(t, ts, "alice").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); got != 486 {
			t.Errorf("a fifth: code %d, want 486", got)
		}
		odd := dialRaw(t, ts, "alice")
		odd.Allocate(turntest.With(stun.AttrReservationToken, append([]byte(nil), token...)))
		if got := turntest.CodeOf(dialRaw(t, ts, "alice").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.With(stun.AttrReservationToken, token))); got != 508 {
			t.Errorf("the token again: code %d, want 508", got)
		}
		if got := turntest.CodeOf(odd.Do(stun.MethodRefresh, turntest.Lifetime(0))); got != 0 {
			t.Fatal(got)
		}
		dialRaw(t, ts, "alice").Allocate()
	})
}

// TestStreamFraming sends what is no STUN over TCP: the connection ends at once,
// and the 20-byte packet of length 0xFFEC does too.
func TestStreamFraming(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		addr := ts.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn { return c })
		evil := turntest.Build(turntest.Request(stun.MethodBinding), nil).Raw
		evil[2], evil[3] = 0xFF, 0xEC
		odd := turntest.Build(turntest.Request(stun.MethodBinding), nil).Raw
		odd[3] = 2
		cookie := turntest.Build(turntest.Request(stun.MethodBinding), nil).Raw
		cookie[4] ^= 1
		for name, b := range map[string][]byte{
			"0xFFEC": evil, "odd length": odd, "no cookie": cookie, "reserved": {0x80, 0, 0, 0}, "RTP": {0x80},
		} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(b)
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := conn.Read(make([]byte, 100)); errors.Is(err, os.ErrDeadlineExceeded) || n > 0 {
				t.Errorf("%s: read %d, %v; want the end", name, n, err)
			}
		}
		// And a message in single bytes is understood.
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := newRaw(t, ts, conn, "alice", true)
		m := turntest.Build(turntest.Request(stun.MethodBinding), nil)
		for i := range m.Raw {
			c.Send(m.Raw[i : i+1])
		}
		res := new(stun.Message)
		if err := stun.Decode(c.Receive(), res); err != nil || res.TransactionID != m.TransactionID {
			t.Errorf("got %v, %v", res, err)
		}
	})
}

// TestSlowReader has a TCP client that does not read while its peer floods it. It
// must not stop another client of the same worker, whole messages must be dropped,
// and when it reads again it finds nothing but whole messages.
func TestSlowReader(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Workers = 1
		ts := startServer(t, cfg)
		addr := ts.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn { return c })
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetReadBuffer(256 << 10)
		slow := newRaw(t, ts, conn, "slow", true)
		relayed := slow.Allocate()[0]
		peer, err := net.Dial("udp", relayed.String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if code := turntest.CodeOf(slow.Do(stun.MethodChannelBind, turntest.Peer(peer.LocalAddr().String()), turntest.ChannelNumber(0x4000))); code != 0 {
			t.Fatal(code)
		}
		payload := make([]byte, 1021)
		other := dialRaw(t, ts, "other")
		for ts.Stats().Drops["queue_full"] == 0 {
			for range 200 {
				peer.Write(payload)
			}
			other.Nothing() // asks, and is answered
		}
		// It reads on: all that comes is whole, and answers come too.
		m := slow.Signed(stun.MethodRefresh)
		slow.Send(m.Raw)
		media := 0
		for {
			b := slow.Receive()
			res := new(stun.Message)
			if stun.IsMessage(b) {
				if err := stun.Decode(b, res); err != nil {
					t.Fatal(err)
				}
				if res.TransactionID == m.TransactionID {
					break
				}
			} else if len(b) != wire.ChannelHeaderSize+len(payload) {
				t.Fatalf("a message of %d bytes", len(b))
			}
			media++
		}
		if media == 0 {
			t.Error("nothing was relayed")
		}
	})
}
