package core

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestPermissionAndChannelTimes checks that a permission lasts 5 minutes, a
// channel 10, that ChannelData obeys the permission too, and that refreshing works
// (RFC 8656 sections 9 and 12).
func TestPermissionAndChannelTimes(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	u := d.user("alice", 1000)
	r := u.relayed()
	u.must(stun.MethodRefresh, turntest.Lifetime(3600))
	try := func(what string, want bool) {
		t.Helper()
		before := d.io.sent
		u.input(turntest.ChannelData(0x4001, []byte("up"), false))
		d.FromPeer(r, farPeer, wire.Copied([]byte("down")))
		if got := d.io.sent - before; got != map[bool]int{true: 2, false: 0}[want] {
			t.Errorf("%s: %d packets relayed", what, got)
		}
	}
	try("before ChannelBind", false)
	u.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4001))
	try("bound", true)
	d.wait(299 * time.Second)
	try("after 299 s", true)
	d.wait(2 * time.Second)
	try("after 301 s, without permission", false)
	u.must(stun.MethodCreatePermission, turntest.Peer(far))
	try("permission renewed", true)
	d.wait(290 * time.Second)
	u.must(stun.MethodCreatePermission, turntest.Peer(far))
	try("after 591 s", true)
	d.wait(11 * time.Second)
	before := len(d.io.toPeers)
	u.input(turntest.ChannelData(0x4001, []byte("up"), false))
	if len(d.io.toPeers) != before {
		t.Error("the channel lives after 602 s")
	}
	d.FromPeer(r, farPeer, wire.Copied([]byte("down")))
	last := d.io.toClients[len(d.io.toClients)-1]
	if binary.BigEndian.Uint16(last) != wire.TypeDataIndication {
		t.Errorf("without a channel the client got %x, want a Data indication", last)
	}
	// The number can be bound to another peer now.
	u.must(stun.MethodChannelBind, turntest.Peer("198.51.100.8:1"), turntest.ChannelNumber(0x4001))
}

// TestAllocationTimes checks that an allocation ends when its lifetime is over,
// and not when it was refreshed.
func TestAllocationTimes(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	a, b := d.user("alice", 1000), d.user("bob", 1001)
	ra, rb := a.relayed(), b.relayed()
	d.wait(500 * time.Second)
	b.must(stun.MethodRefresh, turntest.Lifetime(600))
	d.wait(99 * time.Second)
	if ra.alloc == nil || rb.alloc == nil {
		t.Fatal("ended before its time")
	}
	d.wait(2 * time.Second)
	if ra.alloc != nil || rb.alloc == nil {
		t.Fatalf("after 601 s: %v %v", ra.alloc, rb.alloc)
	}
	if target, _ := d.shared.spaces().lookup(ra.addr); target != nil {
		t.Error("the relay port is still taken")
	}
	d.wait(2 * time.Hour) // and a clock that jumps ends it all
	if rb.alloc != nil || len(d.allocs) != 0 || len(d.clients) != 0 || d.shared.directory.counts.Total() != 0 {
		t.Errorf("left: %d allocations, %d clients, %d counted", len(d.allocs), len(d.clients), d.shared.directory.counts.Total())
	}
}

// TestStaleNonce checks that a nonce is good for an hour, and for its client only.
func TestStaleNonce(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	u := d.user("alice", 1000)
	u.relayed()
	other := d.user("alice", 1001)
	other.Nonce = u.Nonce
	if code := turntest.CodeOf(other.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); code != 438 {
		t.Errorf("another client's nonce: %d", code)
	}
	d.wait(59 * time.Minute)
	res := u.ask(stun.MethodRefresh)
	if code := turntest.CodeOf(res); code != 437 { // the nonce was good, the allocation is over
		t.Errorf("after 59 minutes: %d", code)
	}
	d.wait(3 * time.Minute)
	res = u.ask(stun.MethodRefresh)
	if code := turntest.CodeOf(res); code != 438 {
		t.Errorf("after 62 minutes: %d", code)
	}
	nonce, err := res.Get(stun.AttrNonce)
	if err != nil {
		t.Fatal(err)
	}
	u.Nonce = string(nonce)
	u.must(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
}

// TestData checks the forms of relayed data to the byte.
func TestData(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	u := d.user("alice", 1000)
	r := u.relayed()
	u.must(stun.MethodCreatePermission, turntest.Peer(far))
	for n := range 9 {
		payload := bytes.Repeat([]byte{0xAB}, n)
		u.input(turntest.Send(far, payload))
		got := d.io.toPeers[len(d.io.toPeers)-1]
		if !bytes.Equal(got.payload, payload) || got.to != farPeer || got.from != r.addr {
			t.Errorf("Send of %d bytes became %v", n, got)
		}
		d.FromPeer(r, farPeer, wire.Copied(payload))
		m := new(stun.Message)
		if err := stun.Decode(d.io.toClients[len(d.io.toClients)-1], m); err != nil {
			t.Fatal(err)
		}
		data, err := m.Get(stun.AttrData)
		v, _ := m.Get(stun.AttrXORPeerAddress)
		peer, _, ok := wire.XORAddress(v, m.Raw)
		if err != nil || !bytes.Equal(data, payload) || !ok || peer != farPeer || m.Type.String() != "Data indication" || len(m.Raw)%4 != 0 {
			t.Errorf("%d bytes from the peer became %v", n, m)
		}
	}
	u.input(turntest.Send(far, []byte("whole"), turntest.With(stun.AttrDontFragment, nil)))
	if got := d.io.toPeers[len(d.io.toPeers)-1]; !got.df {
		t.Error("DONT-FRAGMENT was forgotten")
	}
	u.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4FFF))
	for n := range 9 {
		payload := bytes.Repeat([]byte{0xCD}, n)
		for _, pad := range []bool{false, true} { // RFC 8656 section 12.5: padding may be there over UDP too
			u.input(turntest.ChannelData(0x4FFF, payload, pad))
			if got := d.io.toPeers[len(d.io.toPeers)-1]; !bytes.Equal(got.payload, payload) {
				t.Errorf("ChannelData of %d bytes became %v", n, got)
			}
		}
		d.FromPeer(r, farPeer, wire.Copied(payload))
		if got := d.io.toClients[len(d.io.toClients)-1]; !bytes.Equal(got, turntest.ChannelData(0x4FFF, payload, false)) {
			t.Errorf("%d bytes from the peer became %x", n, got)
		}
	}
}

// TestDrops sends what must not be relayed and expects its counter, and nothing
// else, to move.
func TestDrops(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.BandwidthPerAllocation = 1000
	d := newDesk(t, cfg)
	u := d.user("alice", 1000)
	r := u.relayed()
	u.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
	stranger := d.user("bob", 1001)
	indication := func(attrs ...turntest.Attr) []byte {
		return turntest.Build(stun.NewType(stun.MethodSend, stun.ClassIndication), nil, attrs...).Raw
	}
	data := turntest.With(stun.AttrData, []byte("x"))
	short := turntest.ChannelData(0x4000, []byte("abc"), false)
	bad := turntest.Build(turntest.Request(stun.MethodBinding), nil)
	if err := stun.Fingerprint.AddTo(bad); err != nil {
		t.Fatal(err)
	}
	bad.Raw[len(bad.Raw)-1]++
	truncated := indication(turntest.Peer(far), data)
	for _, step := range []struct {
		name string
		do   func()
		want Drop
	}{
		{"empty", func() { u.input(nil) }, DropMalformed},
		{"RTP", func() { u.input(bytes.Repeat([]byte{0x80}, 40)) }, DropMalformed},
		{"ChannelData cut short", func() { u.input(short[:5]) }, DropMalformed},
		{"STUN cut short", func() { u.input(truncated[:len(truncated)-4]) }, DropMalformed},
		{"STUN with a tail", func() { u.input(append(bytes.Clone(truncated), 0, 0, 0, 0)) }, DropMalformed},
		{"old STUN without cookie", func() { u.input(make([]byte, 20)) }, DropMalformed},
		{"Send without DATA", func() { u.input(indication(turntest.Peer(far))) }, DropMalformed},
		{"Send without peer", func() { u.input(indication(data)) }, DropMalformed},
		{"Send to a mapped peer", func() { u.input(indication(turntest.Peer("mapped"), data)) }, DropMalformed},
		{"Send with an unknown attribute", func() { u.input(indication(turntest.Peer(far), data, turntest.With(0x7FFF, nil))) }, DropUnknownAttribute},
		{"Send without permission", func() { u.input(turntest.Send("198.51.100.9:1", []byte("x"))) }, DropNoPermission},
		{"Send without allocation", func() { stranger.input(turntest.Send(far, []byte("x"))) }, DropNoAllocation},
		{"ChannelData without allocation", func() { stranger.input(short) }, DropNoAllocation},
		{"ChannelData on a free channel", func() { u.input(turntest.ChannelData(0x4001, []byte("x"), false)) }, DropNoChannel},
		{"peer without permission", func() { d.FromPeer(r, wire.EndpointIPv4(0x08080808, 1), wire.Copied([]byte("x"))) }, DropNoPermission},
		{"wrong fingerprint", func() { u.input(bad.Raw) }, DropFingerprint},
		{"success response", func() { u.input(turntest.Build(stun.NewType(stun.MethodBinding, stun.ClassSuccessResponse), nil).Raw) }, DropUnexpected},
		{"Data indication from a client", func() { u.input(turntest.Build(stun.NewType(stun.MethodData, stun.ClassIndication), nil).Raw) }, DropUnexpected},
		{"too much to the peer", func() { u.input(turntest.ChannelData(0x4000, make([]byte, 1001), false)) }, DropBandwidth},
		{"too much to the client", func() { d.FromPeer(r, farPeer, wire.Copied(make([]byte, 1001))) }, DropBandwidth},
	} {
		before, sent := d.count.drops, d.io.sent
		step.do()
		before[step.want]++
		if d.count.drops != before || d.io.sent != sent {
			t.Errorf("%s: drops %v, want %v; %d sent", step.name, d.count.drops, before, d.io.sent-sent)
		}
	}
	u.input(turntest.Build(stun.NewType(stun.MethodBinding, stun.ClassIndication), nil).Raw) // a keepalive
	// The bucket fills again: 1000 bytes a second, and never more than that.
	sent := d.io.sent
	for range 3 {
		d.wait(10 * time.Second)
		u.input(turntest.ChannelData(0x4000, make([]byte, 600), false))
		u.input(turntest.ChannelData(0x4000, make([]byte, 600), false))
	}
	if got := d.io.sent - sent; got != 3 {
		t.Errorf("%d packets passed the bandwidth limit, want 3", got)
	}
}

// TestRelayedPacketAllocatesNothing holds the data path to zero allocations per
// packet, in every form.
func TestRelayedPacketAllocatesNothing(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	a, b := d.user("alice", 1000), d.user("bob", 1001)
	ra, rb := a.relayed(), b.relayed()
	a.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
	a.must(stun.MethodChannelBind, turntest.Peer(rb.addr.AddrPort().String()), turntest.ChannelNumber(0x4001))
	a.must(stun.MethodCreatePermission, turntest.Peer("198.51.100.8:1"))
	b.must(stun.MethodChannelBind, turntest.Peer(ra.addr.AddrPort().String()), turntest.ChannelNumber(0x4000))
	d.io.quiet = true
	payload := make([]byte, 1200)
	near := wire.EndpointFrom(netip.MustParseAddrPort("198.51.100.8:1"))
	for _, path := range []struct {
		name string
		g    wire.Segment
		do   func(g wire.Segment)
	}{
		{"ChannelData to a peer", wire.Copied(turntest.ChannelData(0x4000, payload, false)), func(g wire.Segment) { d.FromClient(a.c, g) }},
		{"Send to a peer", wire.Copied(turntest.Send(far, payload)), func(g wire.Segment) { d.FromClient(a.c, g) }},
		{"peer to ChannelData", wire.Copied(payload), func(g wire.Segment) { d.FromPeer(ra, farPeer, g) }},
		{"peer to Data", wire.Copied(payload), func(g wire.Segment) { d.FromPeer(ra, near, g) }},
		{"client to client", wire.Copied(turntest.ChannelData(0x4001, payload, false)), func(g wire.Segment) { d.FromClient(a.c, g) }},
		{"Send to a client", wire.Copied(turntest.Send(rb.addr.AddrPort().String(), payload)), func(g wire.Segment) { d.FromClient(a.c, g) }},
		{"dropped", wire.Copied(turntest.ChannelData(0x4444, payload, false)), func(g wire.Segment) { d.FromClient(a.c, g) }},
	} {
		sent := d.io.sent
		if n := testing.AllocsPerRun(100, func() {
			d.Reclaim()
			path.do(path.g)
		}); n != 0 {
			t.Errorf("%s: %v allocations per packet", path.name, n)
		}
		if d.io.sent == sent && path.name != "dropped" {
			t.Errorf("%s: nothing was sent", path.name)
		}
	}
}
