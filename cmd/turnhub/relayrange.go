package main

import (
	"time"

	"turnhub/internal/config"
	"turnhub/turnsrv"
)

// reachedFor is how long relay.range: auto takes the ports for open after a packet from
// outside has shown that they are.
const reachedFor = time.Hour

var relayFamilies = []turnsrv.Family{turnsrv.IPv4, turnsrv.IPv6}

// relayRange says for each address family that the relay has, as "ipv4" and "ipv6",
// whether its ports can be reached from outside, as config.RangeOpen or RangeClosed.
func (n *node) relayRange() map[string]string {
	said := *n.rangeSaid.Load()
	ranges := make(map[string]string, 2)
	for _, r := range n.addresses.Relay() {
		family, name := turnsrv.IPv6, "ipv6"
		if r.Advertise.Unmap().Is4() {
			family, name = turnsrv.IPv4, "ipv4"
		}
		ranges[name] = rangeNow(said, n.turn.Reached(family))
	}
	return ranges
}

// rangeNow is what relay.range comes to. ago is turnsrv.Server.Reached.
func rangeNow(said string, ago time.Duration) string {
	switch {
	case said != config.RangeAuto:
		return said
	case ago >= 0 && ago < reachedFor:
		return config.RangeOpen
	}
	return config.RangeClosed
}

// reached is what a successor is told of it.
func (n *node) reached() map[turnsrv.Family]time.Duration {
	all := make(map[turnsrv.Family]time.Duration)
	for _, f := range relayFamilies {
		if ago := n.turn.Reached(f); ago >= 0 {
			all[f] = ago
		}
	}
	return all
}
