package turnsrv

import (
	"testing"

	"turnhub/internal/ratelimit"

	"github.com/pion/stun/v2"
)

// The core alone, without the operating system, per packet or request.
func BenchmarkCore(b *testing.B) {
	d := newDesk(b, deskConfig(b))
	alice, bob := d.user("alice", 1000), d.user("bob", 1001)
	ra, rb := alice.relayed(), bob.relayed()
	alice.must(stun.MethodChannelBind, peerAttr(far), channelNumber(0x4000))
	alice.must(stun.MethodChannelBind, peerAttr(rb.addr.addrPort().String()), channelNumber(0x4001))
	bob.must(stun.MethodChannelBind, peerAttr(ra.addr.addrPort().String()), channelNumber(0x4000))
	d.io.quiet = true
	payload := make([]byte, 172)
	for _, path := range []struct {
		name string
		g    segment
		do   func(g segment)
	}{
		{"ChannelData", copied(channelData(0x4000, payload, false)), func(g segment) { d.FromClient(alice.c, g) }},
		{"Send", copied(sendIndication(far, payload)), func(g segment) { d.FromClient(alice.c, g) }},
		{"FromPeer", copied(payload), func(g segment) { d.FromPeer(ra, farPeer, g) }},
		{"Pair", copied(channelData(0x4001, payload, false)), func(g segment) { d.FromClient(alice.c, g) }},
		{"Refresh", copied(alice.signed(stun.MethodRefresh, lifetime(600)).Raw), func(g segment) { d.FromClient(alice.c, g) }},
		{"Binding", copied(build(asked(stun.MethodBinding), nil).Raw), func(g segment) { d.FromClient(alice.c, g) }},
		{"Challenge", copied(build(asked(stun.MethodAllocate), nil, transport(protocolUDP)).Raw), func(g segment) { d.FromClient(alice.c, g) }},
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
		up, down := u.signed(stun.MethodAllocate, transport(protocolUDP)).Raw, u.signed(stun.MethodRefresh, lifetime(0)).Raw
		for b.Loop() {
			u.c.control = ratelimit.Account{}
			u.input(up)
			u.input(down)
		}
	})
}
