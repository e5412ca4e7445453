package core

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// countingCalls admits everybody and counts how often it is asked.
type countingCalls struct{ asked int }

func (c *countingCalls) Together(_, _ string) bool { return true }
func (c *countingCalls) Seen(string, netip.Addr) bool {
	c.asked++
	return true
}

// TestManyPeersInOneRequest asks the peer policy once for each distinct address
// that a CreatePermission names, and for none more than the allocation may hold.
func TestManyPeersInOneRequest(t *testing.T) {
	calls := new(countingCalls)
	cfg := deskConfig(t)
	cfg.Policy = policy.New(policy.Config{Calls: calls})
	cfg.Limits.PermissionsPerAllocation = 100
	address := func(n int) turntest.Attr {
		return turntest.Peer(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), uint16(1000+n)).String())
	}
	for _, row := range []struct {
		name        string
		named       func(i int) int
		code, asked int
	}{
		{"5,000 distinct", func(i int) int { return i }, 508, 100},
		{"5,000 times one", func(int) int { return 7 }, 0, 1},
		{"5,000 of 100", func(i int) int { return i % 100 }, 0, 100},
		{"5,000 of 101", func(i int) int { return i % 101 }, 508, 100},
		{"5,000 of two", func(i int) int { return i % 2 }, 0, 2},
	} {
		d := newDesk(t, cfg)
		u := d.user("anna", 1000)
		u.relayed()
		var attrs []turntest.Attr
		for i := range 5000 {
			attrs = append(attrs, address(row.named(i)))
		}
		calls.asked = 0
		if code := turntest.CodeOf(u.ask(stun.MethodCreatePermission, attrs...)); code != row.code || calls.asked != row.asked {
			t.Errorf("%s: %d, asked %d times; want %d, %d", row.name, code, calls.asked, row.code, row.asked)
		}
		if n := len(u.c.alloc.perms); row.code != 0 && n != 0 || row.code == 0 && n != row.asked {
			t.Errorf("%s: %d permissions", row.name, n)
		}
	}
}

// TestControlBudget has a client flood its worker with requests of all sizes: what
// it may cost is bounded, what exceeds that is dropped before it is looked at, and
// another client is served all the while. Whoever has no allocation yet has no
// long requests at all.
func TestControlBudget(t *testing.T) {
	padding := func(n int) (attrs []turntest.Attr) {
		for ; n > 0; n -= 4 {
			attrs = append(attrs, turntest.With(0xFFF0, nil))
		}
		return attrs
	}
	d := newDesk(t, deskConfig(t))
	u, other := d.user("anna", 1000), d.user("boris", 2000)
	u.relayed()
	other.relayed()
	flood := func(u *user, n int, m *stun.Message) (answers int) {
		for range n {
			before := d.io.sent
			u.input(m.Raw)
			answers += d.io.sent - before
			d.io.toClients = d.io.toClients[:0]
			if u == other {
				continue
			}
			if m := other.Signed(stun.MethodRefresh); n < 100 && turntest.CodeOf(other.ask(stun.MethodRefresh)) != 0 {
				t.Fatal(m)
			}
		}
		return answers
	}
	long := u.Signed(stun.MethodRefresh, padding(60000)...)
	if n := flood(u, 50, long); n == 0 || n > 2*controlRate/len(long.Raw) {
		t.Errorf("%d of 50 long requests were answered at once", n)
	}
	if d.count.drops[DropControl] == 0 {
		t.Error("nothing was counted")
	}
	ok := d.count.auth[AuthOK]
	flood(u, 200, long)
	if d.count.auth[AuthOK] != ok {
		t.Error("integrity was looked at above the budget")
	}
	d.wait(time.Second)
	if n := flood(u, 50, long); n == 0 || n > 2*controlRate/len(long.Raw) {
		t.Errorf("%d of 50 were answered a second later", n)
	}
	d.wait(10 * time.Second)
	if n := flood(u, 500, u.Signed(stun.MethodRefresh)); n != 500 {
		t.Errorf("%d of 500 ordinary requests in a row were answered", n)
	}
	// Without an allocation: over UDP, where each packet is a client of its own,
	// and on a stream.
	fresh := d.user("anna", 3000)
	stream := d.user("anna", 4000)
	stream.c.Transport = wire.TCP
	for _, u := range []*user{fresh, stream} {
		if n := flood(u, 5, u.Signed(stun.MethodAllocate, append(padding(60000), turntest.Transport(wire.ProtocolUDP))...)); n != 0 {
			t.Errorf("%v: %d long requests were answered", u.c.Transport, n)
		}
		u.must(stun.MethodAllocate, append(padding(2000), turntest.Transport(wire.ProtocolUDP))...)
	}
}

// TestChurnLimit bounds how many allocations one household makes in a second.
func TestChurnLimit(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits = Limits{AllocationsPerIP: 150}
	d := newDesk(t, cfg)
	try := func(address string) (made int) {
		u := d.at("anna", address)
		for range 400 {
			if turntest.CodeOf(u.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))) == 0 {
				made++
				d.end(u.c.alloc)
				u.c = &Client{Transport: wire.UDP, Addr: u.c.Addr, Key: u.c.Key}
			}
		}
		return made
	}
	for _, step := range []struct {
		address string
		want    int
	}{{"192.0.2.1:1", 150}, {"192.0.2.1:2", 0}, {"192.0.2.2:1", 150}, {"[2001:db8::1]:1", 150}, {"[2001:db8::2]:1", 0}} {
		if made := try(step.address); made != step.want {
			t.Errorf("%s: %d allocations, want %d", step.address, made, step.want)
		}
	}
	d.wait(time.Second)
	if made := try("192.0.2.1:1"); made != 150 {
		t.Errorf("%d a second later", made)
	}
}

// TestPeerIndex holds the index of an allocation with many permissions and
// channels to a plain search, while they come and expire.
func TestPeerIndex(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		a := new(allocation)
		indexed := false
		for step := range 600 {
			now := int64(step)
			peer := wire.EndpointIPv4(rng.Uint32N(120), uint16(rng.IntN(3)))
			number := uint16(wire.ChannelMin + rng.IntN(200))
			if a.permission(peer) == nil {
				a.addPermission(peer).expires = now + int64(rng.IntN(200))
			}
			if a.channelByNumber(number) == nil && a.channelByPeer(peer) == nil {
				a.addChannel(channel{peer: peer, number: number, expires: now + int64(rng.IntN(200))})
			}
			if rng.IntN(50) == 0 {
				a.prune(now)
			}
			indexed = indexed || a.index != nil
			probe, n := wire.EndpointIPv4(rng.Uint32N(120), uint16(rng.IntN(3))), uint16(wire.ChannelMin+rng.IntN(200))
			var perm *permission
			for i := range a.perms {
				if a.perms[i].ip.SameIP(probe) {
					perm = &a.perms[i]
				}
			}
			var byPeer, byNumber *channel
			for i := range a.chans {
				if a.chans[i].peer == probe {
					byPeer = &a.chans[i]
				}
				if a.chans[i].number == n {
					byNumber = &a.chans[i]
				}
			}
			if a.permission(probe) != perm || a.channelByPeer(probe) != byPeer || a.channelByNumber(n) != byNumber {
				t.Fatalf("seed %d, step %d: the index differs", seed, step)
			}
		}
		if !indexed {
			t.Fatal("there was no index")
		}
	}
}
