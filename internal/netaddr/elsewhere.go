package netaddr

import "net/netip"

// Elsewhere is how much of what Counts counts is on other nodes, by household and by wider
// network, which are never the same prefix.
type Elsewhere map[netip.Prefix]int

// SetElsewhere has Add count what is said to be elsewhere against the bounds of households
// and networks too, from now on. It is not changed any more; nil: there is nothing.
func (c *Counts) SetElsewhere(e Elsewhere) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elsewhere = e
}

// Most yields the households that have at least so many here, and the networks that have
// NetworkShare times as many.
func (c *Counts) Most(least int) map[netip.Prefix]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := make(map[netip.Prefix]int)
	for p, n := range c.households {
		if n >= least {
			most[p] = n
		}
	}
	for p, n := range c.networks {
		if n >= NetworkShare*least {
			most[p] = n
		}
	}
	return most
}

// IsNetwork tells a wider network from a household.
func IsNetwork(p netip.Prefix) bool { return p == Network(p.Addr()) }
