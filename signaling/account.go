package signaling

import (
	"net/netip"
	"slices"
	"time"
)

// What a call comes to, for whoever keeps accounts of calls (Config.OnCall). A call by
// name is one from its acceptance to its end. In a room it is one while two people at
// least are there: who waits alone is in none, and when the second comes again it is
// another one.

// The steps of a call.
const (
	CallBegan  = "began"
	CallJoined = "joined" // each of the first two, too
	CallLeft   = "left"   // with the end of the call, who is still there
	CallEnded  = "ended"
	CallMissed = "missed" // a call by name that nobody has taken
	CallTook   = "took"   // of a call with people on another node: what it says by CallStep.Took
)

// CallStep is one step of a call. What it points to is not changed any more.
type CallStep struct {
	Step    string
	Call    string // its id
	Kind    string // call, room
	Room    string
	Person  *Participant  // who has joined or left; of a missed call who has called
	People  []Participant // with CallEnded
	Others  int           // how many more than People there were
	To      string        // of a missed call: the name that was called
	Reason  string
	Lasted  time.Duration // with CallEnded, and of a missed call for how long it rang
	Path    string        // the worst one that somebody has reported
	Bytes   uint64        // received by all, as far as reported
	Address netip.Addr    // of the household that has caused it

	// Where the call is another node's, that one tells of it as a whole: CallBegan and CallEnded
	// are for the books of this one, and what its people have had of the call goes there by Took.
	Took func(data []byte)
	// Awaits is, with CallEnded, how many words there are to come from other nodes, if these
	// live. Data is what such a word says, with CallTook.
	Awaits int
	Data   []byte
	// Again is, with CallBegan and CallJoined, that this was told before, on a node that is dead.
	Again bool
}

// Participant is what a session has had of a call.
type Participant struct {
	Session, User, Name string
	Reason              string // why it left
	Lasted              time.Duration
	Bytes               uint64 // received, as far as reported
	Path                string
	Report              *Report // the last one; nil: none came
}

// toldPeople is how many people of a call that has ended are named.
const toldPeople = 100

// account keeps account of one call. What guards it is what guards the call or room.
type account struct {
	hub        *Hub
	call, kind string
	room       string
	began      time.Time
	here       []*taking
	gone       []Participant // those who have left, toldPeople at most
	others     int
	path       string
	bytes      uint64
	took       func(data []byte) // see CallStep
	awaits     int
	resumes    bool // what is told was told before, on another node
}

// taking is one who takes part.
type taking struct {
	who    *member
	joined time.Time
	path   string
	bytes  uint64
	report *Report
}

// beginCall begins an account with the people who are there. It is nil, and all its
// methods do nothing, where nobody keeps accounts.
func (h *Hub) beginCall(id, kind, room string, now time.Time, people ...*member) *account {
	if h.cfg.OnCall == nil {
		return nil
	}
	return (&account{hub: h, call: id, kind: kind, room: room, began: now}).begin(now, people...)
}

// beginPart begins one of a call that is another node's.
func (h *Hub) beginPart(owner *peer, id string, now time.Time, people ...*member) *account {
	if h.cfg.OnCall == nil {
		return nil
	}
	a := &account{hub: h, call: id, kind: "call", began: now}
	a.takes(owner)
	return a.begin(now, people...)
}

// resumeCall is beginCall for a call by name that has begun on a node that is dead.
func (h *Hub) resumeCall(id string, began time.Time, people ...*member) *account {
	if h.cfg.OnCall == nil {
		return nil
	}
	return (&account{hub: h, call: id, kind: "call", began: began}).resume(people...)
}

// resumePart is beginPart likewise.
func (h *Hub) resumePart(owner *peer, id string, began time.Time, people ...*member) *account {
	if h.cfg.OnCall == nil {
		return nil
	}
	a := &account{hub: h, call: id, kind: "call", began: began}
	a.takes(owner)
	return a.resume(people...)
}

func (a *account) resume(people ...*member) *account {
	a.resumes = true
	a.begin(a.began, people...)
	a.resumes = false
	return a
}

// again adds somebody whose node is dead, and who goes on here.
func (a *account) again(s *member, joined time.Time) {
	if a != nil {
		a.resumes = true
		a.join(s, joined)
		a.resumes = false
	}
}

// takes says whose the call is.
func (a *account) takes(owner *peer) {
	if a != nil {
		id := a.call
		a.took = func(data []byte) { owner.say(kindCall, callFrame{Op: opTook, Call: id, Data: data}) }
	}
}

// comes undoes await.
func (a *account) comes() {
	if a != nil {
		a.awaits--
	}
}

// alone is told that the call's own node is dead: this one tells of its end.
func (a *account) alone() {
	if a != nil {
		a.took = nil
	}
}

// await is told of somebody on another node who takes part.
func (a *account) await() {
	if a != nil {
		a.awaits++
	}
}

func (a *account) begin(now time.Time, people ...*member) *account {
	a.tell(CallStep{Step: CallBegan, Address: people[len(people)-1].opener})
	for _, s := range people {
		a.join(s, now)
	}
	return a
}

// tell passes on a step with what all steps of the call have.
func (a *account) tell(step CallStep) {
	step.Call, step.Kind, step.Room, step.Took, step.Again = a.call, a.kind, a.room, a.took, a.resumes
	a.hub.cfg.OnCall(step)
}

func (a *account) join(s *member, now time.Time) {
	if a == nil {
		return
	}
	t := &taking{who: s, joined: now}
	a.here = append(a.here, t)
	a.tell(CallStep{Step: CallJoined, Person: t.participant(now, ""), Address: s.opener})
}

// report notes what a participant says of its media.
func (a *account) report(s *member, r *Report, bytes uint64) {
	if a == nil {
		return
	}
	if i := slices.IndexFunc(a.here, func(t *taking) bool { return t.who == s }); i >= 0 {
		t := a.here[i]
		t.bytes += bytes
		t.report = r
		t.path = worse(t.path, r.Path)
	}
	a.bytes += bytes
	a.path = worse(a.path, r.Path)
}

func (a *account) leave(s *member, reason string, now time.Time) {
	if a == nil {
		return
	}
	i := slices.IndexFunc(a.here, func(t *taking) bool { return t.who == s })
	if i < 0 {
		return
	}
	p := a.here[i].participant(now, reason)
	a.here = slices.Delete(a.here, i, i+1)
	if len(a.gone) < toldPeople {
		a.gone = append(a.gone, *p)
	} else {
		a.others++
	}
	a.tell(CallStep{Step: CallLeft, Person: p, Reason: reason, Address: s.opener})
}

// end ends the call for all who are still there.
func (a *account) end(reason string, now time.Time) {
	if a == nil {
		return
	}
	var from netip.Addr
	for _, t := range slices.Clone(a.here) {
		from = t.who.opener
		a.leave(t.who, "ended", now)
	}
	a.tell(CallStep{
		Step: CallEnded, People: a.gone, Others: a.others, Reason: reason, Lasted: now.Sub(a.began), Path: a.path, Bytes: a.bytes, Address: from, Awaits: a.awaits,
	})
}

func (t *taking) participant(now time.Time, reason string) *Participant {
	s := t.who
	return &Participant{
		Session: s.id, User: s.user, Name: s.name, Reason: reason, Lasted: now.Sub(t.joined), Bytes: t.bytes, Path: t.path, Report: t.report,
	}
}

// endAccounts ends all calls for those who keep accounts: everybody is sent away, and comes
// back, if at all, to another process, where it is another call.
func (d *directory) endAccounts(reason string) {
	if d.hub.cfg.OnCall == nil {
		return
	}
	now := d.hub.now()
	for _, r := range d.rooms.All() {
		r.mu.Lock()
		r.account.end(reason, now)
		r.account = nil
		r.mu.Unlock()
	}
	d.mu.Lock()
	defer d.unlock()
	for _, c := range d.byCall {
		c.account.end(reason, now)
		c.account = nil
	}
}

// missed tells of a call by name that nobody has taken.
func (h *Hub) missed(id string, caller *member, to, reason string, rang time.Duration) {
	if h.cfg.OnCall != nil {
		h.cfg.OnCall(CallStep{
			Step: CallMissed, Call: id, Kind: "call", To: to, Reason: reason, Lasted: rang, Address: caller.opener,
			Person: &Participant{Session: caller.id, User: caller.user, Name: caller.name},
		})
	}
}
