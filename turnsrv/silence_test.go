package turnsrv

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
)

// at returns a user's client at an address of its own.
func (d *desk) at(name, address string) *user {
	u := d.user(name, 1)
	from := endpointFrom(netip.MustParseAddrPort(address))
	u.c = &client{transport: TransportUDP, addr: from, key: fiveTuple{client: from}}
	nonce := d.nonces.make(d.second, from)
	u.nonce = string(nonce[:])
	return u
}

// TestPhoneChangesNetworks has a phone come to another network every minute for an
// hour, where it gathers six allocations, of which one carries a call, and never
// ends any: it always gets a relay. The allocations of somebody else, and what it
// uses itself, stay.
func TestPhoneChangesNetworks(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 16, AllocationsPerIP: 128}
	d := newDesk(t, cfg)
	other := d.at("other", "192.0.2.99:1")
	other.relayed()
	other.must(stun.MethodRefresh, lifetime(3600))
	// A second device of the same user, which only refreshes.
	pinned := d.at("phone", "203.0.113.1:1")
	pinned.relayed()
	for minute := range 60 {
		if minute == 30 {
			other.nonce = string(nonceOf(d, other.c.addr))
			other.must(stun.MethodRefresh, lifetime(3600))
		}
		var call *user
		for i := range 6 {
			u := d.at("phone", fmt.Sprintf("198.51.100.%d:%d", minute+1, 1000+i))
			res := u.ask(stun.MethodAllocate, transport(protocolUDP))
			if code := codeOf(res); code != 0 {
				t.Fatalf("minute %d, allocation %d: %d", minute, i, code)
			}
			call = u
		}
		call.must(stun.MethodChannelBind, peerAttr(far), channelNumber(0x4000))
		for range 6 {
			d.wait(10 * time.Second)
			call.input(channelData(0x4000, []byte("media"), false))
			pinned.nonce = string(nonceOf(d, pinned.c.addr))
			pinned.must(stun.MethodRefresh)
		}
		if call.c.alloc == nil || call.c.alloc.dead {
			t.Fatalf("minute %d: the call's allocation has ended", minute)
		}
	}
	if other.c.alloc == nil || other.c.alloc.dead {
		t.Error("somebody else's allocation was ended")
	}
	if d.count.replaced == 0 || d.count.quota["user"] != 0 {
		t.Errorf("%d replaced, %d refused", d.count.replaced, d.count.quota["user"])
	}
	if n := d.srv.directory.byUser["phone"].count; n > 16 {
		t.Errorf("%d are counted", n)
	}
}

func nonceOf(d *desk, e endpoint) []byte {
	nonce := d.nonces.make(d.second, e)
	return nonce[:]
}

// TestQuotaOfTheBusy refuses one more than the quota when all are in use: those
// with data to the peer, from the peer, or requests within 30 seconds.
func TestQuotaOfTheBusy(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 3}
	d := newDesk(t, cfg)
	var all []*user
	for i := range 3 {
		u := d.at("anna", fmt.Sprintf("192.0.2.%d:1", i+1))
		u.relayed()
		u.must(stun.MethodChannelBind, peerAttr(far), channelNumber(0x4000))
		all = append(all, u)
	}
	fourth := d.at("anna", "192.0.2.4:1")
	refused := func(want int, why string) {
		t.Helper()
		if code := codeOf(fourth.ask(stun.MethodAllocate, transport(protocolUDP))); code != want {
			t.Errorf("%s: %d, want %d", why, code, want)
		}
	}
	refused(486, "just made")
	d.wait(29 * time.Second)
	refused(486, "silent for 29 s")
	all[0].input(channelData(0x4000, []byte("to the peer"), false))
	d.fromPeer(all[1].c.alloc.relays[IPv4], farPeer, copied([]byte("from the peer")))
	all[2].must(stun.MethodRefresh)
	d.wait(29 * time.Second)
	refused(486, "busy 29 s ago")
	all[0].input(channelData(0x4000, []byte("to the peer"), false))
	all[2].must(stun.MethodRefresh)
	d.wait(time.Second)
	second := all[1].c.alloc
	// Somebody else at the quota of the household gets nothing of it.
	d.srv.SetLimits(Limits{AllocationsPerUser: 3, AllocationsTotal: 3})
	if code := codeOf(d.at("boris", "192.0.2.2:2").ask(stun.MethodAllocate, transport(protocolUDP))); code != 486 {
		t.Errorf("another user: %d, want 486", code)
	}
	refused(0, "one silent for 30 s")
	if !second.dead {
		t.Error("it was another one that ended")
	}
}

// TestReplacedOnOtherWorkers has a server of four workers replace silent
// allocations of each by those of any.
func TestReplacedOnOtherWorkers(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Workers = 4
		cfg.Limits = Limits{AllocationsPerUser: 8}
		ts := startServer(t, cfg)
		for round := range 3 {
			for range 8 {
				dialRaw(t, ts, "anna").allocate()
			}
			if n := len(ts.Allocations()); n != 8 {
				t.Errorf("round %d: %d allocations", round, n)
			}
			if code := codeOf(dialRaw(t, ts, "anna").do(stun.MethodAllocate, transport(protocolUDP))); code != 486 {
				t.Errorf("round %d: a ninth: %d, want 486", round, code)
			}
			ts.each(func(s *shard) {
				for a := range s.allocs {
					a.active.Store(s.second - silence)
				}
			})
		}
		if s := ts.Stats(); s.Replaced != 16 || s.Ended != 16 {
			t.Errorf("%d replaced, %d ended", s.Replaced, s.Ended)
		}
	})
}

// TestLastPorts lets another program hold half of a narrow range of relay ports:
// every port of the other half can be had, then comes 508, in both families, and
// for pairs too.
func TestLastPorts(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		const low, high = 12100, 12139
		cfg.PortMin, cfg.PortMax = low, high
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
				attrs := []attr{transport(protocolUDP), family([]byte{familyIPv4, familyIPv6}[f])}
				if pair {
					free = (high - low + 1) / 4
					attrs = append(attrs, attr{stun.AttrEvenPort, []byte{0x80}})
				}
				name := strings.Join([]string{ip, fmt.Sprint("pair ", pair)}, ", ")
				for i := range free {
					c := dialRaw(t, ts, fmt.Sprint("user ", i))
					if code := codeOf(c.do(stun.MethodAllocate, attrs...)); code != 0 {
						t.Fatalf("%s: allocation %d of %d: %d", name, i+1, free, code)
					}
				}
				if code := codeOf(dialRaw(t, ts, "one more").do(stun.MethodAllocate, attrs...)); code != 508 {
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
