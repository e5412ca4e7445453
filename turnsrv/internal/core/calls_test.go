package core

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// testCalls is a hub: rooms by user, and the addresses where it has seen sockets.
type testCalls struct {
	mu   sync.Mutex
	room map[string]string
	seen map[string]netip.Addr
	asks int
}

func (c *testCalls) Together(a, b string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks++
	return a == b || c.room[a] != "" && c.room[a] == c.room[b]
}

func (c *testCalls) Seen(user string, addr netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, at := range c.seen {
		if other != user && at == addr && c.room[user] != "" && c.room[other] == c.room[user] {
			return true
		}
	}
	return false
}

func (c *testCalls) move(user, room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room[user] = room
}

func callsDesk(t testing.TB) (*desk, *testCalls) {
	t.Helper()
	calls := &testCalls{
		room: map[string]string{"alice": "r", "bob": "r", "mallory": "x", "accomplice": "x"},
		seen: map[string]netip.Addr{"bob": netip.MustParseAddr("5.5.5.5")},
	}
	cfg := deskConfig(t)
	advertised := netip.MustParseAddr("9.9.9.9")
	cfg.Relay = []netaddr.RelayAddress{{Bind: netip.MustParseAddr("10.0.0.1"), Advertise: advertised}}
	cfg.Policy = policy.New(policy.Config{
		Mode: policy.ModeCalls, Calls: calls,
		Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.0.0.1"), advertised} },
	})
	return newDesk(t, cfg), calls
}

// TestCallsPolicy checks whom one may reach when relay.peers is calls, at
// CreatePermission, ChannelBind, Send, and from the peer.
func TestCallsPolicy(t *testing.T) {
	d, calls := callsDesk(t)
	alice, bob, mallory := d.user("alice", 1000), d.user("bob", 1001), d.user("mallory", 1002)
	ra, rb, rm := alice.relayed(), bob.relayed(), mallory.relayed()
	address := func(r *Relay) string { return r.addr.AddrPort().String() }
	number := uint16(wire.ChannelMin)
	code := func(u *user, peer string) (permission, channel int) {
		number++
		return turntest.CodeOf(u.ask(stun.MethodCreatePermission, turntest.Peer(peer))),
			turntest.CodeOf(u.ask(stun.MethodChannelBind, turntest.Peer(peer), turntest.ChannelNumber(number)))
	}
	for _, step := range []struct {
		who  *user
		peer string
		want int
	}{
		{alice, address(rb), 0},
		{alice, "5.5.5.5:1234", 0}, // bob's signaling socket was seen there
		{alice, address(rm), 403},
		{mallory, address(ra), 403},
		{mallory, address(rb), 403},
		{mallory, "5.5.5.5:1234", 403},
		{mallory, "8.8.8.8:53", 403},
		{mallory, "127.0.0.1:9478", 403},
		{mallory, "169.254.169.254:80", 403},
		{mallory, "10.0.0.1:22", 403}, // this host
		{mallory, "9.9.9.9:22", 403},  // this host as the internet sees it
		{mallory, "0.0.0.0:1", 403},
	} {
		if p, c := code(step.who, step.peer); p != step.want || c != step.want {
			t.Errorf("%s to %s: CreatePermission %d, ChannelBind %d, want %d", step.who.Username, step.peer, p, c, step.want)
		}
	}
	// A permission for this server's address with a free relay port is harmless:
	// it opens nobody's port and no socket.
	if p, _ := code(mallory, "9.9.9.9:11100"); p != 0 {
		t.Errorf("CreatePermission for a free relay port: %d", p)
	}
	sent := d.io.sent
	for _, peer := range []string{address(ra), address(rb), "9.9.9.9:22", "9.9.9.9:11100", "10.0.0.1:11100", "8.8.8.8:53"} {
		mallory.input(turntest.Send(peer, []byte("attack")))
	}
	d.FromPeer(rm, wire.EndpointFrom(netip.MustParseAddrPort("9.9.9.9:22")), wire.Copied([]byte("from the host")))
	if d.io.sent != sent {
		t.Errorf("%d of mallory's packets were relayed", d.io.sent-sent)
	}
	// Alice and Bob reach each other, both ways, inside the process.
	bob.must(stun.MethodCreatePermission, turntest.Peer(address(ra)))
	alice.input(turntest.Send(address(rb), []byte("hello bob")))
	bob.input(turntest.Send(address(ra), []byte("hello alice")))
	if d.io.sent != sent+3 || len(d.io.toPeers) != 0 { // bob's answer, and the two
		t.Errorf("%d messages, %d to sockets", d.io.sent-sent, len(d.io.toPeers))
	}
	// A cached verdict costs no question.
	alice.must(stun.MethodChannelBind, turntest.Peer(address(rb)), turntest.ChannelNumber(wire.ChannelMin+1))
	hello := turntest.ChannelData(wire.ChannelMin+1, []byte("hi"), false)
	alice.input(hello)
	asks := calls.asks
	for range 10 {
		alice.input(hello)
	}
	if calls.asks != asks {
		t.Errorf("%d questions for 10 packets", calls.asks-asks)
	}
}

// TestRecheck checks that leaving a room takes away what the permission allowed,
// on the data path too, whichever side left.
func TestRecheck(t *testing.T) {
	for _, leaver := range []string{"alice", "bob"} {
		t.Run(leaver, func(t *testing.T) {
			d, calls := callsDesk(t)
			alice, bob := d.user("alice", 1000), d.user("bob", 1001)
			ra, rb := alice.relayed(), bob.relayed()
			alice.must(stun.MethodChannelBind, turntest.Peer(rb.addr.AddrPort().String()), turntest.ChannelNumber(0x4000))
			alice.must(stun.MethodChannelBind, turntest.Peer("5.5.5.5:1234"), turntest.ChannelNumber(0x4001))
			bob.must(stun.MethodChannelBind, turntest.Peer(ra.addr.AddrPort().String()), turntest.ChannelNumber(0x4000))
			relayed := func() (n int) {
				before := d.io.sent
				alice.input(turntest.ChannelData(0x4000, []byte("a"), false))
				bob.input(turntest.ChannelData(0x4000, []byte("b"), false))
				alice.input(turntest.ChannelData(0x4001, []byte("c"), false))
				d.FromPeer(ra, wire.EndpointFrom(netip.MustParseAddrPort("5.5.5.5:1234")), wire.Copied([]byte("d")))
				return d.io.sent - before
			}
			if n := relayed(); n != 4 {
				t.Fatalf("%d packets before", n)
			}
			calls.move(leaver, "")
			// The hub names who left. The partner's permissions to where the
			// server saw that person are judged again too.
			d.recheck(alice.c.alloc)
			if leaver == "bob" {
				d.recheck(bob.c.alloc)
			}
			if n := relayed(); n != 0 {
				t.Errorf("%d packets after %s left", n, leaver)
			}
			calls.move(leaver, "r") // of which nobody tells the relay
			d.wait(time.Second)
			alice.must(stun.MethodCreatePermission, turntest.Peer("5.5.5.5:1234"))
			if n := relayed(); n != 4 {
				t.Errorf("%d packets after %s came back", n, leaver)
			}
		})
	}
}
