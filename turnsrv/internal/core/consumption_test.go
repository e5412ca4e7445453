package core

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// calling is a client with a channel to far, and what goes each way.
type calling struct {
	*user
	relay *Relay
}

func (d *desk) calling(name string, port uint16) calling {
	u := d.user(name, port)
	c := calling{u, u.relayed()}
	u.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
	return c
}

// through is how many of n packets of a size come through, to the peer or to the client.
func (c calling) through(n, size int, toPeer bool) int {
	before := c.d.io.sent
	for range n {
		if toPeer {
			c.input(turntest.ChannelData(0x4000, make([]byte, size), false))
		} else {
			c.d.FromPeer(c.relay, farPeer, wire.Copied(make([]byte, size)))
		}
	}
	return c.d.io.sent - before
}

func TestPacketsPerAllocation(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.PacketsPerAllocation = 100
	d := newDesk(t, cfg)
	a, b := d.calling("anna", 1000), d.calling("anna", 1001)
	for _, toPeer := range []bool{true, false} {
		if n := a.through(150, 10, toPeer); n != 100 {
			t.Errorf("%d packets at once, want 100", n)
		}
	}
	if d.count.drops[DropPackets] != 100 {
		t.Errorf("drops %v", d.count.drops)
	}
	if n := b.through(50, 10, true); n != 50 {
		t.Errorf("the other allocation pays for it: %d", n)
	}
	d.wait(500 * time.Millisecond)
	if n := a.through(100, 10, true); n != 50 {
		t.Errorf("%d packets half a second later, want 50", n)
	}
}

// TestNewPeers: an allocation may name the addresses of a call at once, and then a few
// now and then; whom it has a permission for already costs nothing.
func TestNewPeers(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.NewPeersPerAllocation = 5
	d := newDesk(t, cfg)
	u := d.user("anna", 1000)
	u.relayed()
	next := 0
	peers := func(n int) (attrs []turntest.Attr) {
		for range n {
			next++
			attrs = append(attrs, turntest.Peer(fmt.Sprintf("198.51.%d.%d:9", 100+next/200, next%200)))
		}
		return attrs
	}
	first := peers(newPeersBurst)
	u.must(stun.MethodCreatePermission, first...)
	for _, step := range []struct {
		what string
		wait time.Duration
		ask  []turntest.Attr
		code int
	}{
		{"the same again", 0, first, 0},
		{"one more", 0, peers(1), 508},
		{"five more a second later", time.Second, peers(5), 0},
		{"six more a second later", time.Second, peers(6), 508},
		{"five of them", 0, peers(5), 0},
		{"the first ones when they have expired", 7 * time.Minute, first, 0},
		{"and others too", 0, peers(1), 508},
	} {
		d.wait(step.wait)
		if u.c.alloc == nil {
			t.Fatal("the allocation has ended")
		}
		if code := turntest.CodeOf(u.ask(stun.MethodCreatePermission, step.ask...)); code != step.code {
			t.Errorf("%s: %d, want %d", step.what, code, step.code)
		}
	}
	if code := turntest.CodeOf(u.ask(stun.MethodChannelBind, turntest.Peer("203.0.113.9:9"), turntest.ChannelNumber(0x4000))); code != 508 {
		t.Errorf("a channel to a new peer: %d", code)
	}
	if d.count.denied["new-peers"] != 4 {
		t.Errorf("denied: %v", d.count.denied)
	}
}

// TestBandwidthPerUser counts all allocations of a user together, both directions.
func TestBandwidthPerUser(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.BandwidthPerUser = 10_000
	d := newDesk(t, cfg)
	a, b, other := d.calling("anna", 1000), d.calling("anna", 1001), d.calling("bob", 1002)
	if n := a.through(6, 1000, true) + b.through(6, 1000, false); n != 10 {
		t.Errorf("%d kB at once, want 10", n)
	}
	if n := other.through(5, 1000, true); n != 5 {
		t.Errorf("another user pays for it: %d", n)
	}
	if d.count.drops[DropUserBandwidth] != 2 {
		t.Errorf("drops %v", d.count.drops)
	}
	// With the last allocation goes what was known of the bandwidth: nothing is kept.
	for _, c := range []calling{a, b, other} {
		c.must(stun.MethodRefresh, turntest.Lifetime(0))
	}
	if len(d.shared.directory.usages) != 0 {
		t.Errorf("%d are kept", len(d.shared.directory.usages))
	}
}

// TestVolumePerDay: what a user has had stays counted when its allocations end, until a
// day after the first byte, and another process goes on from there.
func TestVolumePerDay(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.VolumePerUserDay = 10_000
	d := newDesk(t, cfg)
	a := d.calling("anna", 1000)
	if n := a.through(6, 1000, true); n != 6 {
		t.Fatal(n)
	}
	a.must(stun.MethodRefresh, turntest.Lifetime(0))
	a = d.calling("anna", 1001)
	if n := a.through(6, 1000, false); n != 4 || d.count.drops[DropUserVolume] != 2 {
		t.Errorf("%d kB more, %v", n, d.count.drops)
	}
	told := d.shared.Volumes(false)
	if len(told) != 1 || told[0].User != "anna" || told[0].Bytes != 10_000 {
		t.Fatalf("%+v", told)
	}
	if since := d.shared.Volumes(true); since != nil {
		t.Errorf("told twice: %+v", since)
	}
	if again := d.shared.Volumes(false); !slices.Equal(again, told) {
		t.Errorf("a second successor is told %+v", again)
	}

	next := newDesk(t, cfg)
	next.shared.AddVolumes(told)
	b := next.calling("anna", 1000)
	if n := b.through(1, 100, true); n != 0 {
		t.Error("the next process has forgotten it")
	}
	next.wait(volumeWindow * time.Second)
	b = next.calling("anna", 1001)
	if n := b.through(12, 1000, true); n != 10 {
		t.Errorf("%d kB on the next day", n)
	}
}

// TestVolumeOfAHousehold: where a name proves nothing another one brings no more.
func TestVolumeOfAHousehold(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.VolumePerUserDay = 10_000
	cfg.Consumer = func(user string) (string, bool) { return user, false }
	d := newDesk(t, cfg)
	for i, want := range []int{8, 2, 0} {
		if n := d.calling(fmt.Sprint("name", i), uint16(1000+i)).through(8, 1000, true); n != want {
			t.Errorf("name %d: %d kB, want %d", i, n, want)
		}
	}
	if told := d.shared.Volumes(false); len(told) != 1 || told[0].User != "" || told[0].Household != netip.MustParsePrefix("192.0.2.1/32") {
		t.Errorf("%+v", told)
	}
}

// TestVolumeOfSessions: a person with many sessions, each a user name of its own, has one
// volume.
func TestVolumeOfSessions(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.VolumePerUserDay = 10_000
	cfg.Consumer = func(user string) (string, bool) { return user[:4], true }
	d := newDesk(t, cfg)
	for i, step := range []struct {
		user string
		want int
	}{{"anna-1", 8}, {"anna-2", 2}, {"boris-1", 8}, {"anna-3", 0}} {
		if n := d.calling(step.user, uint16(1000+i)).through(8, 1000, true); n != step.want {
			t.Errorf("%s: %d kB, want %d", step.user, n, step.want)
		}
	}
}

// TestUsagesAreBounded floods the table from many users with a volume.
func TestUsagesAreBounded(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	var many []Volume
	for i := range maxUsages + 2*maxVolumes {
		many = append(many, Volume{User: fmt.Sprint(i), Bytes: 1, Age: int64(i % 100)})
	}
	for some := range slices.Chunk(many, maxVolumes) {
		d.shared.AddVolumes(some)
		d.shared.directory.forgotten = 0 // a second later
	}
	if n := len(d.shared.directory.usages); n > maxUsages+maxVolumes {
		t.Errorf("%d users", n)
	}
	if n := len(d.shared.Volumes(false)); n != maxVolumes {
		t.Errorf("%d are told", n)
	}
}

// TestCallOfSixTouchesNoBound: each of six people sends 1080p (4 Mbit/s, a key frame of
// 300 kB at once) to each of the others over an allocation for each, and names a dozen
// addresses of the other, for a minute. Nothing is dropped by the default limits.
func TestCallOfSixTouchesNoBound(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits = Limits{BandwidthPerAllocation: 8_000_000, PacketsPerAllocation: 10_000, NewPeersPerAllocation: 5, PermissionsPerAllocation: 128}
	d := newDesk(t, cfg)
	d.io.quiet = true
	packets := [][]byte{turntest.ChannelData(0x4000, make([]byte, 1200), false), turntest.ChannelData(0x4000, make([]byte, 120), false)}
	picture, sound := make([]byte, 1200), make([]byte, 120)
	var calls []calling
	for i := range 5 { // of one of the six, to each of the others
		d.io.quiet = false
		c := d.calling("anna", uint16(1000+i))
		var addresses []turntest.Attr
		for k := range 12 {
			addresses = append(addresses, turntest.Peer(fmt.Sprintf("198.51.101.%d:9", i*12+k)))
		}
		c.must(stun.MethodCreatePermission, addresses...)
		d.io.quiet = true
		calls = append(calls, c)
	}
	before := d.io.sent
	wanted := 0
	for tick := range 60 * 50 { // of 20 ms
		d.wait(20 * time.Millisecond)
		frames := 8 // 4 Mbit/s
		if tick%250 == 0 {
			frames = 250 // a key frame
		}
		for _, c := range calls {
			for range frames {
				c.input(packets[0])
				d.FromPeer(c.relay, farPeer, wire.Copied(picture))
			}
			c.input(packets[1])
			d.FromPeer(c.relay, farPeer, wire.Copied(sound))
			wanted += 2*frames + 2
		}
		if tick%1000 == 999 { // as clients do before permissions end
			d.io.quiet = false
			for _, c := range calls {
				c.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
			}
			d.io.quiet = true
			before += len(calls)
		}
	}
	if got := d.io.sent - before; got != wanted {
		t.Errorf("%d of %d packets, drops %v", got, wanted, d.count.drops)
	}
}
