package signaling

import (
	"bytes"
	"encoding/json"
	"slices"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// imageFrom takes what a node says of its sessions.
func (d *directory) imageFrom(p *peer, f []byte) bool {
	if len(f) == 0 {
		return false
	}
	x := d.nodes
	kind, f := f[0], f[1:]
	if kind == imageBegin {
		number, ok := uvarint(&f)
		p.building = newImage(string(f), number, d.hub.now)
		return ok
	}
	if kind == imageOver {
		p.building = nil
		x.forgetImage(p.name)
		return true
	}
	m := p.building
	if m == nil {
		return true // it has been declined
	}
	switch kind {
	case imagePart:
		if len(m.partial) > mostStep {
			p.decline()
			return false
		}
		m.partial = append(m.partial, f...)
	case imageStep, imageWhole:
		at, ok := uvarint(&f)
		if len(m.partial) > 0 {
			f = append(m.partial, f...)
		}
		if !ok || !m.take(p, f) {
			p.decline()
			return false
		}
		m.partial = nil
		if kind == imageWhole {
			m.whole = true
			x.keepImage(p.name, m)
		}
		p.kept = at
	default:
		return false
	}
	return true
}

// take takes the records of a step. It reports whether all could be read.
func (m *image) take(p *peer, f []byte) bool {
	texts := m.texts[:0]
	defer func() {
		if clear(texts); cap(texts) <= mostReused {
			m.texts = texts
		}
	}()
	for len(f) > 0 {
		kind := f[0]
		f = f[1:]
		var ok bool
		switch kind {
		case recordKept:
			ok = m.takeKept(p, &f, &texts)
		case recordHad:
			ok = m.takeHad(&f)
		case recordEnd:
			var ref uint64
			ref, ok = uvarint(&f)
			if s := m.sessions[delivery.Ref(ref)]; s != nil {
				delete(m.refs, s.id)
			}
			delete(m.sessions, delivery.Ref(ref))
		default:
			var size uint64
			if size, ok = uvarint(&f); !ok || size > uint64(len(f)) {
				return false
			}
			ok = m.takeRecord(kind, f[:size])
			f = f[size:]
		}
		if !ok {
			return false
		}
	}
	return true
}

func (m *image) takeRecord(kind byte, text []byte) bool {
	switch kind {
	case recordStay:
		var s stayImage
		if json.Unmarshal(text, &s) != nil {
			return false
		}
		o := m.sessions[s.Ref]
		if o == nil {
			o = &sessionImage{}
			m.sessions[s.Ref] = o
		}
		o.id, o.text = s.Stay.ID, bytes.Clone(text)
		m.refs[o.id] = s.Ref
	case recordRoom:
		var r roomImage
		if json.Unmarshal(text, &r) != nil {
			return false
		}
		if m.rooms[r.Name] = &r; len(r.People) == 0 {
			delete(m.rooms, r.Name)
		}
	case recordCall:
		var c callImage
		if json.Unmarshal(text, &c) != nil {
			return false
		}
		c.at = m.now()
		if m.calls[c.Call] = &c; len(c.Refs) == 0 {
			delete(m.calls, c.Call)
		}
		if c.Over != "" {
			m.overs.add(c.Call, c.Over)
		}
	case recordHost:
		return m.takeHosting(text)
	case recordWait:
		var l lobbyImage
		if json.Unmarshal(text, &l) != nil {
			return false
		}
		if m.lobbies[l.Room] = &l; len(l.Visits) == 0 {
			delete(m.lobbies, l.Room)
		}
	default:
		return false
	}
	return true
}

// takeHad takes what a session has had of another one.
func (m *image) takeHad(f *[]byte) bool {
	ref, ok1 := uvarint(f)
	size, ok2 := uvarint(f)
	if !ok1 || !ok2 || size > uint64(len(*f)) {
		return false
	}
	of := (*f)[:size]
	*f = (*f)[size:]
	highest, ok1 := uvarint(f)
	n, ok2 := uvarint(f)
	s := m.sessions[delivery.Ref(ref)]
	if !ok1 || !ok2 || n > mostRefused || s == nil {
		return false
	}
	t := s.hadOf[string(of)]
	switch {
	case size == 0:
		s.hadOf, t = nil, &had{}
	case t == nil:
		if s.hadOf == nil {
			s.hadOf = make(map[string]*had)
		}
		t = &had{}
		s.hadOf[string(of)] = t
	}
	t.Highest, t.Refused = highest, t.Refused[:0]
	for ; n > 0; n-- {
		seq, ok := uvarint(f)
		if !ok {
			return false
		}
		t.Refused = append(t.Refused, seq)
	}
	return true
}

// takeKept takes what has come to a session's stream.
func (m *image) takeKept(p *peer, f *[]byte, texts *[]wire.Object) bool {
	var head [6]uint64
	for i := range head {
		n, ok := uvarint(f)
		if !ok {
			return false
		}
		head[i] = n
	}
	s := m.sessions[delivery.Ref(head[0])]
	if s == nil {
		return false
	}
	s.plain = head[1] == 1
	k := delivery.Kept{Base: head[2], Last: head[3], Handled: head[4], Held: s.kept.Held[:0], Items: s.kept.Items}
	number := func() uint64 {
		n, ok := uvarint(f)
		if !ok {
			*f = nil
		}
		return n
	}
	for i := uint64(0); i < head[5] && len(*f) > 0; i++ {
		k.Held = append(k.Held, number())
	}
	if len(*f) == 0 {
		return false
	}
	for n := number(); n > 0; n-- {
		if len(*f) == 0 {
			return false
		}
		at := number()
		switch at {
		case textWhole:
			size := number()
			if size > uint64(len(*f)) {
				return false
			}
			*texts = append(*texts, bytes.Clone((*f)[:size]))
			*f = (*f)[size:]
			at = uint64(len(*texts)) - 1 + textKnown
		case textYours:
			text := p.said(number())
			if text == nil {
				return false
			}
			*texts = append(*texts, text)
			at = uint64(len(*texts)) - 1 + textKnown
		}
		if at -= textKnown; at >= uint64(len(*texts)) {
			return false
		}
		k.Items = append(k.Items, (*texts)[at])
	}
	if most := k.Last - min(k.Base, k.Last); uint64(len(k.Items)) > most {
		if k.Items = slices.Delete(k.Items, 0, len(k.Items)-int(most)); most == 0 {
			k.Items = nil // most sessions wait for nothing
		}
	}
	s.kept = k
	return true
}
