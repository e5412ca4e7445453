package main

import (
	"net/netip"

	"turnhub/cluster"
	"turnhub/internal/netaddr"
	"turnhub/signaling"
	"turnhub/turnsrv"
)

// What nodes tell each other of limits, see cluster.Held.
const (
	heldUser      = "user"     // allocations of a user
	heldAddress   = "address"  // of a household or a wider network
	heldVolume    = "volume"   // bytes of the day
	heldSockets   = "sockets"  // of signaling, of a household or a wider network
	heldSessions  = "sessions" // likewise
	maxHeldCounts = 1 << 24    // of any of them but bytes on one node: more than can be
)

// shareLimits has the limits by user and by address count over all nodes.
func (n *node) shareLimits() { n.cluster.ShareHeld(n.heldHere, n.heldElsewhere) }

// heldHere is what users and addresses have of the limits on this node.
func (n *node) heldHere() (all []cluster.Held) {
	limits := n.settings().Limits
	relay := n.turn.Held()
	for _, u := range relay.Users {
		all = append(all, held(heldUser, u.User, u.Household, u.Allocations, limits.AllocationsPerUser))
	}
	for _, v := range relay.Volumes {
		h := held(heldVolume, v.User, v.Household, 0, 0)
		h.N, h.Age, h.Share = v.Bytes, v.Age, float64(v.Bytes)/float64(max(limits.VolumePerUserDay, 1))
		all = append(all, h)
	}
	sockets, sessions := n.hub.Held()
	for _, x := range []struct {
		what  string
		by    map[netip.Prefix]int
		limit int
	}{{heldAddress, relay.Addresses, limits.AllocationsPerIP}, {heldSockets, sockets, limits.ConnectionsPerIP}, {heldSessions, sessions, limits.ConnectionsPerIP * signaling.SessionsPerSocket}} {
		for at, count := range x.by {
			limit := x.limit
			if netaddr.IsNetwork(at) {
				limit *= netaddr.NetworkShare
			}
			all = append(all, held(x.what, "", at, count, limit))
		}
	}
	return all
}

func held(what, user string, at netip.Prefix, count, limit int) cluster.Held {
	return cluster.Held{What: what, User: user, At: at, N: int64(count), Share: float64(count) / float64(max(limit, 1))}
}

// heldElsewhere takes in what the other nodes say.
func (n *node) heldElsewhere(byNode map[string][]cluster.Held) {
	relays := make(map[string]turnsrv.Held, len(byNode))
	sockets, sessions := make(netaddr.Elsewhere), make(netaddr.Elsewhere)
	for node, all := range byNode {
		relay := turnsrv.Held{Addresses: make(map[netip.Prefix]int)}
		for _, h := range all {
			if h.What == heldVolume {
				relay.Volumes = append(relay.Volumes, turnsrv.Volume{User: h.User, Household: h.At, Bytes: h.N, Age: h.Age})
				continue
			}
			if h.N > maxHeldCounts {
				continue
			}
			count := int(h.N)
			switch h.What {
			case heldUser:
				relay.Users = append(relay.Users, turnsrv.Holding{User: h.User, Household: h.At, Allocations: count})
			case heldAddress:
				relay.Addresses[h.At] += count
			case heldSockets:
				sockets[h.At] += count
			case heldSessions:
				sessions[h.At] += count
			}
		}
		relays[node] = relay
	}
	n.turn.SetElsewhere(relays)
	n.hub.SetElsewhere(sockets, sessions)
}
