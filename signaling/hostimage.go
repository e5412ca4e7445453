package signaling

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// hostImage is what an image has of a hosted room. Nobody in it: it is over.
type hostImage struct {
	Room string `json:"room"`
	hostPart
	All   []imagePerson `json:"all,omitempty"` // those who wait first, the longest before
	Parts []string      `json:"parts,omitempty"`
	Met   bool          `json:"met,omitempty"`
	Led   bool          `json:"led,omitempty"`
	Said  []byte        `json:"said,omitempty"` // what those on the node were told
	Ends  []roomEnd     `json:"ends,omitempty"`
	at    time.Time     // when it was told
}

type imagePerson struct {
	roomPerson
	Waiting bool     `json:"waiting,omitempty"`
	Out     bool     `json:"out,omitempty"`
	Host    bool     `json:"host,omitempty"`
	Muted   bool     `json:"muted,omitempty"`
	Heir    bool     `json:"heir,omitempty"`
	Seat    uint64   `json:"seat,omitempty"`
	Brings  []byte   `json:"brings,omitempty"`
	Orders  []string `json:"orders,omitempty"`
}

func (o *imagePerson) standing() standing {
	return standing{waiting: o.Waiting, out: o.Out, host: o.Host, muted: o.Muted, heir: o.Heir, seat: o.Seat, brings: o.Brings, orders: o.Orders}
}

// own counts those of the node whose image it is.
func (i *hostImage) own() (n int) {
	for _, o := range i.All {
		if o.Node == "" {
			n++
		}
	}
	return n
}

// imageOfHosting says what there is of a hosted room here.
func (d *directory) imageOfHosting(room string) hostImage {
	i := hostImage{Room: room}
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, e := range d.hostings.endsOf(room) {
		if e.Of != "" {
			continue
		}
		e.Age = d.hub.now().Sub(e.at).Milliseconds()
		i.Ends = append(i.Ends, e)
	}
	h := d.hostings.m[room]
	if h == nil || h.own() == 0 {
		return i
	}
	i.hostPart, i.Met, i.Led, i.Said = *h.part(), h.across.met, h.across.led, h.across.said
	i.Marks = maps.Clone(i.Marks)
	for p := range h.across.told {
		i.Parts = append(i.Parts, p.name)
	}
	slices.Sort(i.Parts)
	add := func(s *member) {
		st := h.people[s]
		o := imagePerson{roomPerson{person: *s.person(0)}, st.waiting, st.out, st.host, st.muted, st.heir, st.seat, st.brings, st.orders}
		if s.node != nil {
			o.Node, o.Run, o.Ref = s.node.name, s.node.run, s.there
		}
		i.All = append(i.All, o)
	}
	for _, s := range h.waiting {
		add(s)
	}
	n := len(i.All)
	for s := range h.people {
		if !slices.Contains(h.waiting, s) {
			add(s)
		}
	}
	slices.SortFunc(i.All[n:], func(a, b imagePerson) int { return strings.Compare(a.ID, b.ID) })
	return i
}

// mostEnded is how many rooms an image has that are over.
const mostEnded = 256

// takeHosting takes the record of a hosted room.
func (m *image) takeHosting(text []byte) bool {
	var i hostImage
	if json.Unmarshal(text, &i) != nil {
		return false
	}
	i.at = m.now()
	m.hosts[i.Room] = &i
	if i.own() > 0 {
		return true
	}
	delete(m.late, i.Room)
	if len(i.Ends) == 0 {
		delete(m.hosts, i.Room)
		return true
	}
	if m.ended = append(m.ended, i.Room); len(m.ended) > mostEnded {
		if old := m.hosts[m.ended[0]]; old != nil && old.own() == 0 && !slices.Contains(m.ended[1:], old.Room) {
			delete(m.hosts, old.Room)
		}
		m.ended = slices.Delete(m.ended, 0, 1)
	}
	return true
}

// heardOf keeps what another node tells of a hosted room of which nobody is here, for those who
// may move here.
func (x *nodes) heardOf(room string, part *hostPart) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, m := range slices.AppendSeq(slices.Clone(x.before), maps.Values(x.images)) {
		if m.hosts[room] == nil {
			continue
		}
		if m.late[room] == nil {
			m.late[room] = newHosting(room)
		}
		m.late[room].merge(part)
	}
}
