package signaling

import (
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"turnhub/signaling/internal/timers"
)

// The sessions of a user may be on several nodes, as those of a room. Whoever has one, or
// wants to know of one, on a node is that node's part of the name, and the nodes with a part
// tell each other all of theirs at each change. They find each other at the node that the
// name's hash chooses among those that live (rendezvous hashing), which is needed for
// nothing else: when it dies they meet at another one and go on meanwhile.
//
// Where access.mode is open, a name belongs to whoever took it first. No node waits for
// another to welcome somebody: the session is there at once, but nobody sees or rings it
// before all others that have the name have been heard, and who then proves to have come
// later ends with user-taken.

// seekLook times seekLooks is after which time a node goes by what it knows of a name: later than
// one that says nothing any more counts as gone, and those with the name meet at another one.
const (
	seekLook  = time.Second
	seekLooks = 5
)

// namePrefix is what meetings about names have in front of them; no room begins with it.
const namePrefix = "u/"

func isName(meeting string) (user string, is bool) { return strings.CutPrefix(meeting, namePrefix) }

// nameParts is what a user has where there are other nodes. Under directory.mu.
type nameParts struct {
	self    string              // this node
	home    string              // the node where those with the name meet; empty: this one
	told    map[*peer]struct{}  // who knows what is here
	parts   map[*peer]*namePart // what they have
	missing map[*peer]struct{}  // who has a part that has not come yet
	listed  bool                // it is known who has one
	late    timers.Timer        // after which what is known has to do
	enough  bool                // it has fired
	own     []*member           // the sessions here; they are among user.sessions while firm
	stamp   uint64              // when the name was claimed here, milliseconds since 1970
	firm    bool                // and that nobody else has it
	yielded bool                // it was firm, and another claim is older
	lately  string              // presence when a node died that had a part, while directory.unsure
	talks   int                 // accepted calls of this node's with sessions on others
	untold  []*member           // subscribers who have moved here, and hear once all are known again
}

// namePart is what another node has of a name.
type namePart struct {
	proof  []byte // of the secret; nil: no session
	stamp  uint64
	firm   bool
	busy   int
	people map[*member]bool // whether it is to be seen
}

// nameClaim is a namePart on its way, in partFrame. The people are beside it.
type nameClaim struct {
	Proof []byte `json:"proof,omitempty"`
	Stamp uint64 `json:"stamp,omitempty"`
	Firm  bool   `json:"firm,omitempty"`
	Busy  int    `json:"busy,omitempty"`
}

// own returns the user's sessions on this node.
func (u *user) own() []*member {
	if u.across == nil {
		return u.sessions
	}
	return u.across.own
}

// busy reports whether the user is in an accepted call, on whatever node.
func (u *user) busy() bool {
	n := u.inCall
	if u.across != nil {
		for _, part := range u.across.parts {
			n += part.busy
		}
	}
	return n > 0
}

// known reports whether all sessions of the user are known.
func (u *user) known() bool {
	return u.across == nil || u.across.enough || u.across.listed && len(u.across.missing) == 0
}

// needed reports whether this node has to know of the user.
func (u *user) needed() bool {
	return len(u.own()) > 0 || len(u.watchers) > 0 || len(u.ringing) > 0 || u.inCall > 0 || u.across != nil && u.across.talks > 0
}

// homeOf returns the node at which those who have a name meet; empty: this one.
func (x *nodes) homeOf(meeting string) string {
	weight := func(node string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(meeting + " " + node))
		// The last bytes of FNV reach only some bits: mixed as MurmurHash3 ends.
		n := h.Sum64()
		n = (n ^ n>>33) * 0xff51afd7ed558ccd
		n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
		return n ^ n>>33
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	home, name, most := "", x.self, weight(x.self)
	for node := range x.by {
		if w := weight(node); w > most || w == most && node < name {
			home, name, most = node, node, w
		}
	}
	return home
}

// seek asks who else has a part of a name.
func (d *directory) seek(u *user) {
	a, meeting := u.across, namePrefix+u.name
	home := d.nodes.homeOf(meeting)
	if a.home != "" && a.home != home {
		if p := d.nodes.get(a.home); p != nil {
			p.say(kindUnmeet, partFrame{Room: meeting})
		}
	}
	a.home, a.listed, a.enough = home, false, false
	clear(a.missing)
	if p := d.nodes.get(home); p != nil {
		p.say(kindMeet, partFrame{Room: meeting})
	} else {
		a.listed = true
		for _, p := range d.nodes.whoMet(meeting) {
			d.expect(u, p)
		}
	}
	if !u.known() {
		last, left := d.hub.now(), seekLooks
		a.late.Fire = func(now time.Time) {
			d.mu.Lock()
			defer d.unlock()
			if now.Sub(last) < 2*seekLook { // else this node has stood still, and has still to hear what it was told
				left--
			}
			if last = now; left > 0 {
				d.hub.timers.Set(&a.late, now.Add(seekLook))
				return
			}
			a.enough = true
			d.weigh(u)
		}
		d.hub.timers.Set(&a.late, last.Add(seekLook))
	}
}

// expect is told that another node has a part of a name.
func (d *directory) expect(u *user, p *peer) {
	if p.lost.Load() {
		return
	}
	a := u.across
	if _, has := a.parts[p]; !has {
		a.missing[p] = struct{}{}
	}
	d.shareName(u, p)
}

// shareName tells another node what is here of a name, unless it has been told.
func (d *directory) shareName(u *user, p *peer) {
	a := u.across
	if _, knows := a.told[p]; knows || p.lost.Load() {
		return
	}
	a.told[p] = struct{}{}
	p.say(kindPart, a.frame(u))
}

// tellNames tells all other nodes that have a part of a name what is here now. gone has
// left, for that reason; nil: nobody has.
func (d *directory) tellNames(u *user, gone *member, reason string) {
	if u.across == nil || len(u.across.told) == 0 {
		return
	}
	m := u.across.frame(u)
	if gone != nil {
		m.Ref, m.Reason = gone.ref, reason
	}
	for p := range u.across.told {
		p.say(kindPart, m)
	}
}

// frame says what is here of a name.
func (a *nameParts) frame(u *user) partFrame {
	m := partFrame{Room: namePrefix + u.name, Claim: &nameClaim{Busy: u.inCall}}
	if len(a.own) == 0 {
		return m
	}
	m.Claim.Proof, m.Claim.Stamp, m.Claim.Firm = u.secret[:], a.stamp, a.firm
	for _, s := range a.own {
		p := s.person(0)
		p.Hidden = !a.firm
		m.People = append(m.People, p)
	}
	return m
}

// metName answers a node that has asked who else has a part of a name.
func (d *directory) metName(p *peer, user string, others []*peer) {
	m := partFrame{Room: namePrefix + user}
	for _, o := range others {
		m.Nodes = append(m.Nodes, o.name)
	}
	d.mu.Lock()
	defer d.unlock()
	if u := d.users[user]; u != nil {
		m.Nodes = append(m.Nodes, d.nodes.self)
		d.shareName(u, p)
	}
	p.say(kindMet, m)
}

// nameListed is told by the node where those with a name meet who they are.
func (d *directory) nameListed(p *peer, user string, names []string) {
	d.mu.Lock()
	defer d.unlock()
	u := d.users[user]
	if u == nil || u.across.home != p.name {
		return
	}
	u.across.listed = true
	for _, name := range names {
		if o := d.nodes.get(name); o != nil {
			d.expect(u, o)
		}
	}
	d.weigh(u)
}

// nameAlso is told of one more node that has a part of a name.
func (d *directory) nameAlso(o *peer, user string) {
	d.mu.Lock()
	defer d.unlock()
	if u := d.users[user]; u != nil {
		d.expect(u, o)
	} else {
		o.say(kindUnpart, partFrame{Room: namePrefix + user})
	}
}

// nameFrom is told what another node has of a name.
func (d *directory) nameFrom(p *peer, user string, m *partFrame) {
	d.mu.Lock()
	defer d.unlock()
	u := d.users[user]
	if u == nil || m.Claim == nil {
		p.say(kindUnpart, partFrame{Room: m.Room})
		return
	}
	d.shareName(u, p)
	a := u.across
	old := a.parts[p]
	part := &namePart{proof: m.Claim.Proof, stamp: m.Claim.Stamp, firm: m.Claim.Firm, busy: max(0, m.Claim.Busy), people: make(map[*member]bool)}
	for _, o := range m.People[:min(len(m.People), maxDevices)] {
		if s := p.admit(o); s != nil && s.user == user {
			part.people[s] = !o.Hidden
		} else if s != nil {
			s.release()
		}
	}
	a.parts[p] = part
	delete(a.missing, p)
	var unheard []*member // whose calls find the user busy before they have rung
	if part.busy > 0 {
		for _, c := range u.ringing {
			if c.owner == nil && len(c.rung) == 0 {
				unheard = append(unheard, c.caller)
			}
		}
		u.occupied()
	}
	d.stillThere(u, p, part)
	for s, seen := range part.people {
		if at := slices.Index(u.sessions, s); seen && at < 0 {
			u.appear(s)
		} else if !seen && at >= 0 {
			d.disappear(u, s)
		}
	}
	if old != nil {
		d.lose(u, old, part, m)
	}
	for _, caller := range unheard {
		u.missed(caller, d.hub.now())
	}
	d.weigh(u)
}

// lose gives up what a node has said before of a name. m is what it says now; nil: nothing.
func (d *directory) lose(u *user, old, now *namePart, m *partFrame) {
	for s := range old.people {
		still := false
		if now != nil {
			_, still = now.people[s]
		}
		if !still {
			reason := "lost"
			if m != nil && m.Reason != "" && m.Ref == s.there {
				reason = m.Reason
			}
			u.sessions = slices.DeleteFunc(u.sessions, func(o *member) bool { return o == s })
			d.dropCalls(s, reason)
		}
		s.release()
	}
}

// dropName is told that a node has no part of a name any more, or cannot be heard.
func (d *directory) dropName(u *user, p *peer) {
	a := u.across
	old := a.parts[p]
	delete(a.told, p)
	delete(a.parts, p)
	delete(a.missing, p)
	if old != nil {
		d.lose(u, old, nil, nil)
	}
}

// appear adds a session by which a user is reached.
func (u *user) appear(s *member) {
	u.sessions = append(u.sessions, s)
	for _, c := range u.ringing {
		if c.owner == nil {
			c.ring(s)
		}
	}
}

// disappear takes a session away from those by which a user is reached.
func (d *directory) disappear(u *user, s *member) {
	u.sessions = slices.DeleteFunc(u.sessions, func(o *member) bool { return o == s })
	for _, c := range slices.Clone(u.ringing) {
		if slices.Contains(c.rung, s) {
			c.tell(s, "elsewhere", "", false)
			c.unringDevice(s)
		}
	}
}

// left takes a session of this node off a user.
func (d *directory) leftName(u *user, s *member, reason string) {
	is := func(o *member) bool { return o == s }
	u.sessions = slices.DeleteFunc(u.sessions, is)
	if a := u.across; a != nil {
		a.own = slices.DeleteFunc(a.own, is)
		a.firm = a.firm && len(a.own) > 0
		d.tellNames(u, s, reason)
	}
}

// forgetName tells the others that a name is nothing to this node any more.
func (d *directory) forgetName(u *user) {
	a := u.across
	d.hub.timers.Stop(&a.late)
	for p := range a.told {
		p.say(kindUnpart, partFrame{Room: namePrefix + u.name})
	}
	if p := d.nodes.get(a.home); p != nil {
		p.say(kindUnmeet, partFrame{Room: namePrefix + u.name})
	}
	for _, part := range a.parts {
		for s := range part.people {
			s.release()
		}
	}
}

// namesUp is told that there is a stream to a node.
func (d *directory) namesUp() {
	d.mu.Lock()
	defer d.unlock()
	for _, u := range d.users {
		d.seek(u)
	}
}

// namesLost is told that the stream to a node is over. waits: somebody may go on with its
// sessions, and their calls.
func (d *directory) namesLost(p *peer, waits bool) {
	d.mu.Lock()
	defer d.unlock()
	for _, c := range d.byCall {
		if c.owner == p && !waits {
			c.account.alone()
			c.over("lost", "", nil)
		}
	}
	for _, u := range d.users {
		_, told := u.across.told[p]
		if _, has := u.across.parts[p]; has || told || u.across.home == p.name {
			if waits {
				u.across.lately = u.shown
			}
			d.dropName(u, p)
			if d.users[u.name] != u {
				continue // what it was needed for has ended with that
			}
			d.seek(u)
			d.weigh(u)
		}
	}
}
