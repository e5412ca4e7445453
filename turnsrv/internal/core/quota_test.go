package core

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestQuotaPerNetwork holds everybody in an IPv6 /64 to one quota per address, since
// who has one can send from 2^64 of them, and all of a /48 to a larger one.
func TestQuotaPerNetwork(t *testing.T) {
	d := newDirectory(nil, nil)
	limits := &Limits{AllocationsPerIP: 2}
	for _, step := range []struct{ client, refused string }{
		{"2001:db8::1", ""}, {"2001:db8::2", ""}, {"2001:db8::3", "address"}, {"2001:db8:0:1::1", ""},
		{"192.0.2.1", ""}, {"192.0.2.1", ""}, {"192.0.2.1", "address"}, {"192.0.2.2", ""},
	} {
		if got, _ := d.reserve("alice", wire.EndpointIP(netip.MustParseAddr(step.client)), 1, limits, 0); string(got) != step.refused {
			t.Errorf("%s: refused %q, want %q", step.client, got, step.refused)
		}
	}
	// A /48 has 65,536 households, and gets as much as 16 of them.
	d = newDirectory(nil, nil)
	for home := range 100 {
		addr := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(home), 15: 1})
		want := ""
		if home >= 16 {
			want = "network"
		}
		for range 2 {
			if got, _ := d.reserve("alice", wire.EndpointIP(addr), 1, limits, 0); string(got) != want {
				t.Errorf("%s: refused %q, want %q", addr, got, want)
			}
		}
	}
	if got, _ := d.reserve("alice", wire.EndpointIP(netip.MustParseAddr("2001:db8:1::1")), 1, limits, 0); got != within {
		t.Errorf("another /48 pays for it: %q", got)
	}
	for home := range 16 {
		addr := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(home), 15: 1})
		d.cancel("alice", wire.EndpointIP(addr), 2)
	}
	if got, _ := d.reserve("alice", wire.EndpointIP(netip.MustParseAddr("2001:db8:0:99::1")), 1, limits, 0); got != within {
		t.Errorf("after all have gone: %q", got)
	}
}

// TestNamesAreNoQuotas holds that somebody who uses another's name, where anybody may,
// uses up nothing of that person's: and that one person in one place has one quota.
func TestNamesAreNoQuotas(t *testing.T) {
	limits := &Limits{AllocationsPerUser: 2}
	at := func(addr string) wire.Endpoint { return wire.EndpointIP(netip.MustParseAddr(addr)) }
	for _, open := range []bool{false, true} {
		d := newDirectory(func(user string) bool { return open && user != "s_proved" }, nil)
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
		d.add(&allocation{user: "victim", client: &Client{Addr: at("2001:db8::1")}})
		if _, replaced := d.reserve("victim", at("192.0.2.1"), 1, full, 1000); len(replaced) == 0 != open {
			t.Errorf("open %v: %d allocations made room for somebody else of that name", open, len(replaced))
		}
	}
}

// TestUnauthenticatedLimit checks the rate of answers per prefix.
func TestUnauthenticatedLimit(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.UnauthenticatedPerPrefix = 5
	d := newDesk(t, cfg)
	flood := func(ip string) (answers int) {
		before := d.io.sent
		for port := range 100 {
			e := wire.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port+1)))
			c := &Client{Transport: wire.UDP, Addr: e, Key: wire.FiveTuple{Client: e}}
			method := []stun.Method{stun.MethodBinding, stun.MethodAllocate, stun.MethodConnect}[port%3]
			d.FromClient(c, wire.Copied(turntest.Build(turntest.Request(method), nil, turntest.Transport(wire.ProtocolUDP)).Raw))
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
	d := newDesk(t, deskConfig(t))
	for i := range 100_000 {
		e := wire.EndpointIPv4(uint32(i)*7919, uint16(i))
		c := &Client{Addr: e, Key: wire.FiveTuple{Client: e}}
		d.Reclaim()
		d.io.toClients = nil
		d.FromClient(c, wire.Copied(turntest.Build(turntest.Request(stun.MethodAllocate), nil, turntest.Transport(wire.ProtocolUDP)).Raw))
		if c.alloc != nil {
			t.Fatal("an allocation")
		}
	}
	if len(d.clients) != 0 || len(d.allocs) != 0 || d.shared.directory.counts.Total() != 0 || len(d.shared.directory.byIP) != 0 || d.wheel.count != 0 {
		t.Error("state was kept")
	}
}

// TestReservedPortExpires holds that a reserved port that nobody takes gives back both
// the port and its place in the quotas.
func TestReservedPortExpires(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 4}
	d := newDesk(t, cfg)
	space := d.shared.spaces().all[0]
	port, ok := uint16(0), false
	for port = range space.claims(true, true) {
		ok = true
		break
	}
	alice := wire.EndpointIPv4(0xC0000201, 1)
	if refused, _ := d.shared.directory.reserve("alice", alice, 1, &cfg.Limits, d.second); !ok || refused != within {
		t.Fatal(ok, refused)
	}
	d.shared.reservations.put(d.second, reservation{space: space, port: port + 1, user: "alice", client: alice})
	space.release(port)
	d.wait((wire.ReservationTime + 2) * time.Second)
	if d.shared.directory.counts.Total() != 0 || space.used.Load() != 0 {
		t.Errorf("%d counted, %d ports in use after the reservation expired", d.shared.directory.counts.Total(), space.used.Load())
	}
}
