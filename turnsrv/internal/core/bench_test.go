package core

import (
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// The core alone, without the operating system, per packet or request.
func BenchmarkCore(b *testing.B) {
	d := newDesk(b, deskConfig(b))
	alice, bob := d.user("alice", 1000), d.user("bob", 1001)
	ra, rb := alice.relayed(), bob.relayed()
	alice.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
	alice.must(stun.MethodChannelBind, turntest.Peer(rb.addr.AddrPort().String()), turntest.ChannelNumber(0x4001))
	bob.must(stun.MethodChannelBind, turntest.Peer(ra.addr.AddrPort().String()), turntest.ChannelNumber(0x4000))
	d.io.quiet = true
	payload := make([]byte, 172)
	for _, path := range []struct {
		name string
		g    wire.Segment
		do   func(g wire.Segment)
	}{
		{"ChannelData", wire.Copied(turntest.ChannelData(0x4000, payload, false)), func(g wire.Segment) { d.FromClient(alice.c, g) }},
		{"Send", wire.Copied(turntest.Send(far, payload)), func(g wire.Segment) { d.FromClient(alice.c, g) }},
		{"FromPeer", wire.Copied(payload), func(g wire.Segment) { d.FromPeer(ra, farPeer, g) }},
		{"Pair", wire.Copied(turntest.ChannelData(0x4001, payload, false)), func(g wire.Segment) { d.FromClient(alice.c, g) }},
		{"Refresh", wire.Copied(alice.Signed(stun.MethodRefresh, turntest.Lifetime(600)).Raw), func(g wire.Segment) { d.FromClient(alice.c, g) }},
		{"Binding", wire.Copied(turntest.Build(turntest.Request(stun.MethodBinding), nil).Raw), func(g wire.Segment) { d.FromClient(alice.c, g) }},
		{"Challenge", wire.Copied(turntest.Build(turntest.Request(stun.MethodAllocate), nil, turntest.Transport(wire.ProtocolUDP)).Raw), func(g wire.Segment) { d.FromClient(alice.c, g) }},
	} {
		b.Run(path.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Reclaim()
				alice.c.control = ratelimit.Open(d.now, controlUnits, controlBurst)
				path.do(path.g)
			}
		})
	}
	b.Run("AllocateAndEnd", func(b *testing.B) {
		b.ReportAllocs()
		u := d.user("carol", 1002)
		up, down := u.Signed(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)).Raw, u.Signed(stun.MethodRefresh, turntest.Lifetime(0)).Raw
		for b.Loop() {
			u.c.control = ratelimit.Account{}
			u.input(up)
			u.input(down)
		}
	})
}
