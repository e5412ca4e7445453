package core

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/wire"
)

// TestPortsAgainstReference claims, publishes, sets aside and gives back ports in random
// order: a port is never given out twice, all of them can be had, pairs are even and
// their next one is taken along, and a lookup finds what was published and nothing else.
func TestPortsAgainstReference(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		const low, high = 50001, 50016
		spaces := new(relaySpaces).with([]netaddr.RelayAddress{{Bind: netip.MustParseAddr("10.0.0.1"), Advertise: addr}}, low, high)
		space := spaces.all[0]
		taken := make(map[uint16]*Relay) // nil: claimed, not published
		aside := make(map[uint16]int64)
		now := int64(1000)
		claim := func(even, pair bool) (port uint16, ok bool) {
			for port = range space.claims(even, pair) {
				return port, true
			}
			return 0, false
		}
		for range 300 {
			switch rng.IntN(5) {
			case 0, 1:
				even, pair := rng.IntN(3) == 0, false
				if even {
					pair = rng.IntN(2) == 0
				}
				port, ok := claim(even, pair)
				possible := false
				for p := uint16(low); p <= high; p++ {
					_, used := taken[p]
					_, next := taken[p+1]
					possible = possible || !used && (!even || p%2 == 0) && (!pair || !next && p < high)
				}
				if ok != possible {
					t.Fatalf("seed %d: claimed %v, possible %v", seed, ok, possible)
				}
				if !ok {
					continue
				}
				ports := []uint16{port}
				if pair {
					ports = append(ports, port+1)
				}
				for _, p := range ports {
					if _, used := taken[p]; used || p < low || p > high || even && port%2 != 0 {
						t.Fatalf("seed %d: port %d", seed, p)
					}
					taken[p] = nil
				}
			case 2:
				for p, r := range taken {
					if _, off := aside[p]; r == nil && !off {
						r = &Relay{space: space, addr: space.advertise}
						r.addr.Port = p
						space.publish(r)
						taken[p] = r
						break
					}
				}
			case 3:
				for p := range taken {
					if _, off := aside[p]; !off && rng.IntN(2) == 0 {
						space.release(p)
						delete(taken, p)
					} else if !off && taken[p] == nil {
						space.setAside(p, now)
						aside[p] = now + foreignTime
					}
					break
				}
			case 4:
				now += int64(rng.IntN(3))
				space.sweep(now)
				for p, until := range aside {
					if until <= now {
						delete(aside, p)
						delete(taken, p)
					}
				}
			}
			if int(space.used.Load()) != len(taken) {
				t.Fatalf("seed %d: %d in use, want %d", seed, space.used.Load(), len(taken))
			}
			for p := uint16(low - 1); p <= high+1; p++ {
				for _, ip := range []string{"192.0.2.1", "10.0.0.1", "192.0.2.2"} {
					got, own := spaces.lookup(wire.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr(ip), p)))
					want := taken[p]
					if ip == "192.0.2.2" {
						want = nil
					}
					if got != want || own == (ip == "192.0.2.2") {
						t.Fatalf("seed %d: lookup of %s:%d: %v, %v", seed, ip, p, got, own)
					}
				}
			}
		}
	}
}

// TestRelayAddressesChange holds that the allocations on an address which a reload
// removes are still found, until the last has ended, and that one which comes back is
// the same.
func TestRelayAddressesChange(t *testing.T) {
	one := netaddr.RelayAddress{Bind: netip.MustParseAddr("192.0.2.1"), Advertise: netip.MustParseAddr("192.0.2.1")}
	two := netaddr.RelayAddress{Bind: netip.MustParseAddr("192.0.2.2"), Advertise: netip.MustParseAddr("192.0.2.2")}
	first := new(relaySpaces).with([]netaddr.RelayAddress{one}, 1000, 1001)
	space := first.all[0]
	if !space.claim(1000) {
		t.Fatal("a new space has no port")
	}
	r := &Relay{space: space, addr: space.advertise}
	r.addr.Port = 1000
	space.publish(r)
	second := first.with([]netaddr.RelayAddress{two}, 1000, 1001)
	if got, own := second.lookup(r.addr); got != r || !own || second.active != 1 || len(second.all) != 2 {
		t.Errorf("after the address was removed: %v, %v, %+v", got, own, second)
	}
	if back := second.with([]netaddr.RelayAddress{two, one}, 1000, 1001); back.all[1] != space || back.active != 2 || len(back.all) != 2 {
		t.Errorf("after it came back: %+v", back)
	}
	space.release(1000)
	if third := second.with([]netaddr.RelayAddress{two}, 1000, 1001); len(third.all) != 1 {
		t.Errorf("after the last allocation: %+v", third)
	}
}
