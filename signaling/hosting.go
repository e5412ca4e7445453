package signaling

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
	"turnhub/signaling/internal/wire"
)

// A room may have a host, who lets others in. That it has one, and who may be it, is in
// its name: it ends with the digest of a secret, and whoever brings the secret is the
// host. So nothing has to be kept for a host's link to work after a restart, or on
// another node, and no guest can make the room one without a host.

// follows and keeps mark such a name, before the digest: whether the member that is
// longest there follows when the last host has left.
const (
	follows    = "~host."
	keeps      = "~keep."
	digestSize = 43 // of SHA-256, base64url
)

// isHosted reports whether a room of that name has a host.
func isHosted(room string) bool { return hostMark(room) != "" }

// hostMark returns which of the two marks a room's name has; "": none.
func hostMark(room string) string {
	if len(room) < digestSize {
		return ""
	}
	before, digest := room[:len(room)-digestSize], room[len(room)-digestSize:]
	if strings.ContainsAny(digest, ".~") {
		return ""
	}
	for _, mark := range []string{follows, keeps} {
		if strings.HasSuffix(before, mark) {
			return mark
		}
	}
	return ""
}

// opensAsHost reports whether a secret is that of a hosted room.
func opensAsHost(room string, secret []byte) bool {
	at := len(room) - digestSize
	sum := sha256.Sum256(append([]byte(room[:at]), secret...))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(room[at:])) == 1
}

// HostedRoom returns a room with a host who is it by an access token: nobody knows a
// secret that opens it. A name that has a host stays as it is.
func HostedRoom(name string) (string, error) {
	if name, ok := access.RoomName(name); ok && isHosted(name) {
		return name, nil
	}
	var b [sha256.Size]byte
	_, _ = rand.Read(b[:]) // never fails
	room, ok := access.RoomName(name + follows + base64.RawURLEncoding.EncodeToString(b[:]))
	if !ok {
		return "", fmt.Errorf("a room with a host may have 1 to %d bytes of %s", access.MaxRoomName-len(follows)-digestSize, access.RoomLetters)
	}
	return room, nil
}

// standing is what a session is to a hosted room.
type standing struct {
	waiting bool // has knocked
	out     bool // was declined or removed
	host    bool
	muted   bool
	seat    uint64   // the edition of the seat by which it came, see seat.go; 0: by another way
	heir    bool     // on another node, which may not know yet that it is host
	brings  []byte   // while it waits: a seat that is not known to be good, where there are other nodes
	orders  []string // on another node: what a host here has wanted of it, and is not done there as far as is known
}

// hosting is a hosted room, while anybody is in it or at its door.
type hosting struct {
	room    string
	people  map[*member]*standing
	waiting []*member // who has knocked, the longest first
	locked  bool
	// Who was removed: a user by name, whatever session he brings; anybody else can only
	// be told by the household, which others may share, so the host is told of it.
	marks      map[string]mark
	households map[netip.Prefix]struct{}
	lockedAt   uint64            // the edition since which it is, or is not, locked
	across     hostParts         // see hostacross.go
	told       ratelimit.Account // of knocks

	// See seat.go.
	edition  uint64              // of what a host has changed, and who has left
	brought  uint64              // the newest edition of a seat that anybody came with
	seated   map[string]struct{} // sessions whose seats are taken
	sealed   bool                // a host has put somebody out
	unseated []string            // who has lost whom to relay to, for join
}

// hostings finds hosted rooms by name. Its mutex comes before lobbies.mu.
type hostings struct {
	mu   sync.Mutex
	m    map[string]*hosting
	ends []roomEnd // the last ones, see hostmoved.go
}

// stand gives a session a standing, in place of the one it has. hostings.mu is held.
func (h *hosting) stand(s *member, st standing) *standing {
	h.people[s] = &st
	if s.hostings == nil {
		s.hostings = make(map[string]*hosting)
	}
	s.hostings[h.room] = h
	return &st
}

// drop forgets a session. hostings.mu is held.
func (h *hosting) drop(s *member) {
	delete(h.people, s)
	delete(s.hostings, h.room)
}

// hosts returns who is host, in the order of members. hostings.mu is held.
func (h *hosting) hosts(members []*member) (list []*member) {
	for _, p := range members {
		if st := h.people[p]; st != nil && st.host {
			list = append(list, p)
		}
	}
	return list
}

// hosted returns a hosted room, which the caller gives back to tidy. hostings.mu is held.
func (d *directory) hosted(room string) *hosting {
	h := d.hostings.m[room]
	if h == nil {
		h = newHosting(room)
		d.hostings.m[room] = h
	}
	return h
}

func newHosting(room string) *hosting {
	return &hosting{room: room, edition: 1, people: make(map[*member]*standing), marks: make(map[string]mark), seated: make(map[string]struct{}), households: make(map[netip.Prefix]struct{})}
}

// tidy is called at the end of whatever has changed a hosted room: it forgets one that nobody is
// at. hostings.mu is held.
func (d *directory) tidy(h *hosting) {
	d.hub.second.hosting(h.room)
	if h.own() == 0 && !h.waits() && !h.owes() {
		d.forgetHosting(h)
		delete(d.hostings.m, h.room)
		return
	}
	d.tellHosting(h)
}

// joinHosted is join for a hosted room: whoever is no host knocks first.
func (d *directory) joinHosted(s *member, m *wire.Message, name string) *wire.Fault {
	asHost := s.hosts
	if m.Host != nil {
		secret, f := wire.NeedText("host", m.Host)
		if f != nil {
			return f
		}
		if asHost = asHost || opensAsHost(name, secret); !asHost {
			return wire.Faultf(wire.CodeForbidden, "this secret is not that of the host of room %s: the link is not whole, or of another room", name)
		}
	}
	gone, f := d.enterHosted(s, m, name, asHost)
	// The relay asks who is together: not under a lock.
	d.hub.changed(gone...)
	return f
}

// enterHosted reports who has lost whom to relay to.
func (d *directory) enterHosted(s *member, m *wire.Message, name string, asHost bool) (gone []string, f *wire.Fault) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	h := d.hosted(name)
	defer d.tidy(h)
	defer func() { gone, h.unseated = h.unseated, nil }()
	st := h.people[s]
	shut := h.isOut(s.user)
	var seat *seat
	if st == nil && !shut {
		if seat, f = d.bring(h, m); f != nil {
			return nil, f
		}
	}
	switch {
	case asHost:
	case st != nil && st.out || shut:
		return nil, wire.Faultf(wire.CodeForbidden, "the host of room %s does not let you in", name)
	case st != nil && st.waiting:
		return nil, stillWaiting(name)
	case st != nil, seat != nil:
	default:
		if f = d.knock(s, h); f.Code == wire.CodeKnocking && d.nodes != nil && m.Seat != nil {
			if text, _ := wire.NeedText("seat", m.Seat); len(text) <= maxSeat {
				h.people[s].brings = slices.Clone(text)
			}
		}
		return nil, f
	}
	known := s.inRoom(name) != nil
	if f := d.joinRoom(s, m, name); f != nil {
		return nil, f
	}
	if st == nil || asHost && !st.host {
		if st != nil && st.waiting {
			d.leaveDoor(h, s)
		}
		now := standing{host: asHost, muted: st != nil && st.muted}
		if seat != nil {
			h.seated[seat.session] = struct{}{}
			now.host, now.muted = asHost || seat.host, seat.muted
			if !asHost {
				now.seat = seat.edition
			}
		}
		h.stand(s, now)
		if now.host {
			known = false
			h.across.led = true
			for _, p := range h.atDoor() {
				s.pushBy(s, h.knocks(p))
			}
		}
	}
	if known {
		s.pushBy(s, d.withSeat(h, s, h.describe(d.present(name))))
	} else {
		d.tell(h)
	}
	return nil, nil
}

func without(list []*member, s *member) []*member {
	return slices.DeleteFunc(list, func(o *member) bool { return o == s })
}

func stillWaiting(room string) *wire.Fault {
	return wire.Faultf(wire.CodeKnocking, "room %s has a host, who is told that you knock: join again when you hear admitted", room)
}

// knock lets a session wait at the door. hostings.mu is held.
func (d *directory) knock(s *member, h *hosting) *wire.Fault {
	switch {
	case h.locked:
		return wire.Faultf(wire.CodeLocked, "the host has locked room %s: nobody comes in any more", h.room)
	case len(s.hostings) >= maxRoomsPerSession:
		return wire.Faultf(wire.CodeTooMany, "a session may knock at %d rooms", maxRoomsPerSession)
	}
	busy := wire.Faultf(wire.CodeRate, "too many knock at room %s at the moment: try again later", h.room)
	busy.After = 5 * time.Second
	out := -1
	if len(h.waiting) >= maxKnocks {
		from := make([]netip.Addr, len(h.waiting))
		for i, p := range h.waiting {
			from[i] = p.opener
		}
		if out = netaddr.Displace(from, s.opener); out < 0 {
			return busy
		}
	}
	// A host can read no more than so many, and each costs its queue something.
	if !h.told.Take(d.hub.now().UnixNano(), knockRate, 1) {
		return busy
	}
	if out >= 0 {
		d.turnAway(h, h.waiting[out], "too-many")
	}
	h.stand(s, standing{waiting: true})
	h.waiting = append(h.waiting, s)
	if h.own() == 1 {
		d.opened(h.room)
	}
	for _, p := range h.hosts(d.present(h.room)) {
		p.pushBy(s, h.knocks(s))
	}
	return stillWaiting(h.room)
}

// knocks is what a host is told of somebody at the door.
func (h *hosting) knocks(s *member) wire.Object {
	return s.describe(wire.Begin("knock", 128).Text("room", h.room).Text("peer", s.id)).Bool("again", h.againFrom(s.opener))
}

// turnAway ends somebody's wait. hostings.mu is held.
func (d *directory) turnAway(h *hosting, s *member, reason string) {
	d.leaveDoor(h, s)
	h.drop(s)
	s.push(wireOut(h.room, reason))
}

// leaveDoor takes somebody off those who wait and tells the hosts. hostings.mu is held.
func (d *directory) leaveDoor(h *hosting, s *member) {
	h.waiting = without(h.waiting, s)
	d.tellLeft(h, s)
}

// tellLeft tells the hosts that somebody is at the door no more. hostings.mu is held.
func (d *directory) tellLeft(h *hosting, s *member) {
	for _, p := range h.hosts(d.present(h.room)) {
		p.push(wire.Begin("knock-left", 64).Text("room", h.room).Text("peer", s.id))
	}
}

// out is what somebody is told who may not be in a room, or not wait for it, any more.
func wireOut(room, reason string) wire.Object {
	return wire.Begin("out", 64).Text("room", room).Text("reason", reason)
}

// present returns the members of a room, the longest there first.
func (d *directory) present(room string) []*member {
	r := d.rooms.Get(room)
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.members)
}

// describe is how a hosted room stands. hostings.mu is held.
func (h *hosting) describe(members []*member) wire.Object {
	b := wire.Begin("hosting", 96+32*len(members)).Text("room", h.room).Bool("locked", h.locked)
	for _, list := range []struct {
		key  string
		is   func(*standing) bool
		list []byte
	}{{key: "hosts", is: func(st *standing) bool { return st.host }}, {key: "muted", is: func(st *standing) bool { return st.muted }}} {
		list.list = append(list.list, '[')
		for _, p := range members {
			if st := h.people[p]; st != nil && list.is(st) {
				if len(list.list) > 1 {
					list.list = append(list.list, ',')
				}
				list.list = wire.AppendString(list.list, p.id)
			}
		}
		b = b.Raw(list.key, append(list.list, ']'))
	}
	return b
}

// tell tells everybody in a hosted room how it stands. hostings.mu is held.
func (d *directory) tell(h *hosting) {
	members := d.present(h.room)
	b := h.describe(members)
	h.across.said = b
	for _, p := range members {
		p.push(d.withSeat(h, p, b))
	}
}

// withSeat is what one member is told of how the room stands. hostings.mu is held.
func (d *directory) withSeat(h *hosting, p *member, b wire.Object) wire.Object {
	if seat := d.seatFor(h, p); seat != "" {
		return slices.Clone(b).Text("seat", seat)
	}
	return b
}

// leftHosted ends what a session was to a hosted room that it has left, or whose door.
// byWish says that it has asked for that. It reports whether it was anything.
func (d *directory) leftHosted(s *member, room string, byWish bool) bool {
	if !isHosted(room) {
		return false
	}
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	h := s.hostings[room]
	if h == nil {
		return false
	}
	st := h.people[s]
	if st.out {
		return false // stays out as long as the session lives
	}
	// Whoever leaves takes a seat along, which is out of date from now on.
	anew := byWish && !st.waiting
	if anew {
		h.edition++
	}
	d.departHosted(h, s, anew)
	return true
}

// departHosted is leftHosted under hostings.mu. anew says that the others need new seats.
func (d *directory) departHosted(h *hosting, s *member, anew bool) {
	st := h.people[s]
	h.drop(s)
	switch members := d.present(h.room); {
	case st.waiting:
		d.leaveDoor(h, s)
	case st.host && len(h.hosts(members)) == 0 && hostMark(h.room) == follows:
		d.follow(h, members)
		d.tell(h)
	case st.host || st.muted || anew:
		d.tell(h)
	}
	d.tidy(h)
}

// follow makes the member that is longest there, and not away, the host.
// hostings.mu is held.
func (d *directory) follow(h *hosting, members []*member) {
	at := slices.IndexFunc(members, func(p *member) bool { return h.people[p] != nil && !p.away.Load() })
	if at < 0 {
		at = slices.IndexFunc(members, func(p *member) bool { return h.people[p] != nil })
	}
	if at >= 0 && members[at].node == nil { // else its node does so
		d.makeHost(h, members[at])
	}
}

// makeHost gives somebody the host's power. hostings.mu is held.
func (d *directory) makeHost(h *hosting, p *member) {
	if h.people[p].host {
		return
	}
	h.people[p].host = true
	for _, w := range h.atDoor() {
		p.push(h.knocks(w))
	}
}

// endHosted ends what a session that has ended was to hosted rooms.
func (d *directory) endHosted(s *member) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, h := range s.hostings {
		d.departHosted(h, s, false)
	}
}
