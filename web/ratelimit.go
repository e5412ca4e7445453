package web

import (
	"net/netip"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
)

// ratedPrefixes is of how many households, and of how many networks, is known what
// they have asked for.
const ratedPrefixes = 1 << 14

// rateLimit bounds requests per household and per wider network, see
// netaddr.NetworkShare. Both can save two seconds' worth, and one request at least.
type rateLimit struct {
	start    time.Time
	prefixes [2]*ratelimit.Table[netip.Prefix] // households, networks
}

func newRateLimit() *rateLimit {
	return &rateLimit{start: time.Now(), prefixes: [2]*ratelimit.Table[netip.Prefix]{
		ratelimit.NewTable[netip.Prefix](ratedPrefixes), ratelimit.NewTable[netip.Prefix](ratedPrefixes)}}
}

// allow counts a request of addr at perSecond requests per second; 0: no limit. It
// says whose share is used up. The household is asked first, so that one of them
// alone cannot use up its network's.
func (l *rateLimit) allow(addr netip.Addr, perSecond float64) netaddr.Bound {
	return l.at(int64(time.Since(l.start)), addr, perSecond)
}

func (l *rateLimit) at(now int64, addr netip.Addr, perSecond float64) netaddr.Bound {
	rate := func(perSecond float64) ratelimit.Rate {
		return ratelimit.Rate{PerSecond: perSecond, Burst: 2 * perSecond}
	}
	switch {
	case !l.prefixes[0].Take(netaddr.Household(addr), now, rate(perSecond)):
		return netaddr.OverHousehold
	case !l.prefixes[1].Take(netaddr.Network(addr), now, rate(perSecond*netaddr.NetworkShare)):
		return netaddr.OverNetwork
	}
	return netaddr.Within
}
