package signaling

import "sync"

// departed are the sessions that have ended while the hub was going down. In the old
// process of an upgrade their allocations may go on, under names that nobody but
// the hub can tell the users of.
type departed struct {
	mu    sync.Mutex
	going bool // the hub is going down
	count int
	users map[string][]string // ids by user
}

// begin says whether the hub is going down.
func (d *departed) begin(going bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.going = going
}

// of returns the sessions of a user, and forgets them.
func (d *departed) of(user string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := d.users[user]
	delete(d.users, user)
	d.count -= len(ids)
	return ids
}

// add is told of a session that ends.
func (d *departed) add(s *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.going || s.user == "" || d.count >= maxDeparted {
		return
	}
	if d.users == nil {
		d.users = make(map[string][]string)
	}
	for _, user := range append([]string{s.user}, s.inviters...) {
		d.users[user] = append(d.users[user], s.id)
		d.count++
	}
}
