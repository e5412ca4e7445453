package core

import (
	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

// prefixLimit counts what addresses ask for, in a memory that does not grow: spoofed
// sources can push out each other's entries.
type prefixLimit = ratelimit.Table[wire.Endpoint]

func newPrefixLimit() *prefixLimit { return ratelimit.NewTable[wire.Endpoint](limitedPrefixes) }

// aSecondsWorth is a rate of which a second's worth can be saved, or one.
func aSecondsWorth(perSecond float64) ratelimit.Rate {
	return ratelimit.Rate{PerSecond: perSecond, Burst: perSecond}
}
