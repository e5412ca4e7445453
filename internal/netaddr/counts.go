package netaddr

import (
	"net/netip"
	"sync"
)

// NetworkShare is how many households' worth of anything one wider network may
// have. It is so much that a whole carrier behind a few addresses is not shut
// out, and so little that whoever holds a /48 is not 65,536 visitors.
const NetworkShare = 16

// Bound is which bound refuses something, fit to be a metric's label.
type Bound string

// The bounds. Within refuses nothing.
const (
	Within        Bound = ""
	OverHousehold Bound = "per_ip"
	OverNetwork   Bound = "per_network"
	OverTotal     Bound = "total"
)

// Share is what may be had of something. Zero is no bound.
type Share struct {
	Household int // of one household; NetworkShare times as much of its wider network
	Total     int // of everybody
}

// Counts counts something by household and by wider network. The zero value is
// ready; it holds nothing about who has nothing. It is safe for concurrent use.
type Counts struct {
	mu         sync.Mutex
	households map[netip.Prefix]int
	networks   map[netip.Prefix]int
	total      int
	elsewhere  Elsewhere
}

// Add counts n more of addr, n > 0, or says which bound refuses them.
func (c *Counts) Add(addr netip.Addr, n int, share Share) Bound {
	household, network := Household(addr), Network(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case share.Total > 0 && c.total+n > share.Total:
		return OverTotal
	case share.Household > 0 && c.households[household]+c.elsewhere[household]+n > share.Household:
		return OverHousehold
	case share.Household > 0 && c.networks[network]+c.elsewhere[network]+n > NetworkShare*share.Household:
		return OverNetwork
	}
	c.add(household, network, n)
	return Within
}

// Force counts n more of addr whatever the bounds are: for those who are exempt,
// and for what is there already.
func (c *Counts) Force(addr netip.Addr, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(Household(addr), Network(addr), n)
}

// Remove takes back n of what was counted for addr.
func (c *Counts) Remove(addr netip.Addr, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(Household(addr), Network(addr), -n)
}

func (c *Counts) add(household, network netip.Prefix, n int) {
	if c.households == nil {
		c.households, c.networks = make(map[netip.Prefix]int), make(map[netip.Prefix]int)
	}
	change(c.households, household, n)
	change(c.networks, network, n)
	c.total += n
}

func change(counts map[netip.Prefix]int, key netip.Prefix, n int) {
	if left := counts[key] + n; left > 0 {
		counts[key] = left
	} else {
		delete(counts, key)
	}
}

// Total is how many are counted of everybody.
func (c *Counts) Total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// OfNetwork is how many are counted of addr's wider network.
func (c *Counts) OfNetwork(addr netip.Addr) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.networks[Network(addr)]
}

// Of is how many are counted of addr's household.
func (c *Counts) Of(addr netip.Addr) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.households[Household(addr)]
}
