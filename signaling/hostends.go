package signaling

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// A roomEnd is that a host has ended a room: who was in it then is out, as soon as his node
// hears of it, and who has come since is not.
type roomEnd struct {
	ID   string    `json:"id"`
	Room string    `json:"room"`
	To   []string  `json:"to,omitempty"` // the processes that had a part of it, and were told
	Age  int64     `json:"age"`          // in an image: how long ago, in milliseconds
	Of   string    `json:"-"`            // if not empty: it is done for those who have come from this process, and not known of others
	at   time.Time // by the hub's clock
}

// An end puts people out who have not heard of it for endHolds, and every node that has heard
// of it knows it for longer: it ends nothing that has begun since.
const (
	mostEnds = 1024
	endHolds = deafWait + 15*time.Second
	endsFor  = 2 * endHolds
)

// age is how long ago the end was.
func (i *hostImage) age(e roomEnd, now time.Time) time.Duration {
	return now.Sub(i.at) + time.Duration(e.Age)*time.Millisecond
}

// knows reports whether the end of a room has been heard of, for those who have come from that
// process; empty: for all. hostings.mu is held.
func (x *hostings) knows(id, of string) bool {
	return slices.ContainsFunc(x.ends, func(e roomEnd) bool { return e.ID == id && (e.Of == "" || e.Of == of) })
}

// endsOf returns how a room has ended lately. hostings.mu is held.
func (x *hostings) endsOf(room string) (list []roomEnd) {
	for _, e := range x.ends {
		if e.Room == room {
			list = append(list, e)
		}
	}
	return list
}

// ends remembers that a room has ended. hostings.mu is held.
func (d *directory) ends(e roomEnd) {
	x := &d.hostings
	e.at = d.hub.now()
	x.ends = slices.DeleteFunc(x.ends, func(o roomEnd) bool { return e.at.Sub(o.at) > endsFor })
	x.ends = append(x.ends[max(0, len(x.ends)-mostEnds+1):], e)
	d.hub.second.hosting(e.Room)
}

// tellEnd tells the other nodes that a host has ended the room: those that have a part of it, and
// all where none has been heard of yet. hostings.mu is held.
func (d *directory) tellEnd(h *hosting) {
	if d.nodes == nil {
		return
	}
	to := slices.Collect(maps.Keys(h.across.told))
	if !h.across.met {
		to = d.nodes.all()
	}
	e := roomEnd{ID: newRun(), Room: h.room}
	m := partFrame{Room: hostPrefix + h.room, Reason: "end", Node: e.ID}
	for _, p := range to {
		e.To = append(e.To, originOf(p.name, p.run))
		p.say(kindOrder, m)
	}
	d.ends(e)
	if h.waits() {
		d.tellRest(h, kindOrder, m)
	}
}

// takeEnds has a room over that a host of the dead node has ended, for those who have not heard
// so. It returns who has lost whom to relay to. hostings.mu is held.
func (d *directory) takeEnds(i *hostImage, origin string, moved map[*member]bool) (gone []string) {
	for _, e := range i.Ends {
		if i.age(e, d.hub.now()) > endHolds {
			continue
		}
		knew := d.hostings.knows(e.ID, "") // and others may not
		if !knew {
			if len(e.To) == 0 { // the dead node has heard of it, and so will this one
				e.Of = origin
			}
			d.ends(e)
		}
		for _, of := range e.To {
			name, run, _ := strings.Cut(of, " ")
			if q := d.nodes.get(name); q != nil && q.run == run {
				q.say(kindOrder, partFrame{Room: hostPrefix + i.Room, Reason: "end", Node: e.ID})
			}
		}
		if h := d.hostings.m[i.Room]; h != nil && !knew && slices.Contains(e.To, originOf(d.nodes.self, d.hub.second.process())) {
			gone = append(gone, d.endRoom(h, func(s *member) bool { return !moved[s] })...)
			d.tidy(h)
		}
	}
	return gone
}
