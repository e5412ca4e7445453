package signaling

import (
	"slices"
	"time"

	"turnhub/signaling/internal/timers"
)

// A node that goes down sends its sessions to others, where they are new ones. Those with
// whom they were hear that at once, and look for them there. What they had with each other,
// a media socket or a relayed path, is carried on by the old process meanwhile: for the nodes
// of both the two are together still, until the new way is there or partedFor is over.

// partedFor is as long as what a node carries after its sessions have gone.
const partedFor = 12 * time.Second

// parted is that a session has gone with its node.
type parted struct {
	gone *member
	with []*member // those of this node that it was with
}

// partsFrom is told that a session of another node has gone with it.
func (d *directory) partsFrom(gone *member, with []*member) {
	gone.going.Store(true)
	if len(with) == 0 {
		return
	}
	p := &parted{gone, with}
	gone.hold()
	ids := []string{gone.id}
	for _, s := range with {
		ids = append(ids, s.id)
		s.changeParted(func(list []*parted) []*parted { return append(list, p) })
	}
	over := &timers.Timer{Fire: func(time.Time) {
		for _, s := range with {
			s.changeParted(func(list []*parted) []*parted {
				return slices.DeleteFunc(list, func(o *parted) bool { return o == p })
			})
		}
		gone.release()
		d.hub.changed(ids...)
	}}
	d.hub.timers.Set(over, d.hub.now().Add(partedFor))
}

// partsFrom is told that a member on another node has gone with it.
func (r *room) partsFrom(gone *member) {
	r.mu.RLock()
	with := r.ours()
	r.mu.RUnlock()
	r.d.partsFrom(gone, with)
}

func (s *member) partedList() []*parted {
	if p := s.parted.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *member) changeParted(change func([]*parted) []*parted) {
	for {
		old := s.parted.Load()
		list := change(slices.Clone(s.partedList()))
		if s.parted.CompareAndSwap(old, &list) {
			return
		}
	}
}

// partedFrom reports whether a session was with another one that has gone with its node, or
// the other way round. It takes no lock.
func (s *member) partedFrom(o *member) bool {
	was := func(s, gone *member) bool {
		return slices.ContainsFunc(s.partedList(), func(p *parted) bool { return p.gone.id == gone.id })
	}
	return was(s, o) || was(o, s)
}
