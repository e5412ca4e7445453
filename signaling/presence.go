package signaling

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
)

// user is a name: it is there while it has sessions or subscribers.
type user struct {
	name     string
	secret   [sha256.Size]byte
	sessions []*member
	watchers map[*member]struct{}
	ringing  []*call    // calls that ring it
	inCall   int        // accepted calls of its sessions on this node
	shown    string     // the presence that its subscribers know
	missedAt time.Time  // when its devices were last told of a call that found it busy
	across   *nameParts // nil: there are no other nodes
}

// states are those of presence, the least first.
var states = []string{"offline", "online", "busy"}

// presence is what the user's subscribers are told: while those who were on a node that has
// died may come back elsewhere, no less than before.
func (u *user) presence() string {
	now := 0
	switch {
	case len(u.sessions) > 0 && u.busy():
		now = 2
	case len(u.sessions) > 0:
		now = 1
	}
	if a := u.across; a != nil {
		now = max(now, slices.Index(states, a.lately))
	}
	return states[now]
}

func (d *directory) user(name string) *user {
	u := d.users[name]
	if u == nil {
		u = d.newUser(name)
		if d.nodes != nil {
			d.seek(u)
		}
	}
	return u
}

// newUser makes one, whom the other nodes are not asked about yet.
func (d *directory) newUser(name string) *user {
	u := &user{name: name, shown: "offline"}
	d.users[name] = u
	if d.nodes != nil {
		u.across = &nameParts{self: d.nodes.self, told: make(map[*peer]struct{}), parts: make(map[*peer]*namePart), missing: make(map[*peer]struct{})}
	}
	return u
}

// show tells the subscribers of a change, and forgets a user whom nobody needs.
func (d *directory) show(u *user) {
	if now := u.presence(); now != u.shown {
		u.shown = now
		b := presence(nil, []string{u.name}, func(string) string { return now })
		for s := range u.watchers {
			s.push(b)
		}
	}
	if a := u.across; a != nil && len(a.untold) > 0 && u.known() && !d.unsure() {
		for _, s := range a.untold {
			if _, watches := u.watchers[s]; watches {
				s.push(presence(nil, []string{u.name}, func(string) string { return u.shown }))
			}
		}
		a.untold = nil
	}
	d.spare(u)
}

// spare forgets a user whom nobody here needs.
func (d *directory) spare(u *user) {
	if u == nil || u.needed() || d.users[u.name] != u {
		return
	}
	delete(d.users, u.name)
	if u.across != nil {
		d.forgetName(u)
	}
}

// nobody reports whether a user has no device that s can call.
func (d *directory) nobody(u *user, s *member) bool {
	return u == nil || u.known() && !d.unsure() && !slices.ContainsFunc(u.sessions, func(o *member) bool { return o != s })
}

func presence(id []byte, users []string, of func(string) string) wire.Object {
	b := append(wire.Answer("presence", id, 32*len(users)+16), `,"users":{`...)
	for i, name := range users {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(wire.AppendString(b, name), ':', '"')
		b = append(append(b, of(name)...), '"')
	}
	return append(b, '}')
}

// userNames reads the users member.
func userNames(raw []byte) ([]string, *wire.Fault) {
	names, ok := wire.TextList(raw)
	if !ok {
		return nil, wire.Faultf(wire.CodeBadMessage, "users must be a list of strings")
	}
	for _, n := range names {
		if !access.ValidUser(n) {
			return nil, wire.Faultf(wire.CodeBadName, "%.70q is not a user name", n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (d *directory) subscribe(s *member, m *wire.Message) *wire.Fault {
	names, f := userNames(m.Users)
	if f != nil {
		return f
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := 0
	for _, n := range names {
		if _, known := s.subs[n]; known {
			continue
		}
		fresh++
		if u := d.users[n]; u != nil && len(u.watchers) >= maxWatchers {
			return wire.Faultf(wire.CodeTooMany, "%s has %d subscribers already", n, maxWatchers)
		}
	}
	if len(s.subs)+fresh > maxSubscriptions {
		return wire.Faultf(wire.CodeTooMany, "a session may subscribe to %d users: unsubscribe some first", maxSubscriptions)
	}
	if s.subs == nil {
		s.subs = make(map[string]struct{})
	}
	for _, n := range names {
		u := d.user(n)
		if u.watchers == nil {
			u.watchers = make(map[*member]struct{})
		}
		u.watchers[s] = struct{}{}
		s.subs[n] = struct{}{}
	}
	d.hub.second.more(s.ref)
	s.push(presence(m.ID, names, func(n string) string { return d.users[n].presence() }))
	return nil
}

func (d *directory) unsubscribe(s *member, m *wire.Message) *wire.Fault {
	names, f := userNames(m.Users)
	if f != nil {
		return f
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range names {
		if _, known := s.subs[n]; known {
			delete(s.subs, n)
			u := d.users[n]
			delete(u.watchers, s)
			d.show(u)
		}
	}
	d.hub.second.more(s.ref)
	s.ok(m)
	return nil
}

// enter claims the user name of a session, if it has one.
func (d *directory) enter(s *member, secret string) *wire.Fault {
	if s.user == "" {
		return nil
	}
	hash := sha256.Sum256([]byte(secret))
	d.mu.Lock()
	defer d.unlock()
	u := d.users[s.user]
	if u != nil {
		// With an access token the name is proved already: all have secret "".
		if len(u.own()) > 0 && subtle.ConstantTimeCompare(hash[:], u.secret[:]) != 1 || u.rivalled(hash[:]) {
			return wire.Faultf(wire.CodeUserTaken, "another person uses the name %s: choose another, or give the same userSecret", s.user)
		}
		if len(u.sessions) >= maxDevices {
			return wire.Faultf(wire.CodeTooMany, "%s has %d sessions already", s.user, maxDevices)
		}
	}
	if f := d.keeps(s, hash); f != nil {
		return f
	}
	u = d.user(s.user)
	u.secret = hash
	if u.across != nil {
		d.claimed(u, s)
	} else {
		u.appear(s)
		d.show(u)
	}
	d.tellMissed(s)
	return nil
}
