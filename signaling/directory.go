package signaling

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"turnhub/internal/access"
)

// directory is the state of one node.
type directory struct {
	hub     *Hub
	rooms   rooms
	lobbies lobbies

	mu     sync.Mutex // users, calls and presence
	users  map[string]*user
	byCall map[string]*call
	after  []func() // what is to be done once mu is free, see unlock
}

// unlock frees the mutex and then does what must not be done under it: telling
// the relay, writing the log.
func (d *directory) unlock() {
	after := d.after
	d.after = nil
	d.mu.Unlock()
	for _, f := range after {
		f()
	}
}

func newDirectory(h *Hub) *directory {
	d := &directory{hub: h, users: make(map[string]*user), byCall: make(map[string]*call)}
	d.rooms.init()
	d.lobbies.m = make(map[string][]*visit)
	return d
}

// user is a name: it is there while it has sessions or subscribers.
type user struct {
	name     string
	secret   [sha256.Size]byte
	sessions []*Session
	watchers map[*Session]struct{}
	ringing  []*call   // calls that ring it
	inCall   int       // accepted calls of its sessions
	shown    string    // the presence that its subscribers know
	missedAt time.Time // when its devices were last told of a call that found it busy
}

func (u *user) presence() string {
	switch {
	case len(u.sessions) == 0:
		return "offline"
	case u.inCall > 0:
		return "busy"
	}
	return "online"
}

func (d *directory) user(name string) *user {
	u := d.users[name]
	if u == nil {
		u = &user{name: name, shown: "offline"}
		d.users[name] = u
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
	if len(u.sessions) == 0 && len(u.watchers) == 0 && len(u.ringing) == 0 {
		delete(d.users, u.name)
	}
}

func presence(id []byte, users []string, of func(string) string) body {
	b := append(answer("presence", id, 32*len(users)+16), `,"users":{`...)
	for i, name := range users {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':', '"')
		b = append(append(b, of(name)...), '"')
	}
	return append(b, '}')
}

func (d *directory) enter(s *Session, secret string) *fault {
	if s.user == "" {
		return nil
	}
	hash := sha256.Sum256([]byte(secret))
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[s.user]
	if u != nil && len(u.sessions) > 0 {
		// With an access token the name is proved already: all have secret "".
		if subtle.ConstantTimeCompare(hash[:], u.secret[:]) != 1 {
			return faultf(CodeUserTaken, "another person uses the name %s: choose another, or give the same userSecret", s.user)
		}
		if len(u.sessions) >= maxDevices {
			return faultf(CodeTooMany, "%s has %d sessions already", s.user, maxDevices)
		}
	}
	u = d.user(s.user)
	u.secret = hash
	u.sessions = append(u.sessions, s)
	for _, c := range u.ringing {
		c.ring(s)
	}
	d.show(u)
	return nil
}

func (d *directory) exit(s *Session, reason string) {
	d.leaveLobby(s)
	for _, r := range slices.Clone(s.roomList()) {
		d.quit(s, r, reason)
	}
	d.mu.Lock()
	defer d.unlock()
	d.dropCalls(s, reason)
	for name := range s.subs {
		u := d.users[name]
		delete(u.watchers, s)
		d.show(u)
	}
	s.subs = nil
	if u := d.users[s.user]; u != nil && s.user != "" {
		u.sessions = slices.DeleteFunc(u.sessions, func(o *Session) bool { return o == s })
		d.show(u)
	}
}

func (d *directory) away(s *Session, away bool) {
	typ := "peer-back"
	if away {
		typ = "peer-away"
	}
	b := open(typ, 48).str("peer", s.id)
	told := make(map[*Session]bool)
	tell := func(p *Session) {
		if p != s && !told[p] {
			told[p] = true
			p.push(b)
		}
	}
	for _, r := range s.roomList() {
		r.mu.RLock()
		for _, p := range r.members {
			tell(p)
		}
		r.mu.RUnlock()
	}
	for _, c := range s.callList() {
		tell(c.other(s))
	}
}

// userNames reads the users member.
func userNames(raw []byte) ([]string, *fault) {
	names, ok := textList(raw)
	if !ok {
		return nil, faultf(CodeBadMessage, "users must be a list of strings")
	}
	for _, n := range names {
		if !access.ValidUser(n) {
			return nil, faultf(CodeBadName, "%.70q is no user name", n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (d *directory) subscribe(s *Session, m *message) *fault {
	names, f := userNames(m.users)
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
			return faultf(CodeTooMany, "%s has %d subscribers already", n, maxWatchers)
		}
	}
	if len(s.subs)+fresh > maxSubscriptions {
		return faultf(CodeTooMany, "a session may subscribe to %d users: unsubscribe some first", maxSubscriptions)
	}
	if s.subs == nil {
		s.subs = make(map[string]struct{})
	}
	for _, n := range names {
		u := d.user(n)
		if u.watchers == nil {
			u.watchers = make(map[*Session]struct{})
		}
		u.watchers[s] = struct{}{}
		s.subs[n] = struct{}{}
	}
	s.push(presence(m.id, names, func(n string) string { return d.users[n].presence() }))
	return nil
}

func (d *directory) unsubscribe(s *Session, m *message) *fault {
	names, f := userNames(m.users)
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
	s.ok(m)
	return nil
}

func (d *directory) counts() (rooms, ringing, accepted, users int) {
	rooms = d.rooms.count()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.byCall {
		if c.peer != nil {
			accepted++
		} else {
			ringing++
		}
	}
	for _, u := range d.users {
		if len(u.sessions) > 0 {
			users++
		}
	}
	return rooms, ringing, accepted, users
}
