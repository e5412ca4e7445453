package signaling

import (
	"maps"
	"slices"

	"turnhub/signaling/internal/delivery"
)

// What happens in one step, and what waits for the image to have it.

// Enter implements delivery.Mirror.
func (x *second) Enter() {
	x.step.Lock()
	x.mu.Lock()
	x.inside = true
	x.mu.Unlock()
}

// Leave implements delivery.Mirror.
func (x *second) Leave() {
	x.flush()
	x.mu.Lock()
	x.inside = false
	x.mu.Unlock()
	x.step.Unlock()
	x.mu.Lock()
	late := x.changes() > 0
	x.mu.Unlock()
	if late {
		x.between()
	}
}

// between ends a step for what happened outside of any. Where one is going on, its end does.
func (x *second) between() {
	if x.step.TryLock() {
		x.mu.Lock()
		x.inside = true
		x.mu.Unlock()
		x.Leave()
	}
}

// changes counts what the end of the step has to do. mu is held.
func (x *second) changes() int {
	if x.state != syncing && x.state != covered {
		return 0
	}
	n := len(x.order) + len(x.ended) + len(x.rooms) + len(x.calls) + len(x.had) + len(x.frames)
	if x.state == covered {
		n += len(x.fresh)
	}
	return n
}

// enter and leave are around what happens to the hub from outside.
func (h *Hub) enter() {
	if h.second != nil {
		h.second.Enter()
	}
}

func (h *Hub) leave() {
	if h.second != nil {
		h.second.Leave()
	}
}

// note remembers a change for the end of the step, if there is an image.
func (x *second) note(f func()) {
	if x == nil {
		return
	}
	x.mu.Lock()
	on := x.state == syncing || x.state == covered
	if on {
		f()
	}
	outside := on && !x.inside
	x.mu.Unlock()
	if outside {
		x.h.timers.Set(&x.sync, x.h.now()) // not here: the caller has locks
	}
}

// Changed implements delivery.Mirror.
func (x *second) Changed(ref delivery.Ref) {
	x.note(func() { x.add(ref) })
}

func (x *second) add(ref delivery.Ref) {
	if _, is := x.sessions[ref]; !is {
		x.sessions[ref] = struct{}{}
		x.order = append(x.order, ref)
	}
}

// more says that what stays of a session has changed.
func (x *second) more(ref delivery.Ref) {
	x.note(func() { x.add(ref); x.whole[ref] = true })
}

func (x *second) opened(ref delivery.Ref) {
	x.note(func() { x.fresh[ref] = struct{}{} })
}

func (x *second) end(ref delivery.Ref) {
	x.note(func() {
		if _, is := x.fresh[ref]; !is {
			x.ended = append(x.ended, ref)
		}
		delete(x.fresh, ref)
	})
}

func (x *second) room(name string) { x.note(func() { x.rooms[name] = struct{}{} }) }
func (x *second) call(id string)   { x.note(func() { x.calls[id] = struct{}{} }) }
func (x *second) is(p *peer) bool  { return x.node == p.name && x.gen == p.generation }
func (x *second) covers() (on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state == covered && x.has
}

// Send implements Nodes: what others may not hear before the image has it waits.
func (x *second) Send(node string, generation uint64, frame []byte) bool {
	x.mu.Lock()
	if !x.shut && !(x.state == syncing && node == x.node) {
		x.mu.Unlock()
		return x.out.Send(node, generation, frame)
	}
	x.frames = append(x.frames, heldFrame{node, generation, frame})
	x.bytes += len(frame)
	outside := !x.inside
	x.mu.Unlock()
	if outside {
		x.h.timers.Set(&x.sync, x.h.now())
	}
	return true
}

// Roomy implements Nodes.
func (x *second) Roomy(node string) bool {
	x.mu.Lock()
	full := x.bytes > waitingMost
	x.mu.Unlock()
	return !full && x.out.Roomy(node)
}

// comes reports whether a session is sent as a whole in a later step.
func (x *second) comes(ref delivery.Ref) (is bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, is = x.fresh[ref]
	return is
}

// flush ends a step: what has changed goes to the second.
func (x *second) flush() {
	x.mu.Lock()
	if x.state == alone || x.state == naming {
		x.mu.Unlock()
		return
	}
	if x.changes()+len(x.fresh)+len(x.unsaid) == 0 {
		x.complete()
		x.mu.Unlock()
		return
	}
	state, node, gen := x.state, x.node, x.gen
	order, whole, ended, rooms, calls, heard := x.order, x.whole, x.ended, x.rooms, x.calls, x.had
	x.clear()
	for n := 0; n < syncAtOnce && len(x.unsaid) > 0; n++ { // not all at once
		rooms[x.unsaid[0]] = struct{}{}
		x.unsaid = x.unsaid[1:]
	}
	news := make(map[delivery.Ref]bool)
	for ref := range x.fresh {
		if state == syncing && len(news) == syncAtOnce {
			break
		}
		news[ref] = true
		delete(x.fresh, ref)
	}
	x.at++
	at := x.at
	x.mu.Unlock()

	var b imageWriter
	var opens []opening
	take := func(ref delivery.Ref, all, meta bool) {
		k, stay, done, is := x.h.node.Take(ref, all)
		s := x.h.directory.member(ref)
		if !is || s == nil {
			return
		}
		opens = append(opens, opening{ref, k.Last, done})
		if all || meta {
			b.record(recordStay, x.h.stays(s, stay))
		}
		b.kept(ref, s.plain(), k)
		of, some := heard[ref]
		switch {
		case all || some && of == nil:
			b.record(recordHad, hadImage{Ref: ref})
			for id, t := range s.hadOf {
				b.record(recordHad, hadImage{ref, id, *t})
			}
		default:
			for id := range of {
				if t := s.hadOf[id]; t != nil {
					b.record(recordHad, hadImage{ref, id, *t})
				}
			}
		}
		delete(heard, ref)
	}
	for ref := range news {
		take(ref, true, true)
	}
	for _, ref := range order {
		if !news[ref] && !x.comes(ref) {
			take(ref, false, whole[ref])
		}
	}
	for _, ref := range slices.Collect(maps.Keys(heard)) {
		if !x.comes(ref) {
			take(ref, false, false)
		}
	}
	for _, ref := range ended {
		b.end(ref)
	}
	for name := range rooms {
		b.record(recordRoom, x.h.directory.imageOfRoom(name))
	}
	for id := range calls {
		b.record(recordCall, x.h.directory.imageOfCall(id))
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	frames := x.frames
	x.frames = nil
	empty := len(b.text) == 0
	for _, f := range b.frames(at) {
		x.out.Send(node, gen, f)
	}
	w := waitingStep{at: at, opens: opens}
	for _, f := range frames {
		if f.node == node || !x.shut {
			x.bytes -= len(f.frame)
			x.out.Send(f.node, f.generation, f.frame)
		} else {
			w.frames = append(w.frames, f)
		}
	}
	switch {
	case x.shut && empty && len(x.waiting) == 0:
		for _, f := range w.frames {
			x.bytes -= len(f.frame)
			x.out.Send(f.node, f.generation, f.frame)
		}
	case x.shut && empty: // nothing new: it waits for what comes before it
		last := &x.waiting[len(x.waiting)-1]
		last.frames = append(last.frames, w.frames...)
	case x.shut:
		if len(x.waiting) == 0 {
			x.progress = x.h.now()
		}
		x.waiting = append(x.waiting, w)
	}
	x.complete()
}
