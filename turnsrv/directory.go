package turnsrv

import (
	"iter"
	"net/netip"
	"sync"
)

// directory knows all allocations of the server by user and by client address.
// It is where quotas are counted, so that they are exact however many workers
// allocate at once. Only the control path uses it.
type directory struct {
	mu     sync.Mutex
	total  int
	byUser map[string]*userEntry
	byIP   map[endpoint]*addressEntry
}

type userEntry struct {
	count  int // allocations, those under construction included
	allocs []*allocation
}

type addressEntry struct {
	count int
	users []string // one for each allocation
}

func newDirectory() *directory {
	return &directory{byUser: make(map[string]*userEntry), byIP: make(map[endpoint]*addressEntry)}
}

// reserve counts one more allocation, or says which quota refuses it.
func (d *directory) reserve(user string, client endpoint, limits *Limits) (refused string) {
	ip := client.ip()
	d.mu.Lock()
	defer d.mu.Unlock()
	u, a := d.byUser[user], d.byIP[ip]
	switch {
	case limits.AllocationsTotal > 0 && d.total >= limits.AllocationsTotal:
		return "total"
	case limits.AllocationsPerUser > 0 && u != nil && u.count >= limits.AllocationsPerUser:
		return "user"
	case limits.AllocationsPerIP > 0 && a != nil && a.count >= limits.AllocationsPerIP:
		return "address"
	}
	if u == nil {
		u = new(userEntry)
		d.byUser[user] = u
	}
	if a == nil {
		a = new(addressEntry)
		d.byIP[ip] = a
	}
	d.total++
	u.count++
	a.count++
	return ""
}

// cancel gives back what reserve counted.
func (d *directory) cancel(user string, client endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release(user, client.ip())
}

func (d *directory) release(user string, ip endpoint) {
	d.total--
	if u := d.byUser[user]; u != nil {
		if u.count--; u.count == 0 {
			delete(d.byUser, user)
		}
	}
	if a := d.byIP[ip]; a != nil {
		if a.count--; a.count == 0 {
			delete(d.byIP, ip)
		}
	}
}

// add enters an allocation that was reserved.
func (d *directory) add(a *allocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.byUser[a.user]
	u.allocs = append(u.allocs, a)
	ip := d.byIP[a.client.addr.ip()]
	ip.users = append(ip.users, a.user)
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
	if e := d.byIP[ip]; e != nil {
		for i, user := range e.users {
			if user == a.user {
				last := len(e.users) - 1
				e.users[i] = e.users[last]
				e.users = e.users[:last]
				break
			}
		}
	}
	d.release(a.user, ip)
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
		var users []string
		if e := d.byIP[endpointIP(addr)]; e != nil {
			users = append(users, e.users...)
		}
		d.mu.Unlock()
		for _, u := range users {
			if !yield(u) {
				return
			}
		}
	}
}
