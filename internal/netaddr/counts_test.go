package netaddr

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestCountsAgainstReference plays random schedules of coming and going against a
// reference that keeps a list of who is there and counts it anew each time.
func TestCountsAgainstReference(t *testing.T) {
	reached := make(map[Bound]int)
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 1))
		share := Share{Household: rng.IntN(4), Total: rng.IntN(3) * 40}
		type one struct {
			addr netip.Addr
			n    int
		}
		var there []one
		var c Counts
		sum := func(in func(netip.Addr) bool) (n int) {
			for _, o := range there {
				if in(o.addr) {
					n += o.n
				}
			}
			return n
		}
		for range 400 {
			if len(there) > 0 && rng.IntN(3) == 0 {
				i := rng.IntN(len(there))
				c.Remove(there[i].addr, there[i].n)
				there = append(there[:i], there[i+1:]...)
				continue
			}
			a := addrOf(rng)
			n := 1 + rng.IntN(2)
			total := sum(func(netip.Addr) bool { return true })
			household := sum(func(o netip.Addr) bool { return Household(o) == Household(a) })
			network := sum(func(o netip.Addr) bool { return Network(o) == Network(a) })
			want := Within
			switch {
			case share.Total > 0 && total+n > share.Total:
				want = OverTotal
			case share.Household > 0 && household+n > share.Household:
				want = OverHousehold
			case share.Household > 0 && network+n > 16*share.Household:
				want = OverNetwork
			}
			got := c.Add(a, n, share)
			if got != want {
				t.Fatalf("seed %d: %d of %s: %q, want %q (household %d, network %d, total %d; %+v)", seed, n, a, got, want, household, network, total, share)
			}
			reached[got]++
			if got == Within {
				there = append(there, one{a, n})
			} else if rng.IntN(8) == 0 {
				c.Force(a, n)
				there = append(there, one{a, n})
			}
			if got := c.Total(); got != sum(func(netip.Addr) bool { return true }) {
				t.Fatalf("seed %d: total %d", seed, got)
			}
			if got := c.Of(a); got != sum(func(o netip.Addr) bool { return Household(o) == Household(a) }) {
				t.Fatalf("seed %d: %s has %d", seed, a, got)
			}
			if got := c.OfNetwork(a); got != sum(func(o netip.Addr) bool { return Network(o) == Network(a) }) {
				t.Fatalf("seed %d: the network of %s has %d", seed, a, got)
			}
		}
		for _, o := range there {
			c.Remove(o.addr, o.n)
		}
		if len(c.households) != 0 || len(c.networks) != 0 || c.total != 0 {
			t.Fatalf("seed %d: nobody is there, and kept are %v %v %d", seed, c.households, c.networks, c.total)
		}
	}
	for _, b := range []Bound{Within, OverHousehold, OverNetwork, OverTotal} {
		if reached[b] < 25 {
			t.Errorf("%q was reached %d times only", b, reached[b])
		}
	}
}

// addrOf is an address of one of three wider networks with 30 households each.
func addrOf(rng *rand.Rand) netip.Addr {
	house := byte(rng.IntN(30))
	switch rng.IntN(3) {
	case 0:
		return netip.AddrFrom4([4]byte{203, 0, 113, house})
	case 1:
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: house, 15: byte(rng.IntN(256))})
	default:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: house})
	}
}
