package core

import (
	"net/netip"

	"turnhub/internal/netaddr"
)

// Limits may hold for several servers together: each tells the others what users and
// addresses have of it that is worth counting, and counts what the others tell.

// Held is what users and addresses have of a server's limits.
type Held struct {
	Users     []Holding            // allocations by user
	Addresses map[netip.Prefix]int // allocations by household and by wider network
	Volumes   []Volume             // what users have had of the day's volume
}

// Holding is how many allocations a user has; where names prove nothing, from a household.
type Holding struct {
	User        string
	Household   netip.Prefix
	Allocations int
}

const (
	// unsaid is the part of a limit below which is not told what somebody has of it.
	unsaid = 8
	// maxTellers is how many servers are remembered that have told of one user's volume.
	maxTellers = 64
	// maxForeign bounds what is believed of them all, in bytes: no sum overflows.
	maxForeign = 1 << 60
	// windowSlack is by how many seconds what two servers say of the beginning of one window
	// may differ: they count in whole ones, and tell it with a delay.
	windowSlack = 10
)

// Held returns what is held of this server by those who have an eighth of a limit at least.
func (s *Shared) Held() (h Held) {
	l, now, d := s.limits.Load(), s.Clock()/1e9, s.directory
	if l.AllocationsPerIP > 0 {
		h.Addresses = d.counts.Most(part(l.AllocationsPerIP))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.AllocationsPerUser > 0 {
		for who, n := range d.held {
			if n >= part(l.AllocationsPerUser) {
				h.Users = append(h.Users, Holding{who.user, who.household, n})
			}
		}
	}
	if l.VolumePerUserDay > 0 {
		for who, u := range d.usages {
			if own, age := u.ownVolume(), now-u.Began.Load(); own >= l.VolumePerUserDay/unsaid && own > 0 && age < volumeWindow {
				h.Volumes = append(h.Volumes, Volume{who.user, who.household, own, age})
			}
		}
	}
	return h
}

// part is the least of a limit that is told.
func part(limit int) int { return max((limit+unsaid-1)/unsaid, 1) }

// SetElsewhere replaces what is known of other servers, by their names. What one has told of
// the day's volume stays counted for the day: it has been relayed.
func (s *Shared) SetElsewhere(servers map[string]Held) {
	var users map[holder]int
	var addresses netaddr.Elsewhere
	if len(servers) > 0 {
		users, addresses = make(map[holder]int), make(netaddr.Elsewhere)
	}
	d := s.directory
	for _, h := range servers {
		for _, x := range h.Users {
			users[holder{x.User, x.Household}] += x.Allocations
		}
		for p, n := range h.Addresses {
			addresses[p] += n
		}
	}
	d.counts.SetElsewhere(addresses)
	limited, now := s.limits.Load().VolumePerUserDay > 0, s.Clock()/1e9
	d.mu.Lock()
	defer d.mu.Unlock()
	d.elsewhere = users
	if !limited {
		return
	}
	for server, h := range servers {
		for _, v := range h.Volumes {
			who := holder{v.User, v.Household}
			if d.usages[who] == nil && len(d.usages) >= maxUsages {
				if d.forgetUsages(now); len(d.usages) >= maxUsages {
					continue
				}
			}
			d.entry(who, now).hear(server, v, now)
		}
	}
}

// ownVolume is what of the volume was relayed here.
func (u *usage) ownVolume() int64 {
	own := u.Volume.Load()
	if u.foreignOf == u.Began.Load() { // else a new window has begun since
		own -= u.foreign
	}
	return max(own, 0)
}

// teller is what another server has told of a user's volume: the bytes, and when their window
// began by this server's clock, in seconds.
type teller struct{ bytes, began int64 }

// hear counts what another server has relayed since it was last heard. That is all of it
// where its window is a new one, or it has lost the count in an untimely end.
func (u *usage) hear(server string, v Volume, now int64) {
	last, known := u.tellers[server]
	if !known && len(u.tellers) >= maxTellers {
		return
	}
	began := now - v.Age
	v.Bytes = min(v.Bytes, maxForeign)
	more := v.Bytes - last.bytes
	if !known || began > last.began+windowSlack || v.Bytes < last.bytes/2 {
		more = v.Bytes
	}
	if more <= 0 {
		return
	}
	if u.tellers == nil {
		u.tellers = make(map[string]teller)
	}
	u.tellers[server] = teller{v.Bytes, began}
	v.Bytes = more
	u.add(v, now)
	if began := u.Began.Load(); u.foreignOf != began {
		u.foreign, u.foreignOf = 0, began
	}
	u.foreign += more
	if over := u.foreign - maxForeign; over > 0 {
		u.Volume.Add(-over)
		u.foreign = maxForeign
	}
}
