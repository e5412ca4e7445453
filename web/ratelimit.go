package web

import (
	"net/netip"
	"sync"
	"time"

	"turnhub/internal/netaddr"
)

// maxPrefixes bounds the memory of a rateLimit, about 8 MB.
const maxPrefixes = 1 << 16

// rateLimit bounds requests per household and per wider network, see
// netaddr.NetworkShare, with token buckets of two seconds' worth.
type rateLimit struct {
	now func() time.Time

	mu         sync.Mutex
	households buckets
	networks   buckets
}

type buckets map[netip.Prefix]bucket

type bucket struct {
	tokens float64
	at     time.Time
}

func newRateLimit(now func() time.Time) *rateLimit {
	return &rateLimit{now: now, households: make(buckets), networks: make(buckets)}
}

// allow takes a token of addr's household at perSecond tokens per second, and one
// of its network; 0: no limit. It says which of them has none left.
func (l *rateLimit) allow(addr netip.Addr, perSecond float64) netaddr.Bound {
	if perSecond <= 0 {
		return netaddr.Within
	}
	household, network := netaddr.Household(addr), netaddr.Network(addr)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.households.at(household, now, perSecond)
	wide := l.networks.at(network, now, perSecond*netaddr.NetworkShare)
	over := netaddr.Within
	switch {
	case own.tokens < 1:
		over = netaddr.OverHousehold
	case wide.tokens < 1:
		over = netaddr.OverNetwork
	default:
		own.tokens--
		wide.tokens--
	}
	l.households[household], l.networks[network] = own, wide
	return over
}

// at returns a bucket as it is now. There is room for it.
func (b buckets) at(prefix netip.Prefix, now time.Time, perSecond float64) bucket {
	depth := max(1, 2*perSecond)
	old, known := b[prefix]
	if !known {
		if len(b) >= maxPrefixes {
			b.forget(now, depth, perSecond)
		}
		return bucket{depth, now}
	}
	return bucket{min(depth, old.tokens+now.Sub(old.at).Seconds()*perSecond), now}
}

// forget drops the buckets that are full again, and when none is, any.
func (b buckets) forget(now time.Time, depth, perSecond float64) {
	for prefix, old := range b {
		if old.tokens+now.Sub(old.at).Seconds()*perSecond >= depth {
			delete(b, prefix)
		}
	}
	for prefix := range b {
		if len(b) < maxPrefixes {
			break
		}
		delete(b, prefix)
	}
}
