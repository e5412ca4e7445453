package core

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// at returns a user's client at an address of its own.
func (d *desk) at(name, address string) *user {
	u := d.user(name, 1)
	from := wire.EndpointFrom(netip.MustParseAddrPort(address))
	u.c = &Client{Transport: wire.UDP, Addr: from, Key: wire.FiveTuple{Client: from}}
	nonce := d.nonces.Make(d.second, from)
	u.Nonce = string(nonce[:])
	return u
}

// TestPhoneChangesNetworks has a phone come to another network every minute for an
// hour, where it gathers six allocations, of which one carries a call, and never
// ends any: it always gets a relay. The allocations of somebody else, and what it
// uses itself, stay.
func TestPhoneChangesNetworks(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 16, AllocationsPerIP: 128}
	d := newDesk(t, cfg)
	other := d.at("other", "192.0.2.99:1")
	other.relayed()
	other.must(stun.MethodRefresh, turntest.Lifetime(3600))
	// A second device of the same user, which only refreshes.
	pinned := d.at("phone", "203.0.113.1:1")
	pinned.relayed()
	for minute := range 60 {
		if minute == 30 {
			other.Nonce = string(nonceOf(d, other.c.Addr))
			other.must(stun.MethodRefresh, turntest.Lifetime(3600))
		}
		var call *user
		for i := range 6 {
			u := d.at("phone", fmt.Sprintf("198.51.100.%d:%d", minute+1, 1000+i))
			res := u.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
			if code := turntest.CodeOf(res); code != 0 {
				t.Fatalf("minute %d, allocation %d: %d", minute, i, code)
			}
			call = u
		}
		call.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
		for range 6 {
			d.wait(10 * time.Second)
			call.input(turntest.ChannelData(0x4000, []byte("media"), false))
			pinned.Nonce = string(nonceOf(d, pinned.c.Addr))
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
	if n := d.shared.directory.byUser["phone"].count; n > 16 {
		t.Errorf("%d are counted", n)
	}
}

func nonceOf(d *desk, e wire.Endpoint) []byte {
	nonce := d.nonces.Make(d.second, e)
	return nonce[:]
}

// TestQuotaOfTheBusy refuses one more than the quota when all are in use: those
// with data to the peer, from the peer, or requests within 30 seconds.
func TestQuotaOfTheBusy(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits = Limits{AllocationsPerUser: 3}
	d := newDesk(t, cfg)
	var all []*user
	for i := range 3 {
		u := d.at("anna", fmt.Sprintf("192.0.2.%d:1", i+1))
		u.relayed()
		u.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
		all = append(all, u)
	}
	fourth := d.at("anna", "192.0.2.4:1")
	refused := func(want int, why string) {
		t.Helper()
		if code := turntest.CodeOf(fourth.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); code != want {
			t.Errorf("%s: %d, want %d", why, code, want)
		}
	}
	refused(486, "just made")
	d.wait(29 * time.Second)
	refused(486, "silent for 29 s")
	all[0].input(turntest.ChannelData(0x4000, []byte("to the peer"), false))
	d.FromPeer(all[1].c.alloc.relays[wire.IPv4], farPeer, wire.Copied([]byte("from the peer")))
	all[2].must(stun.MethodRefresh)
	d.wait(29 * time.Second)
	refused(486, "busy 29 s ago")
	all[0].input(turntest.ChannelData(0x4000, []byte("to the peer"), false))
	all[2].must(stun.MethodRefresh)
	d.wait(time.Second)
	second := all[1].c.alloc
	// Somebody else at the quota of the household gets nothing of it.
	d.shared.SetLimits(Limits{AllocationsPerUser: 3, AllocationsTotal: 3})
	if code := turntest.CodeOf(d.at("boris", "192.0.2.2:2").ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); code != 486 {
		t.Errorf("another user: %d, want 486", code)
	}
	refused(0, "one silent for 30 s")
	if !second.dead {
		t.Error("it was another one that ended")
	}
}
