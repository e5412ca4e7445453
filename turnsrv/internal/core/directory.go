package core

import (
	"iter"
	"net/netip"
	"sync"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/wire"
)

// directory knows all allocations of the server by user and by client address.
// It is where quotas are counted, so that they are exact however many workers
// allocate at once. Only the control path uses it.
type directory struct {
	gateway    *netaddr.Gateway // see Config
	unproved   func(user string) bool
	consumerOf func(user string) (name string, proved bool)

	mu        sync.Mutex
	counts    netaddr.Counts // allocations, counted as in userEntry
	byUser    map[string]*userEntry
	held      map[holder]int // allocations, counted as in userEntry
	elsewhere map[holder]int // likewise, on other nodes; nil: there are none
	usages    map[holder]*usage
	offload   *offload                   // nil: none
	forgotten int64                      // second in which usages were last looked through for some to forget
	byIP      map[wire.Endpoint][]string // the user of each allocation, where its client was seen
}

type userEntry struct {
	count  int // allocations, those under construction and reserved ports included
	allocs []*allocation
}

// holder is who has a user's quota. It names the household too where anybody may call
// themselves by the user name: else whoever knows a name could use up its quota, and have
// its silent allocations ended.
type holder struct {
	user      string
	household netip.Prefix
}

// newDirectory returns an empty directory; its arguments are those of Config.
func newDirectory(unproved func(user string) bool, consumer func(user string) (name string, proved bool)) *directory {
	return &directory{
		unproved: unproved, consumerOf: consumer,
		byUser: make(map[string]*userEntry), held: make(map[holder]int), usages: make(map[holder]*usage), byIP: make(map[wire.Endpoint][]string),
	}
}

func (d *directory) holder(user string, client wire.Endpoint) holder {
	if d.unproved != nil && d.unproved(user) {
		return holder{user, netaddr.Household(client.Addr())}
	}
	return holder{user: user}
}

// reserve counts n more allocations, or says which quota refuses them. Where a
// quota would refuse them, the user's own allocations that have been silent make
// room, longest first: those that a phone has left behind in another network would
// else keep it from a relay until they expire. They are no longer counted; the
// caller ends them.
func (d *directory) reserve(user string, client wire.Endpoint, n int, limits *Limits, now int64) (refused quota, replaced []*allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	self := d.holder(user, client)
	for {
		refused = d.fits(self, client, n, limits)
		if refused == within || len(replaced) == n {
			return refused, replaced
		}
		a := d.byUser[user].silent(now, func(a *allocation) bool {
			return refused.frees(a.client.Addr, client) && d.holder(user, a.client.Addr) == self
		})
		if a == nil {
			return refused, replaced
		}
		d.forget(a)
		replaced = append(replaced, a)
	}
}

// silent returns the allocation that has been silent longest, of those that would
// help, or nil.
func (u *userEntry) silent(now int64, helps func(*allocation) bool) (longest *allocation) {
	if u == nil {
		return nil
	}
	least := now - silence + 1
	for _, a := range u.allocs {
		if active := a.lastActive(); active < least && helps(a) {
			longest, least = a, active
		}
	}
	return longest
}

// fits counts n more allocations, or says which quota refuses them.
func (d *directory) fits(self holder, client wire.Endpoint, n int, limits *Limits) quota {
	if limits.AllocationsPerUser > 0 && d.held[self]+d.elsewhere[self]+n > limits.AllocationsPerUser {
		return overUser
	}
	switch d.counts.Add(client.Addr(), n, netaddr.Share{Household: limits.AllocationsPerIP * d.gateway.Times(client.Addr()), Total: limits.AllocationsTotal}) {
	case netaddr.OverTotal:
		return overTotal
	case netaddr.OverHousehold:
		return overAddress
	case netaddr.OverNetwork:
		return overNetwork
	}
	u := d.byUser[self.user]
	if u == nil {
		u = new(userEntry)
		d.byUser[self.user] = u
	}
	u.count += n
	d.held[self] += n
	return within
}

// quota names the limit that refuses an allocation, as a metric's label.
type quota string

const (
	within      quota = ""
	overUser    quota = "user"
	overAddress quota = "address"
	overNetwork quota = "network"
	overTotal   quota = "total"
)

// frees reports whether the end of an allocation of a client at one address makes
// room under this quota for a client at another.
func (q quota) frees(old, client wire.Endpoint) bool {
	switch q {
	case overAddress:
		return netaddr.Household(old.Addr()) == netaddr.Household(client.Addr())
	case overNetwork:
		return netaddr.Network(old.Addr()) == netaddr.Network(client.Addr())
	}
	return true
}

// cancel gives back what reserve counted.
func (d *directory) cancel(user string, client wire.Endpoint, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release(user, client, n)
}

func (d *directory) release(user string, client wire.Endpoint, n int) {
	d.counts.Remove(client.Addr(), n)
	if u := d.byUser[user]; u != nil {
		if u.count -= n; u.count == 0 {
			delete(d.byUser, user)
		}
	}
	self := d.holder(user, client)
	if d.held[self] -= n; d.held[self] == 0 {
		delete(d.held, self)
	}
}

// add enters an allocation that was reserved.
func (d *directory) add(a *allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.byUser[a.user]
	u.allocs = append(u.allocs, a)
	a.counted = true
	d.use(a)
	if ip, seen := a.client.seenAt(); seen {
		d.byIP[ip] = append(d.byIP[ip], a.user)
	}
}

// remove takes an allocation out and gives back its reservation.
func (d *directory) remove(a *allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.counted {
		d.forget(a)
	}
}

func (d *directory) forget(a *allocation) {
	a.counted = false
	d.unuse(a)
	if u := d.byUser[a.user]; u != nil {
		for i, other := range u.allocs {
			if other == a {
				last := len(u.allocs) - 1
				u.allocs[i] = u.allocs[last]
				u.allocs[last] = nil
				u.allocs = u.allocs[:last]
				break
			}
		}
	}
	d.leave(a)
	d.release(a.user, a.client.Addr, 1)
}

// leave takes an allocation from where its client was seen.
func (d *directory) leave(a *allocation) {
	ip, seen := a.client.seenAt()
	if !seen {
		return
	}
	users := d.byIP[ip]
	for i, user := range users {
		if user == a.user {
			last := len(users) - 1
			users[i] = users[last]
			d.byIP[ip] = users[:last]
			break
		}
	}
	if len(d.byIP[ip]) == 0 {
		delete(d.byIP, ip)
	}
}

// of returns the allocations of a user.
func (d *directory) of(user string) []*allocation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.byUser[user]; u != nil {
		return append([]*allocation(nil), u.allocs...)
	}
	return nil
}

// which returns the allocations that want is true for.
func (d *directory) which(want func(*allocation) bool) (found []*allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.byUser {
		for _, a := range u.allocs {
			if want(a) {
				found = append(found, a)
			}
		}
	}
	return found
}

// clientsAt yields the users whose clients this server has seen at an address.
func (d *directory) clientsAt(addr netip.Addr) iter.Seq[string] {
	return func(yield func(string) bool) {
		d.mu.Lock()
		users := append([]string(nil), d.byIP[wire.EndpointIP(addr)]...)
		d.mu.Unlock()
		for _, u := range users {
			if !yield(u) {
				return
			}
		}
	}
}
