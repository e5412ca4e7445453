package signaling

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wire"
)

// A hosted room may have people, and people at its door, on several nodes. Each of these
// nodes tells the others what its own are to the room, and what holds for all of it: whether
// it is locked, and who is out. Those who know that merge what they hear, so that a lock or a
// removal holds on all whichever node it was said at, and in whatever order they hear of it.
// What a host wants of somebody on another node is done there (kindOrder).
//
// They find each other as those who have a name do (names.go): at a node that the hash of the
// room's name chooses, which is needed for nothing else. Nobody comes in by what a node does
// not know yet: without a host's secret everybody knocks, and a seat counts for what is known.

// hostPrefix is what meetings about hosted rooms have in front of them.
const hostPrefix = "h/"

func isHosting(meeting string) (room string, is bool) { return strings.CutPrefix(meeting, hostPrefix) }

// hostParts is what a hosted room has where there are other nodes. Under hostings.mu.
type hostParts struct {
	home  string                         // the node where they meet; empty: this one
	told  map[*peer]struct{}             // who knows what is here
	last  []byte                         // what they were told
	said  wire.Object                    // what those who are here were told
	parts map[*peer]map[*member]struct{} // who is there; what they are is in hosting.people
	met   bool                           // another node has told of the room
	led   bool                           // there has been a host

	// See hostmoved.go.
	outs map[string]*outThere // sessions that were put out here for a dead node, until the one that has them then knows
}

// outThere is somebody who was put out for the node on which he was.
type outThere struct {
	user string
	of   string // the process that has him, as far as is known
	on   string // the node on which he has gone on since; empty: none
}

// mark is whether somebody is out, since which edition.
type mark struct {
	Edition uint64 `json:"edition"`
	Out     bool   `json:"out,omitempty"`
}

// What is marked: a user, or a session.
func userMark(user string) string       { return "u/" + user }
func sessionMark(session string) string { return "s/" + session }

// isOut reports whether a user may not come in, whatever session he brings.
func (h *hosting) isOut(user string) bool { return user != "" && h.marks[userMark(user)].Out }

// isMarked reports whether a session, or its user, is out.
func (h *hosting) isMarked(id, user string) bool {
	return h.isOut(user) || h.marks[sessionMark(id)].Out
}

// setMark says that somebody is out, or is not any more.
func (h *hosting) setMark(key string, out bool) {
	was, known := h.marks[key]
	if !out && !known {
		return
	}
	h.marks[key] = mark{max(h.edition, was.Edition+1), out}
}

// full reports whether no more can be remembered to be out.
func (h *hosting) full() bool {
	if len(h.marks) > 2*maxRemoved-2 {
		for key, m := range h.marks {
			if !m.Out {
				delete(h.marks, key)
			}
		}
	}
	return len(h.marks) > 2*maxRemoved-2 || len(h.households) >= maxRemoved
}

// setLocked locks the room, or opens it.
func (h *hosting) setLocked(locked bool) { h.locked, h.lockedAt = locked, h.edition }

// hostPart is what a node tells of a hosted room, in partFrame.
type hostPart struct {
	Edition    uint64          `json:"edition"`
	Brought    uint64          `json:"brought,omitempty"`
	Locked     bool            `json:"locked,omitempty"`
	LockedAt   uint64          `json:"lockedAt,omitempty"`
	Sealed     bool            `json:"sealed,omitempty"`
	Marks      map[string]mark `json:"marks,omitempty"`
	Households []netip.Prefix  `json:"households,omitempty"`
	Seated     []string        `json:"seated,omitempty"`
	People     []*hostPerson   `json:"people,omitempty"`
}

// hostPerson is one of the node's own.
type hostPerson struct {
	Who     *person `json:"who"`
	Waiting bool    `json:"waiting,omitempty"`
	Host    bool    `json:"host,omitempty"`
	Muted   bool    `json:"muted,omitempty"`
}

// own counts those of this node who are in the room, at its door, or were put out.
func (h *hosting) own() (n int) {
	for p := range h.people {
		if p.node == nil {
			n++
		}
	}
	return n
}

// atDoor returns who waits, those of this node first.
func (h *hosting) atDoor() []*member {
	list := slices.Clone(h.waiting)
	for _, part := range h.across.parts {
		for p := range part {
			if st := h.people[p]; st != nil && st.waiting {
				list = append(list, p)
			}
		}
	}
	return list
}

// frame says what is here of a hosted room.
func (h *hosting) frame() partFrame {
	part := h.part()
	for p, st := range h.people {
		if p.node == nil && !st.out {
			who := p.person(0)
			who.Away, who.Seen = false, netip.Addr{} // of the room's own part
			part.People = append(part.People, &hostPerson{who, st.waiting, st.host, st.muted})
		}
	}
	slices.SortFunc(part.People, func(a, b *hostPerson) int { return strings.Compare(a.Who.ID, b.Who.ID) })
	return partFrame{Room: hostPrefix + h.room, Host: part}
}

// part is frame without the people.
func (h *hosting) part() *hostPart {
	part := &hostPart{Edition: h.edition, Brought: h.brought, Locked: h.locked, LockedAt: h.lockedAt, Sealed: h.sealed, Marks: h.marks}
	for home := range h.households {
		part.Households = append(part.Households, home)
	}
	slices.SortFunc(part.Households, netip.Prefix.Compare)
	for session := range h.seated {
		part.Seated = append(part.Seated, session)
	}
	slices.Sort(part.Seated)
	return part
}

// begin has what is needed where there are other nodes.
func (h *hosting) begin() {
	h.across.told, h.across.parts = make(map[*peer]struct{}), make(map[*peer]map[*member]struct{})
}

// tellHosting tells the other nodes of a hosted room what is here, where that has changed.
// hostings.mu is held.
func (d *directory) tellHosting(h *hosting) {
	if d.nodes == nil {
		return
	}
	if h.across.told == nil {
		h.begin()
		d.seekHosting(h)
	}
	m := h.frame()
	b, err := json.Marshal(m)
	if err != nil || bytes.Equal(b, h.across.last) {
		return
	}
	h.across.last = b
	for p := range h.across.told {
		p.say(kindPart, m)
	}
	if h.waits() {
		d.tellRest(h, kindPart, m)
	}
}

// seekHosting asks who else has a part of a hosted room. hostings.mu is held.
func (d *directory) seekHosting(h *hosting) {
	meeting := hostPrefix + h.room
	home := d.nodes.homeOf(meeting)
	if h.across.home != home {
		if p := d.nodes.get(h.across.home); p != nil {
			p.say(kindUnmeet, partFrame{Room: meeting})
		}
	}
	h.across.home = home
	if p := d.nodes.get(home); p != nil {
		p.say(kindMeet, partFrame{Room: meeting})
		return
	}
	for _, p := range d.nodes.whoMet(meeting) {
		h.share(p)
	}
}

// share tells another node what is here of a hosted room, unless it knows. hostings.mu is held.
func (h *hosting) share(p *peer) {
	if _, knows := h.across.told[p]; !knows && !p.lost.Load() {
		h.across.told[p] = struct{}{}
		p.say(kindPart, h.frame())
	}
}

// forgetHosting tells the others that there is nobody of a hosted room here any more.
// hostings.mu is held.
func (d *directory) forgetHosting(h *hosting) {
	if h.across.told == nil {
		return
	}
	for p := range h.across.told {
		p.say(kindUnpart, partFrame{Room: hostPrefix + h.room})
	}
	if p := d.nodes.get(h.across.home); p != nil {
		p.say(kindUnmeet, partFrame{Room: hostPrefix + h.room})
	}
	for _, part := range h.across.parts {
		for s := range part {
			h.drop(s)
			s.release()
		}
	}
	h.across.told, h.across.parts = nil, nil
}

// takeHosting handles what another node says of a hosted room. It reports whether that is all.
func (p *peer) takeHosting(kind byte, room string, m *partFrame) bool {
	d := p.x.d
	switch kind {
	case kindAlso, kindPart, kindUnpart, kindOrder:
	default:
		return false
	}
	var gone []string
	d.hostings.mu.Lock()
	h := d.hostings.m[room]
	switch {
	case kind == kindAlso:
		if o := p.x.get(m.Node); o != nil && h != nil {
			h.share(o)
		}
	case h == nil:
		if kind == kindPart {
			if m.Host != nil {
				p.x.heardOf(room, m.Host)
			}
			p.say(kindUnpart, partFrame{Room: m.Room})
		}
		if kind == kindOrder && m.Node != "" && !d.hostings.knows(m.Node, "") {
			d.ends(roomEnd{ID: m.Node, Room: room})
		}
	case kind == kindUnpart:
		d.dropHosting(h, p)
		d.tidy(h)
	case kind == kindPart && m.Host != nil:
		h.share(p)
		gone = d.hostingFrom(h, p, m.Host)
		h.heeds(p, m.Host)
		d.tidy(h)
	case kind == kindOrder:
		gone = d.ordered(h, m)
		d.tidy(h)
	}
	d.hostings.mu.Unlock()
	d.hub.changed(gone...)
	return true
}

// metHosting is told that a node takes this one for that where those of a hosted room meet.
func (d *directory) metHosting(p *peer, room string) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	if h := d.hostings.m[room]; h != nil && h.across.told != nil {
		h.share(p)
	}
}

// hostingFrom takes in what another node tells of a hosted room. It reports who has lost whom
// to relay to. hostings.mu is held.
func (d *directory) hostingFrom(h *hosting, p *peer, part *hostPart) (gone []string) {
	first := !h.across.met
	h.across.met = true
	edition := h.edition
	news := h.merge(part)
	d.peopleFrom(h, p, part.People)
	gone = d.enforce(h, news)
	if first {
		gone = append(gone, d.outdated(h, h.all(), part.Edition)...)
	}
	if h.locked {
		for len(h.waiting) > 0 {
			d.turnAway(h, h.waiting[0], "locked")
		}
	}
	d.reseat(h)
	d.lead(h)
	d.retell(h, h.edition != edition)
	return gone
}

// merge takes in what holds for all of a room. It returns of whom it is news whether they are
// out, by their marks. hostings.mu is held.
func (h *hosting) merge(part *hostPart) (news map[string]bool) {
	h.edition, h.brought, h.sealed = max(h.edition, part.Edition), max(h.brought, part.Brought), h.sealed || part.Sealed
	if part.LockedAt > h.lockedAt || part.LockedAt == h.lockedAt && part.Locked {
		h.locked, h.lockedAt = part.Locked, part.LockedAt
	}
	for _, home := range part.Households[:min(len(part.Households), maxRemoved)] {
		if len(h.households) < 2*maxRemoved {
			h.households[home] = struct{}{}
		}
	}
	for _, session := range part.Seated[:min(len(part.Seated), maxRemoved)] {
		if len(h.seated) < 2*maxRemoved {
			h.seated[session] = struct{}{}
		}
	}
	news = make(map[string]bool)
	for key, m := range part.Marks {
		was, known := h.marks[key]
		if newer := m.Edition > was.Edition || m.Edition == was.Edition && m.Out && !was.Out; newer && (known || len(h.marks) < 4*maxRemoved) {
			h.marks[key] = m
			news[key] = m.Out
		}
	}
	return news
}

// enforce puts out who is not to be here by what has just been heard. It reports who has lost
// whom to relay to. hostings.mu is held.
func (d *directory) enforce(h *hosting, news map[string]bool) (gone []string) {
	for o, st := range h.people {
		switch out := news[sessionMark(o.id)] || o.user != "" && news[userMark(o.user)]; {
		case o.node != nil && out && o.node.waits():
			gone = append(gone, d.putOutThere(h, o)...)
		case o.node != nil || st.out:
		case st.waiting && out:
			d.leaveDoor(h, o)
			h.stand(o, standing{out: true})
			o.push(wireOut(h.room, "declined"))
		case out:
			if r := o.inRoom(h.room); r != nil {
				gone = append(append(gone, r.others(o)...), o.id)
				d.quitRoom(o, r, "removed")
			}
			h.stand(o, standing{out: true})
			o.push(wireOut(h.room, "removed"))
		}
	}
	return gone
}

// all returns everybody of a hosted room who is known here. hostings.mu is held.
func (h *hosting) all() []*member { return slices.Collect(maps.Keys(h.people)) }

// outdated puts those out who came by a seat before this node knew what has happened since, by
// other nodes, which have the room in that edition. It reports who has lost whom to relay to.
// hostings.mu is held.
func (d *directory) outdated(h *hosting, people []*member, edition uint64) (gone []string) {
	for _, o := range people {
		st := h.people[o]
		if st == nil || o.node != nil || st.out || st.seat == 0 || st.seat >= edition {
			continue
		}
		if r := o.inRoom(h.room); r != nil {
			gone = append(append(gone, r.others(o)...), o.id)
			d.quitRoom(o, r, "lost")
		}
		h.drop(o)
		o.push(wireOut(h.room, "again"))
	}
	return gone
}

// retell tells those who are here how the room stands, where that has changed. anew says that
// their seats are out of date. hostings.mu is held.
func (d *directory) retell(h *hosting, anew bool) {
	if anew || !bytes.Equal(h.describe(d.present(h.room)), h.across.said) {
		d.tell(h)
	}
}

// partChanged is told that there are others of a hosted room on another node than before.
func (d *directory) partChanged(room string) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	if h := d.hostings.m[room]; h != nil && h.across.told != nil {
		d.lead(h)
		d.retell(h, false)
		d.tidy(h)
	}
}

// hostingsUp is told that there is a stream to a node.
func (d *directory) hostingsUp() {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, h := range d.hostings.m {
		if h.across.told != nil {
			d.seekHosting(h)
		}
	}
}

// hostingsLost is told that the stream to a node is over. Those who were there may come here.
// waits: another node may go on with them.
func (d *directory) hostingsLost(p *peer, waits bool) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	d.hub.seats.reopen(d.hub.now())
	for _, h := range d.hostings.m {
		if h.across.told == nil {
			continue
		}
		if _, knew := h.across.told[p]; !waits {
			d.dropHosting(h, p)
		} else if knew {
			d.tellRest(h, kindPart, h.frame())
		}
		if h.across.home == p.name {
			d.seekHosting(h)
		}
		d.reseat(h)
		d.tidy(h)
	}
}

// againFrom reports whether somebody of a household was removed before.
func (h *hosting) againFrom(addr netip.Addr) bool {
	_, again := h.households[netaddr.Household(addr)]
	return again
}
