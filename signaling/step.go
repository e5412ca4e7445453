package signaling

import (
	"context"
	"encoding/binary"
	"time"

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
	x.mu.Lock()
	if !x.gathers || x.state != covered || !x.shut {
		x.mu.Unlock()
		x.commit()
		return
	}
	x.inside = false
	due := x.due()
	x.mu.Unlock()
	x.step.Unlock()
	if due {
		x.rouse()
	}
}

// Several steps go to the second as one, as long as nobody hears of any of them meanwhile:
// so many people cost it few packets. Serve sends them, and rests four times as long as
// that took, since a packet costs NATS and the other node several times as much: what few
// people do goes at once.
const (
	gatherLeast = 50 * time.Microsecond // a shorter rest takes as long as that itself
	gatherMost  = 500 * time.Microsecond
)

// serve sends what has been gathered until ctx ends.
func (x *second) serve(ctx context.Context) {
	gathers := func(is bool) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.gathers = is
	}
	gathers(true)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-x.wake:
			x.Enter()
			begun := x.h.now()
			x.commit()
			if rest := 4 * x.h.now().Sub(begun); rest >= gatherLeast {
				time.Sleep(min(rest, gatherMost))
			}
		}
	}
	gathers(false)
	x.Enter()
	x.commit()
}

// rouse has serve send soon what there is. It may be called under locks.
func (x *second) rouse() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// soon has a step end for what happens outside of any, though not here: the caller has locks.
func (x *second) soon(gathers bool) {
	if gathers {
		x.rouse()
	} else {
		x.h.timers.Set(&x.sync, x.h.now())
	}
}

// commit sends what has happened to the second, and ends the step.
func (x *second) commit() {
	x.flush()
	x.mu.Lock()
	x.inside = false
	x.mu.Unlock()
	x.step.Unlock()
	x.mu.Lock()
	late := x.due()
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

// due reports whether the end of the step has something to do. mu is held.
func (x *second) due() bool {
	switch x.state {
	case syncing:
		return x.any() || len(x.frames)+len(x.keeps) > 0
	case covered:
		return x.any() || len(x.frames)+len(x.keeps)+len(x.fresh) > 0
	}
	return len(x.keeps) > 0
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
	outside, gathers := on && !x.inside, x.gathers
	x.mu.Unlock()
	if outside {
		x.soon(gathers)
	}
}

// Changed implements delivery.Mirror.
func (x *second) Changed(ref delivery.Ref) {
	x.note(func() { x.add(ref) })
}

// more says that what stays of a session has changed.
func (x *second) more(ref delivery.Ref) {
	x.note(func() { x.add(ref); x.sessions[ref] = whole })
}

func (x *second) opened(ref delivery.Ref) {
	x.note(func() { x.fresh[ref] = struct{}{} })
}

func (x *second) end(ref delivery.Ref) {
	if x == nil {
		return
	}
	x.mu.Lock()
	delete(x.hostly, ref)
	x.mu.Unlock()
	x.note(func() {
		if _, is := x.fresh[ref]; !is {
			x.ended = append(x.ended, ref)
		}
		delete(x.fresh, ref)
	})
}

// its returns the number of a message of a node for its image, if that is the second: it is
// not told the message once more.
func (x *second) its(p *peer, number uint64) uint64 {
	if x == nil {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.is(p) {
		return 0
	}
	return number
}

func (x *second) room(name string) { x.note(func() { x.rooms[name] = struct{}{} }) }
func (x *second) call(id string)   { x.note(func() { x.calls[id] = struct{}{} }) }

func (x *second) hosting(name string) { x.note(func() { x.hosts[name] = struct{}{} }) }
func (x *second) lobby(name string)   { x.note(func() { x.lobbies[name] = struct{}{} }) }

func (x *second) is(p *peer) bool { return x.node == p.name && x.gen == p.generation }
func (x *second) covers() (on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state == covered && x.has
}

// Send implements Nodes: what others may not hear before the image has it waits.
func (x *second) Send(node string, generation uint64, frames ...[]byte) bool {
	x.mu.Lock()
	if !x.shut && !(x.state == syncing && node == x.node) {
		x.mu.Unlock()
		return x.out.Send(node, generation, frames...)
	}
	for _, f := range frames {
		x.frames = append(x.frames, heldFrame{node, generation, f})
		x.bytes += len(f)
	}
	outside, gathers := !x.inside, x.gathers
	x.mu.Unlock()
	if outside {
		x.soon(gathers)
	}
	return true
}

// tellsKept tells a node, at the end of the step, up to which step of its image all is here.
func (x *second) tellsKept(p *peer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keeps = append(x.keeps, heldFrame{p.name, p.generation, binary.AppendUvarint([]byte{kindKept}, p.kept)})
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

// takes writes what there is to be told of a session, if that is there still.
func (x *second) takes(b *imageWriter, ref delivery.Ref, all, stays bool) (s *member, done uint64) {
	done, is := x.h.node.Take(ref, all, &b.k)
	if s = x.h.directory.member(ref); !is || s == nil {
		return nil, 0
	}
	if stays {
		b.record(recordStay, x.h.stays(s, x.h.node.Stay(ref)))
	}
	b.kept(ref, s.plain())
	return s, done
}

// flush ends a step: what has changed goes to the second.
func (x *second) flush() {
	x.mu.Lock()
	out := append(x.sending[:0], x.keeps...) // of these the others may hear at once
	defer func() {
		if clear(out); cap(out) <= mostReused {
			x.sending = out[:0]
		}
	}()
	x.keeps = nil
	if x.state == alone || x.state == naming {
		x.sendAll(out)
		x.mu.Unlock()
		return
	}
	if !x.due() && len(x.fresh)+len(x.unsaid) == 0 {
		x.sendAll(out)
		x.complete()
		x.mu.Unlock()
		return
	}
	state, node, gen := x.state, x.node, x.gen
	c := x.changes
	x.changes, x.spare = x.spare.again(), nil
	for n := 0; n < syncAtOnce && len(x.unsaid) > 0; n++ { // not all at once
		c.rooms[x.unsaid[0]] = struct{}{}
		x.unsaid = x.unsaid[1:]
	}
	var news []delivery.Ref
	for ref := range x.fresh {
		if state == syncing && len(news) == syncAtOnce {
			break
		}
		news = append(news, ref)
		delete(x.fresh, ref)
	}
	more := len(x.fresh) > 0
	x.at++
	at := x.at
	x.mu.Unlock()

	b := &x.writer // under step
	b.start(at)
	opens := make([]delivery.Openable, 0, len(news)+len(c.order))
	for _, ref := range news {
		if s, done := x.takes(b, ref, true, true); s != nil {
			opens = append(opens, delivery.Openable{Ref: ref, Last: b.k.Last, Done: done})
			c.sessions[ref] = taken
			b.hadAll(s)
		}
	}
	for _, ref := range c.order {
		how := c.sessions[ref]
		if how == taken || more && x.comes(ref) {
			continue
		}
		if s, done := x.takes(b, ref, false, how == whole); s != nil {
			opens = append(opens, delivery.Openable{Ref: ref, Last: b.k.Last, Done: done})
			c.sessions[ref] = taken
			if _, all := c.had[heard{ref: ref}]; all {
				b.hadAll(s)
			}
		}
	}
	for h := range c.had {
		if s := x.h.directory.member(h.ref); s != nil && h.of != "" && c.sessions[h.ref] == taken {
			if t := s.hadOf[h.of]; t != nil {
				b.had(h.ref, h.of, t)
			}
		}
	}
	for _, ref := range c.ended {
		b.end(ref)
	}
	for name := range c.rooms {
		b.record(recordRoom, x.h.directory.imageOfRoom(name))
	}
	for id := range c.calls {
		b.record(recordCall, x.h.directory.imageOfCall(id))
	}
	for name := range c.hosts {
		b.record(recordHost, x.h.directory.imageOfHosting(name))
	}
	for name := range c.lobbies {
		b.record(recordWait, x.h.directory.imageOfLobby(name))
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	x.spare = c
	x.answered(at, opens)
	frames := x.frames
	empty := b.empty()
	for _, f := range b.frames() {
		out = append(out, heldFrame{node, gen, f})
	}
	w := waitingStep{at: at, opens: opens}
	for _, f := range frames {
		if f.node == node || !x.shut {
			x.bytes -= len(f.frame)
			out = append(out, f)
		} else {
			w.frames = append(w.frames, f)
		}
	}
	switch {
	case x.shut && empty && len(x.waiting) == 0:
		for _, f := range w.frames {
			x.bytes -= len(f.frame)
			out = append(out, f)
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
	clear(frames)
	if x.frames = frames[:0]; cap(frames) > mostReused {
		x.frames = nil
	}
	x.sendAll(out)
	x.complete()
}

// sendAll sends frames, what goes to one node together. mu is held.
func (x *second) sendAll(list []heldFrame) {
	for len(list) > 0 {
		first, together := list[0], x.together[:0]
		for len(list) > 0 && list[0].node == first.node && list[0].generation == first.generation {
			together, list = append(together, list[0].frame), list[1:]
		}
		x.out.Send(first.node, first.generation, together...)
		if clear(together); cap(together) <= mostReused {
			x.together = together
		}
	}
}
