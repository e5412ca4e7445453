package core

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// openDesk relays on public addresses of both families, with this host at one more.
func openDesk(t *testing.T) *desk {
	cfg := deskConfig(t)
	cfg.Relay = nil
	for _, a := range []string{"9.9.9.9", "2620:fe::9"} {
		addr := netip.MustParseAddr(a)
		cfg.Relay = append(cfg.Relay, netaddr.RelayAddress{Bind: addr, Advertise: addr})
	}
	cfg.Policy = policy.New(policy.Config{Mode: policy.ModeAny, Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("9.9.9.8")} }})
	return newDesk(t, cfg)
}

// comes is a packet from an address to a relay.
func (d *desk) comes(r *Relay, from string) {
	d.FromPeer(r, wire.EndpointFrom(netip.MustParseAddrPort(from)), wire.Copied([]byte("x")))
}

// says sends from a relay to an address, which has a permission then.
func (u *user) says(to string) {
	u.must(stun.MethodCreatePermission, turntest.Peer(to))
	u.input(turntest.Send(to, []byte("x")))
}

// TestUnasked knows a relay port to be open by packets that nobody has asked for, and by
// no others.
func TestUnasked(t *testing.T) {
	const there = "1.1.1.1:4000"
	open := func(d *desk) bool { return d.shared.Reached(wire.IPv4) >= 0 }
	for _, x := range []struct {
		what string
		do   func(d *desk, u *user, r *Relay)
		want bool
	}{
		{"nothing", func(d *desk, u *user, r *Relay) {}, false},
		{"from a stranger", func(d *desk, u *user, r *Relay) { d.comes(r, there) }, true},
		{"from a peer that has a permission", func(d *desk, u *user, r *Relay) {
			u.must(stun.MethodCreatePermission, turntest.Peer(there))
			d.comes(r, there)
		}, true},
		{"an answer", func(d *desk, u *user, r *Relay) { u.says(there); d.comes(r, there) }, false},
		{"an answer from another port", func(d *desk, u *user, r *Relay) { u.says(there); d.comes(r, "1.1.1.1:4001") }, false},
		{"an answer after the permission has expired", func(d *desk, u *user, r *Relay) {
			u.says(there)
			d.wait(301 * time.Second)
			d.comes(r, there)
		}, false},
		{"an answer after the permission was forgotten", func(d *desk, u *user, r *Relay) {
			u.says(there)
			d.wait(301 * time.Second)
			u.c.alloc.prune(d.second)
			d.comes(r, there)
			u.must(stun.MethodCreatePermission, turntest.Peer(there))
			d.comes(r, there)
		}, false},
		{"an answer to who has had the port before", func(d *desk, u *user, r *Relay) {
			u.says(there)
			u.must(stun.MethodRefresh, turntest.Lifetime(0))
			d.wait(590 * time.Second)
			d.comes(d.newRelay(&allocation{}, r.space, r.addr.Port), there)
		}, false},
		{"long after who has had the port before", func(d *desk, u *user, r *Relay) {
			u.says(there)
			u.must(stun.MethodRefresh, turntest.Lifetime(0))
			d.wait(610 * time.Second)
			d.comes(d.newRelay(&allocation{}, r.space, r.addr.Port), there)
		}, true},
		{"from loopback", func(d *desk, u *user, r *Relay) { d.comes(r, "127.0.0.1:5") }, false},
		{"from the relay's address", func(d *desk, u *user, r *Relay) { d.comes(r, "9.9.9.9:5") }, false},
		{"from another of the host's", func(d *desk, u *user, r *Relay) { d.comes(r, "9.9.9.8:5") }, false},
		{"from a network of the host's own", func(d *desk, u *user, r *Relay) { d.comes(r, "172.17.0.1:5") }, false},
		{"after one from the host, in the next second", func(d *desk, u *user, r *Relay) {
			d.comes(r, "9.9.9.8:5")
			d.wait(time.Second)
			d.comes(r, there)
		}, true},
	} {
		d := openDesk(t)
		u := d.user("alice", 1000)
		r := u.relayed()
		u.must(stun.MethodRefresh, turntest.Lifetime(3600))
		x.do(d, u, r)
		if open(d) != x.want {
			t.Errorf("%s: open %v", x.what, open(d))
		}
		if d.shared.Reached(wire.IPv6) >= 0 {
			t.Errorf("%s: IPv6 is open too", x.what)
		}
	}

	// In a network that is private throughout, private peers are outside.
	d := newDesk(t, deskConfig(t))
	r := d.user("alice", 1000).relayed()
	d.comes(r, "10.1.2.3:5")
	if d.shared.Reached(wire.IPv4) < 0 {
		t.Error("a neighbour in a private network is not taken for outside")
	}
}

// TestReached tells a successor how long ago it was, and keeps the latest.
func TestReached(t *testing.T) {
	s := NewShared(deskConfig(t))
	s.AddReached(wire.IPv6, -1)
	if got := s.Reached(wire.IPv6); got >= 0 {
		t.Errorf("never, but %v ago", got)
	}
	for _, ago := range []time.Duration{10 * time.Minute, 5 * time.Minute, 20 * time.Minute} {
		s.AddReached(wire.IPv4, ago)
	}
	if got := s.Reached(wire.IPv4).Round(time.Minute); got != 5*time.Minute || s.Reached(wire.IPv6) >= 0 {
		t.Errorf("%v ago", got)
	}
}
