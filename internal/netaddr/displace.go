package netaddr

import "net/netip"

// Displace chooses who of those at a full place makes room for a newcomer, so that
// no network and no household keeps the others out: the last one of the network
// with the most, where that has at least two more than the newcomer's; else of the
// household with the most, by the same rule. It returns an index, or -1 where
// nobody has so much more that it would be fairer.
func Displace(there []netip.Addr, newcomer netip.Addr) int {
	for _, of := range []func(netip.Addr) netip.Prefix{Network, Household} {
		counts := make(map[netip.Prefix]int, len(there))
		most := 0
		for _, addr := range there {
			counts[of(addr)]++
			most = max(most, counts[of(addr)])
		}
		if most < counts[of(newcomer)]+2 {
			continue
		}
		for i := len(there) - 1; i >= 0; i-- {
			if counts[of(there[i])] == most {
				return i
			}
		}
	}
	return -1
}
