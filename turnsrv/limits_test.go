package turnsrv

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// TestQuotaUnderConcurrency has many clients allocate at once on all workers:
// never one more than the quota gets through, and not one less.
func TestQuotaUnderConcurrency(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Workers = 4
		cfg.Limits = Limits{AllocationsPerUser: 10, AllocationsPerIP: 100, AllocationsTotal: 25}
		ts := startServer(t, cfg)
		var ok, refused atomic.Int32
		var wg sync.WaitGroup
		for i := range 80 {
			c := dialRaw(t, ts, []string{"alice", "bob", "carol", "dave"}[i%4])
			wg.Go(func() {
				switch code := codeOf(c.do(stun.MethodAllocate, transport(protocolUDP))); code {
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

// TestQuotaPerNetwork holds everybody in an IPv6 /64 to one quota per address, since
// who has one can send from 2^64 of them, and all of a /48 to a larger one.
func TestQuotaPerNetwork(t *testing.T) {
	d := newDirectory(nil)
	limits := &Limits{AllocationsPerIP: 2}
	for _, step := range []struct{ client, refused string }{
		{"2001:db8::1", ""}, {"2001:db8::2", ""}, {"2001:db8::3", "address"}, {"2001:db8:0:1::1", ""},
		{"192.0.2.1", ""}, {"192.0.2.1", ""}, {"192.0.2.1", "address"}, {"192.0.2.2", ""},
	} {
		if got, _ := d.reserve("alice", endpointIP(netip.MustParseAddr(step.client)), 1, limits, 0); string(got) != step.refused {
			t.Errorf("%s: refused %q, want %q", step.client, got, step.refused)
		}
	}
	// A /48 has 65,536 households, and gets as much as 16 of them.
	d = newDirectory(nil)
	for home := range 100 {
		addr := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(home), 15: 1})
		want := ""
		if home >= 16 {
			want = "network"
		}
		for range 2 {
			if got, _ := d.reserve("alice", endpointIP(addr), 1, limits, 0); string(got) != want {
				t.Errorf("%s: refused %q, want %q", addr, got, want)
			}
		}
	}
	if got, _ := d.reserve("alice", endpointIP(netip.MustParseAddr("2001:db8:1::1")), 1, limits, 0); got != within {
		t.Errorf("another /48 pays for it: %q", got)
	}
	for home := range 16 {
		addr := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(home), 15: 1})
		d.cancel("alice", endpointIP(addr), 2)
	}
	if got, _ := d.reserve("alice", endpointIP(netip.MustParseAddr("2001:db8:0:99::1")), 1, limits, 0); got != within {
		t.Errorf("after all have gone: %q", got)
	}
}

// TestNamesAreNoQuotas holds that somebody who uses another's name, where anybody may,
// uses up nothing of that person's: and that one person in one place has one quota.
func TestNamesAreNoQuotas(t *testing.T) {
	limits := &Limits{AllocationsPerUser: 2}
	at := func(addr string) endpoint { return endpointIP(netip.MustParseAddr(addr)) }
	for _, open := range []bool{false, true} {
		d := newDirectory(func(user string) bool { return open && user != "s_proved" })
		for _, user := range []string{"victim", "s_proved"} {
			elsewhere := ""
			if !open || user == "s_proved" {
				elsewhere = "user"
			}
			for _, step := range []struct{ client, refused string }{
				{"2001:db8::1", ""}, {"2001:db8::2", ""}, {"2001:db8::3", "user"},
				{"192.0.2.1", elsewhere}, {"192.0.2.1", elsewhere}, {"192.0.2.1", "user"},
			} {
				if got, _ := d.reserve(user, at(step.client), 1, limits, 0); string(got) != step.refused {
					t.Errorf("open %v, %s from %s: refused %q, want %q", open, user, step.client, got, step.refused)
				}
			}
			d.cancel(user, at("2001:db8::2"), 1)
			if got, _ := d.reserve(user, at("2001:db8::9"), 1, limits, 0); got != within {
				t.Errorf("open %v, %s: after one has gone: %q", open, user, got)
			}
			d.cancel(user, at("2001:db8::1"), 2)
			if elsewhere == "" {
				d.cancel(user, at("192.0.2.1"), 2)
			}
		}
		if len(d.held) != 0 || len(d.byUser) != 0 {
			t.Errorf("left: %v, %v", d.held, d.byUser)
		}
		// Nor does it end what the person has been silent on.
		full := &Limits{AllocationsTotal: 1}
		d.reserve("victim", at("2001:db8::1"), 1, full, 0)
		d.add(&allocation{user: "victim", client: &client{addr: at("2001:db8::1")}})
		if _, replaced := d.reserve("victim", at("192.0.2.1"), 1, full, 1000); len(replaced) == 0 != open {
			t.Errorf("open %v: %d allocations made room for somebody else of that name", open, len(replaced))
		}
	}
}

// TestReservedPortsCount has one client put aside ports with EVEN-PORT and end its
// allocation at once, again and again: the reserved ports count as its own until
// they expire, or are taken.
func TestReservedPortsCount(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 4}
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Limits.AllocationsPerUser = 4
		ts := startServer(t, cfg)
		pair := attr{stun.AttrEvenPort, []byte{0x80}}
		var token []byte
		for i, want := range []int{0, 0, 0, 486} {
			c := dialRaw(t, ts, "alice")
			res := c.do(stun.MethodAllocate, transport(protocolUDP), pair)
			if got := codeOf(res); got != want {
				t.Fatalf("pair %d: code %d, want %d", i, got, want)
			}
			if want == 0 {
				token, _ = res.Get(stun.AttrReservationToken)
				c.do(stun.MethodRefresh, lifetime(0))
			}
		}
		// Three ports are put aside. The last place goes to an allocation, and the
		// one in which a reserved port is taken is counted already.
		dialRaw(t, ts, "alice").allocate()
		if got := codeOf(dialRaw(t, ts, "alice").do(stun.MethodAllocate, transport(protocolUDP))); got != 486 {
			t.Errorf("a fifth: code %d, want 486", got)
		}
		odd := dialRaw(t, ts, "alice")
		odd.allocate(attr{stun.AttrReservationToken, append([]byte(nil), token...)})
		if got := codeOf(dialRaw(t, ts, "alice").do(stun.MethodAllocate, transport(protocolUDP), attr{stun.AttrReservationToken, token})); got != 508 {
			t.Errorf("the token again: code %d, want 508", got)
		}
		if got := codeOf(odd.do(stun.MethodRefresh, lifetime(0))); got != 0 {
			t.Fatal(got)
		}
		dialRaw(t, ts, "alice").allocate()
	})
	d := newDesk(t, cfg)
	space := d.srv.spaces().all[0]
	port, ok := uint16(0), false
	for port = range space.claims(true, true) {
		ok = true
		break
	}
	alice := endpointIPv4(0xC0000201, 1)
	if refused, _ := d.srv.directory.reserve("alice", alice, 1, &cfg.Limits, d.second); !ok || refused != within {
		t.Fatal(ok, refused)
	}
	d.srv.reservations.put(d.second, reservation{space: space, port: port + 1, user: "alice", client: alice})
	space.release(port)
	d.wait((reservationTime + 2) * time.Second)
	if d.srv.directory.counts.Total() != 0 || space.used.Load() != 0 {
		t.Errorf("%d counted, %d ports in use after the reservation expired", d.srv.directory.counts.Total(), space.used.Load())
	}
}

// TestUnauthenticatedLimit checks the rate of answers per prefix.
func TestUnauthenticatedLimit(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits.UnauthenticatedPerPrefix = 5
	d := newDesk(t, cfg)
	flood := func(ip string) (answers int) {
		before := d.io.sent
		for port := range 100 {
			e := endpointFrom(netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port+1)))
			c := &client{transport: TransportUDP, addr: e, key: fiveTuple{client: e}}
			method := []stun.Method{stun.MethodBinding, stun.MethodAllocate, stun.MethodConnect}[port%3]
			d.fromClient(c, copied(build(asked(method), nil, transport(protocolUDP)).Raw))
		}
		return d.io.sent - before
	}
	for _, step := range []struct {
		ip   string
		want int
	}{
		{"192.0.2.1", 5}, {"192.0.2.200", 0}, {"192.0.3.1", 5},
		{"2001:db8:1::1", 5}, {"2001:db8:1:ffff::1", 0}, {"2001:db8:2::1", 5},
	} {
		if n := flood(step.ip); n != step.want {
			t.Errorf("%d answers to %s, want %d", n, step.ip, step.want)
		}
	}
	d.wait(time.Second)
	if n := flood("192.0.2.7"); n != 5 {
		t.Errorf("%d answers a second later, want 5", n)
	}
	if d.count.drops[DropRateLimited] == 0 {
		t.Error("nothing was counted")
	}
}

// TestNoStateBeforeAuthentication sends unauthenticated requests from many
// addresses and looks for what they leave behind.
func TestNoStateBeforeAuthentication(t *testing.T) {
	d := newDesk(t, testConfig(t))
	for i := range 100_000 {
		e := endpointIPv4(uint32(i)*7919, uint16(i))
		c := &client{addr: e, key: fiveTuple{client: e}}
		d.placing = 0
		d.io.toClients = nil
		d.fromClient(c, copied(build(asked(stun.MethodAllocate), nil, transport(protocolUDP)).Raw))
		if c.alloc != nil {
			t.Fatal("an allocation")
		}
	}
	if len(d.clients) != 0 || len(d.allocs) != 0 || d.srv.directory.counts.Total() != 0 || len(d.srv.directory.byIP) != 0 || d.wheel.count != 0 {
		t.Error("state was kept")
	}
}

// TestStreamFraming sends what is no STUN over TCP: the connection ends at once,
// and the 20-byte packet of length 0xFFEC does too.
func TestStreamFraming(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		addr := ts.listenStreams(t, TransportTCP, func(c net.Conn) net.Conn { return c })
		evil := build(asked(stun.MethodBinding), nil).Raw
		evil[2], evil[3] = 0xFF, 0xEC
		odd := build(asked(stun.MethodBinding), nil).Raw
		odd[3] = 2
		cookie := build(asked(stun.MethodBinding), nil).Raw
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
		m := build(asked(stun.MethodBinding), nil)
		for i := range m.Raw {
			c.send(m.Raw[i : i+1])
		}
		res := new(stun.Message)
		if err := stun.Decode(c.receive(), res); err != nil || res.TransactionID != m.TransactionID {
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
		addr := ts.listenStreams(t, TransportTCP, func(c net.Conn) net.Conn { return c })
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetReadBuffer(256 << 10)
		slow := newRaw(t, ts, conn, "slow", true)
		relayed := slow.allocate()[0]
		peer, err := net.Dial("udp", relayed.String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if code := codeOf(slow.do(stun.MethodChannelBind, peerAttr(peer.LocalAddr().String()), channelNumber(0x4000))); code != 0 {
			t.Fatal(code)
		}
		payload := make([]byte, 1021)
		other := dialRaw(t, ts, "other")
		for ts.Stats().Drops["queue_full"] == 0 {
			for range 200 {
				peer.Write(payload)
			}
			other.nothing() // asks, and is answered
		}
		// It reads on: all that comes is whole, and answers come too.
		m := slow.signed(stun.MethodRefresh)
		slow.send(m.Raw)
		media := 0
		for {
			b := slow.receive()
			res := new(stun.Message)
			if stun.IsMessage(b) {
				if err := stun.Decode(b, res); err != nil {
					t.Fatal(err)
				}
				if res.TransactionID == m.TransactionID {
					break
				}
			} else if len(b) != channelHeaderSize+len(payload) {
				t.Fatalf("a message of %d bytes", len(b))
			}
			media++
		}
		if media == 0 {
			t.Error("nothing was relayed")
		}
	})
}
