package turnsrv

import (
	"iter"
	"net/netip"
	"sync"

	"turnhub/internal/netaddr"
)

// directory knows all allocations of the server by user and by client address.
// It is where quotas are counted, so that they are exact however many workers
// allocate at once. Only the control path uses it.
type directory struct {
	mu     sync.Mutex
	counts netaddr.Counts // allocations, counted as in userEntry
	byUser map[string]*userEntry
	byIP   map[endpoint][]string // the user of each allocation
}

type userEntry struct {
	count  int // allocations, those under construction and reserved ports included
	allocs []*allocation
}

func newDirectory() *directory {
	return &directory{byUser: make(map[string]*userEntry), byIP: make(map[endpoint][]string)}
}

// reserve counts n more allocations, or says which quota refuses them.
func (d *directory) reserve(user string, client endpoint, n int, limits *Limits) (refused string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.byUser[user]
	if limits.AllocationsPerUser > 0 && u.held()+n > limits.AllocationsPerUser {
		return "user"
	}
	switch d.counts.Add(client.addr(), n, netaddr.Share{Household: limits.AllocationsPerIP, Total: limits.AllocationsTotal}) {
	case netaddr.OverTotal:
		return "total"
	case netaddr.OverHousehold:
		return "address"
	case netaddr.OverNetwork:
		return "network"
	}
	if u == nil {
		u = new(userEntry)
		d.byUser[user] = u
	}
	u.count += n
	return ""
}

func (u *userEntry) held() int {
	if u == nil {
		return 0
	}
	return u.count
}

// cancel gives back what reserve counted.
func (d *directory) cancel(user string, client endpoint, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release(user, client, n)
}

func (d *directory) release(user string, client endpoint, n int) {
	d.counts.Remove(client.addr(), n)
	if u := d.byUser[user]; u != nil {
		if u.count -= n; u.count == 0 {
			delete(d.byUser, user)
		}
	}
}

// add enters an allocation that was reserved.
func (d *directory) add(a *allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.byUser[a.user]
	u.allocs = append(u.allocs, a)
	ip := a.client.addr.ip()
	d.byIP[ip] = append(d.byIP[ip], a.user)
}

// remove takes an allocation out and gives back its reservation.
func (d *directory) remove(a *allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
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
	ip := a.client.addr.ip()
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
	d.release(a.user, a.client.addr, 1)
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

// clientsAt yields the users whose clients' packets come from an address.
func (d *directory) clientsAt(addr netip.Addr) iter.Seq[string] {
	return func(yield func(string) bool) {
		d.mu.Lock()
		users := append([]string(nil), d.byIP[endpointIP(addr)]...)
		d.mu.Unlock()
		for _, u := range users {
			if !yield(u) {
				return
			}
		}
	}
}
