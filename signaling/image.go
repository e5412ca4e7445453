package signaling

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// The image that a node has of another one's sessions, as it goes from the one to the other:
// frames of kindImage, each with a letter.
const (
	imageBegin = 'b' // its number and the process: another image begins; the one before holds until this one is whole
	imagePart  = 'p' // the beginning of a step that is too long for a frame
	imageStep  = 's' // the number of a step, and its records
	imageWhole = 'w' // the number of a step: with it the image is whole
	imageOver  = 'o' // the node goes down in order: there is nothing to go on with
)

// The records of a step. What is not said otherwise is JSON, behind its length.
const (
	recordStay = 'S' // what stays of a session, stayImage
	recordKept = 'k' // binary: what has come to its stream
	recordEnd  = 'e' // binary: the session is no more
	recordRoom = 'r' // who is in a room, roomImage
	recordCall = 'c' // a call, callImage
	recordHad  = 'h' // binary: what a session has had of another one
	recordHost = 'H' // a hosted room, hostImage
	recordWait = 'l' // who is in the lobby of a room, lobbyImage
)

// stayImage is what stays of a session for long.
type stayImage struct {
	Ref      delivery.Ref  `json:"ref"`
	Stay     delivery.Stay `json:"stay"`
	Name     string        `json:"name,omitempty"`
	Inviters []string      `json:"inviters,omitempty"`
	Secret   []byte        `json:"secret,omitempty"`  // digest, by which its user's name is claimed
	Claimed  uint64        `json:"claimed,omitempty"` // when that was, milliseconds since 1970; 0: it has been yielded
	Subs     []string      `json:"subs,omitempty"`
	Away     bool          `json:"away,omitempty"`
}

// roomImage is who is in a room, as those on the node have been told. Nobody: it is over.
type roomImage struct {
	Name   string       `json:"name"`
	Home   string       `json:"home,omitempty"`
	People []roomPerson `json:"people,omitempty"`
	Parts  []string     `json:"parts,omitempty"` // the nodes that know who is there
}

type roomPerson struct {
	Node string `json:"node,omitempty"` // empty: the one whose image it is
	Run  string `json:"run,omitempty"`  // its process
	person
	out string // why it may not be there any more, where it has moved: see outsOf
}

// callImage is which sessions of the node have heard of a call. None: it is over.
type callImage struct {
	Call string         `json:"call"`
	Refs []delivery.Ref `json:"refs,omitempty"`
	Talk *talkImage     `json:"talk,omitempty"` // since it was accepted
	Ring *ringImage     `json:"ring,omitempty"` // before
	Over string         `json:"over,omitempty"` // why it has ended, where it was this node's
	at   time.Time      // when it was told
}

// image is what this node has of the sessions of another one.
type image struct {
	run      string
	number   uint64
	whole    bool
	sessions map[delivery.Ref]*sessionImage
	refs     map[string]delivery.Ref // by their ids
	rooms    map[string]*roomImage
	calls    map[string]*callImage
	overs    overs
	hosts    map[string]*hostImage
	late     map[string]*hosting // what others have told of these
	ended    []string            // of these, those that are over, the last ones
	lobbies  map[string]*lobbyImage
	partial  []byte
	texts    []wire.Object // of a step, as they come
	asked    bool          // whether this node may go on with it; under nodes.mu
	replaced time.Time     // by that of a younger process; under nodes.mu
	now      func() time.Time
}

// sessionImage is small: nearly all that there are wait for nothing.
type sessionImage struct {
	id    string
	text  []byte // what stays, as it came: few are ever gone on with
	kept  delivery.Kept
	hadOf map[string]*had
	plain bool // as its node says, it can be gone on with
	// revoked says that it may not: on its own node it would have ended with that, but the node
	// was dead, or died with it.
	revoked bool
}

func (i *sessionImage) goesOn() bool { return i.plain && !i.revoked }

func (i *sessionImage) stay() (s stayImage) {
	_ = json.Unmarshal(i.text, &s) // it could be read when it came
	return s
}

// revokeImages has nobody go on with the sessions of a user or guest who is revoked, nor with
// those of whom that user has invited. It is called in a step.
func (x *nodes) revokeImages(user string) {
	text, _ := json.Marshal(user)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range slices.AppendSeq(slices.Clone(x.before), maps.Values(x.images)) {
		for _, i := range m.sessions {
			if !bytes.Contains(i.text, text) {
				continue
			}
			if s := i.stay(); s.Stay.ID == user || s.Stay.User == user || slices.Contains(s.Inviters, user) {
				i.revoked = true
			}
		}
	}
}

func newImage(run string, number uint64, now func() time.Time) *image {
	return &image{
		now: now, run: run, number: number, sessions: make(map[delivery.Ref]*sessionImage), refs: make(map[string]delivery.Ref), rooms: make(map[string]*roomImage),
		calls: make(map[string]*callImage), hosts: make(map[string]*hostImage), late: make(map[string]*hosting), lobbies: make(map[string]*lobbyImage),
	}
}

func (x *nodes) keepImage(node string, m *image) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.images[node]; old != nil && old.run != m.run { // clients of that one may come yet
		old.replaced = m.now()
		x.before = append(x.before[max(0, len(x.before)-mostBefore+1):], old)
	}
	x.images[node] = m
}

// mostBefore is how many images are kept of processes that were started again.
const mostBefore = 4

// imageBy returns the image of the sessions of a process; nil: there is none.
func (x *nodes) imageBy(node, run string) *image {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m := x.images[node]; m != nil && m.run == run {
		return m
	}
	for _, m := range x.before {
		if m.run == run && m.now().Sub(m.replaced) < imageFor {
			return m
		}
	}
	return nil
}

// dropImage forgets one image.
func (x *nodes) dropImage(node string, m *image) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.before = slices.DeleteFunc(x.before, func(o *image) bool { return o == m })
	if x.images[node] == m {
		delete(x.images, node)
	}
}

func (x *nodes) forgetImage(node string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.images, node)
}

// imageOf returns a whole image; nil: there is none.
func (x *nodes) imageOf(node string) *image {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.images[node]
}

// plain reports whether another node could go on with a session: who is being sent away goes on
// elsewhere.
func (s *member) plain() bool { return !s.d.post.Parting(s.ref) }

// stays says what the image has to know of a session.
func (h *Hub) stays(s *member, stay delivery.Stay) stayImage {
	i := stayImage{Ref: s.ref, Stay: stay, Name: s.name, Inviters: s.inviters, Away: s.away.Load()}
	d := h.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.users[s.user]; u != nil && s.user != "" && slices.Contains(u.own(), s) {
		i.Secret = bytes.Clone(u.secret[:])
		if !u.across.yielded {
			i.Claimed = u.across.stamp
		}
	}
	for name := range s.subs {
		i.Subs = append(i.Subs, name)
	}
	slices.Sort(i.Subs)
	return i
}

// secretDigest is of the secret by which a name is claimed.
type secretDigest = [sha256.Size]byte

func digestOf(secret []byte) (d secretDigest, ok bool) {
	return d, copy(d[:], secret) == len(d) && len(secret) == len(d)
}

// imageOfRoom says who is in a room here.
func (d *directory) imageOfRoom(name string) roomImage {
	i := roomImage{Name: name}
	r := d.rooms.Get(name)
	if r == nil {
		return i
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.own() {
		return i
	}
	i.Home = r.across.home
	for p := range r.across.parts {
		i.Parts = append(i.Parts, p.name)
	}
	for _, s := range r.members {
		o := roomPerson{person: *s.person(r.across.stamps[s])}
		if s.node != nil {
			o.Node, o.Run, o.Ref = s.node.name, s.node.run, s.there
		}
		i.People = append(i.People, o)
	}
	return i
}

// imageOfCall says which sessions of this node have heard of a call that goes on, and what
// they need to go on with it.
func (d *directory) imageOfCall(id string) callImage {
	i := callImage{Call: id}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.byCall[id]
	if c == nil {
		i.Over = d.overs.of(id)
		return i
	}
	add := func(s *member) {
		if s != nil && s.node == nil {
			i.Refs = append(i.Refs, s.ref)
		}
	}
	add(c.caller)
	add(c.peer)
	if c.peer != nil {
		i.Talk = c.talk()
	} else {
		i.Ring = c.ringing()
	}
	for _, s := range c.rung {
		add(s)
	}
	return i
}
