package turnsrv

import "turnhub/internal/ratelimit"

// prefixLimit counts what addresses ask for, in a memory that does not grow: spoofed
// sources can push out each other's entries.
type prefixLimit = ratelimit.Table[endpoint]

// limitedPrefixes is of how many prefixes is known what they have asked for.
const limitedPrefixes = 1 << 14

func newPrefixLimit() *prefixLimit { return ratelimit.NewTable[endpoint](limitedPrefixes) }

// aSecondsWorth is a rate of which a second's worth can be saved, or one.
func aSecondsWorth(perSecond float64) ratelimit.Rate {
	return ratelimit.Rate{PerSecond: perSecond, Burst: perSecond}
}

// network is the IPv4 /24 or IPv6 /48 of an endpoint.
func (e endpoint) network() endpoint {
	n := e.ip()
	if e.is4() {
		n.lo &^= 0xff
	} else {
		n.hi &^= 0xffff
		n.lo = 0
	}
	return n
}

// household is the IPv4 address or IPv6 /64 of an endpoint, see netaddr.Household.
func (e endpoint) household() endpoint {
	h := e.ip()
	if !e.is4() {
		h.lo = 0
	}
	return h
}
