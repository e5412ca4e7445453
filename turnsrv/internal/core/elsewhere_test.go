package core

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestAllocationsElsewhere: what another server has told of counts against a user's and an
// address's quota until it has it no more, and who has little is not told of.
func TestAllocationsElsewhere(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.AllocationsPerUser, cfg.Limits.AllocationsPerIP = 16, 32
	one, two := newDesk(t, cfg).shared, newDesk(t, cfg).shared
	at := wire.EndpointIP(netip.MustParseAddr("192.0.2.1"))
	home, network := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.0/24")
	reserve := func(s *Shared, user string, n int) quota {
		refused, _ := s.directory.reserve(user, at, n, s.limits.Load(), 0)
		return refused
	}
	if reserve(one, "anna", 1); len(one.Held().Users) != 0 || len(one.Held().Addresses) != 0 {
		t.Errorf("told of one who has little: %+v", one.Held())
	}
	reserve(one, "anna", 13)
	reserve(one, "bob", 14)
	held := one.Held()
	slices.SortFunc(held.Users, func(a, b Holding) int { return a.Allocations - b.Allocations })
	if want := []Holding{{User: "anna", Allocations: 14}, {User: "bob", Allocations: 14}}; len(held.Users) != 2 ||
		!slices.ContainsFunc(held.Users, func(h Holding) bool { return h == want[0] }) || !slices.ContainsFunc(held.Users, func(h Holding) bool { return h == want[1] }) {
		t.Errorf("told of %+v", held.Users)
	}
	// The network's limit is 16 times as wide, and an eighth of that is not reached.
	if !maps.Equal(held.Addresses, map[netip.Prefix]int{home: 28}) {
		t.Errorf("told of %+v", held.Addresses)
	}
	two.SetElsewhere(map[string]Held{"one": held})
	for _, step := range []struct {
		user string
		n    int
		want quota
	}{{"anna", 3, overUser}, {"anna", 2, within}, {"anna", 1, overUser}, {"carl", 3, overAddress}, {"carl", 2, within}, {"carl", 1, overAddress}} {
		if got := reserve(two, step.user, step.n); got != step.want {
			t.Errorf("%d more of %s: %q, want %q", step.n, step.user, got, step.want)
		}
	}
	two.SetElsewhere(map[string]Held{"one": {Addresses: map[netip.Prefix]int{network: 16*32 - 4}}})
	if got := reserve(two, "dora", 1); got != overNetwork {
		t.Errorf("the network is full: %q", got)
	}
	two.SetElsewhere(nil)
	if got := reserve(two, "anna", 14); got != within {
		t.Errorf("the other server is gone: %q", got)
	}
}

// TestVolumeElsewhere: what others have relayed of a user's day counts here, each byte once,
// whatever is told again, and stays for the day when they are gone; a successor is told of
// what was relayed here alone.
func TestVolumeElsewhere(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Limits.VolumePerUserDay = 100_000
	d := newDesk(t, cfg)
	told := func(server string, bytes, age int64) {
		d.shared.SetElsewhere(map[string]Held{server: {Volumes: []Volume{{User: "anna", Bytes: bytes, Age: age}}}})
	}
	a := d.calling("anna", 1000)
	if n := a.through(20, 1000, true); n != 20 {
		t.Fatal(n)
	}
	own := func(want int64) {
		t.Helper()
		held := d.shared.Held().Volumes
		if want == 0 && len(held) == 0 {
			return
		}
		if len(held) != 1 || held[0].User != "anna" || held[0].Bytes != want {
			t.Errorf("told of %+v, want %d bytes", held, want)
		}
		if volumes := d.shared.Volumes(false); len(volumes) != 1 || volumes[0].Bytes != want {
			t.Errorf("a successor is told of %+v, want %d bytes", volumes, want)
		}
	}
	volume := func(want int64) {
		t.Helper()
		if got := d.shared.directory.usages[holder{user: "anna"}].Volume.Load(); got != want {
			t.Errorf("%d bytes count, want %d", got, want)
		}
	}
	for _, step := range []struct {
		server     string
		bytes, age int64
		want       int64
	}{
		{"b", 30_000, 50, 50_000},
		{"b", 30_000, 51, 50_000}, // the same
		{"b", 31_000, 52, 51_000},
		{"c", 20_000, 10, 71_000},
		{"b", 30_900, 53, 71_000}, // an upgrade, which is some bytes behind
		{"b", 4_000, 54, 75_000},  // it was killed, and began at nothing
		{"c", 5_000, 3600 * 5, 80_000},
	} {
		told(step.server, step.bytes, step.age)
		volume(step.want)
		own(20_000)
	}
	d.shared.SetElsewhere(nil)
	volume(80_000)
	if n := a.through(25, 1000, false); n != 20 {
		t.Errorf("%d kB more than all together, want 20", n)
	}
	own(40_000)

	// The next day begins with nothing, and with what the others then tell.
	a.must(stun.MethodRefresh, turntest.Lifetime(0))
	d.wait(volumeWindow * time.Second)
	d.shared.started = d.shared.started.Add(-volumeWindow * time.Second) // the same for its own clock
	a = d.calling("anna", 1001)
	told("b", 50_000, 1)
	volume(50_000)
	own(0)
	if n := a.through(60, 1000, false); n != 50 {
		t.Errorf("%d kB on the next day, want 50", n)
	}

	// Nothing overflows, and what is known stays bounded.
	for i := range 3 * maxTellers {
		told(fmt.Sprint("x", i), math.MaxInt64, 1)
	}
	u := d.shared.directory.usages[holder{user: "anna"}]
	if got := u.Volume.Load(); got != maxForeign+50_000 || len(u.tellers) > maxTellers {
		t.Errorf("%d bytes count, of %d", got, len(u.tellers))
	}
	own(50_000)
	var many []Volume
	for i := range 2 * maxUsages {
		many = append(many, Volume{User: fmt.Sprint(i), Bytes: 50_000})
	}
	d.shared.SetElsewhere(map[string]Held{"b": {Volumes: many}})
	if n := len(d.shared.directory.usages); n > maxUsages {
		t.Errorf("%d users are known", n)
	}
}
