package signaling

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// The model of many nodes whose sessions outlive them: as TestNodes, but each node has a
// second one, nodes die, freeze and come back, and clients resume wherever they can. Of a
// session that goes on nobody, on whichever node, is told that it has left; nothing that was
// answered is lost, and nothing comes twice.

// modelSeconds is the place where nodes ask who may go on with a dead one's sessions.
type modelSeconds struct {
	m       *nodesModel
	entries map[string]*modelSecond
	todo    []func()
	told    [modelNodes][]func()
}

type modelSecond struct {
	node  string
	image uint64
	taken bool
}

type secondsOf struct {
	*modelSeconds
	n *modelNode
}

func (s secondsOf) later(ask func() bool, done func(bool)) {
	hub := s.n.hub
	s.todo = append(s.todo, func() {
		ok := ask()
		s.told[s.n.at] = append(s.told[s.n.at], func() {
			if hub == nil || s.n.hub == hub {
				done(ok)
			}
		})
	})
}

func (s secondsOf) Name(run, node string, image uint64, done func(bool)) {
	key := s.n.name() + run
	s.later(func() bool {
		e := s.entries[key]
		if e == nil {
			e = &modelSecond{}
			s.entries[key] = e
		}
		if e.taken {
			return false
		}
		e.node, e.image = node, image
		return true
	}, done)
}

func (s secondsOf) Take(node, run string, image uint64, done func(ok, lives bool)) {
	s.later(func() bool {
		e := s.entries[node+run]
		if e == nil || e.taken || e.node != s.n.name() || e.image != image {
			return false
		}
		e.taken = true
		return true
	}, func(ok bool) { done(ok, false) })
}

// run lets the place answer.
func (s *modelSeconds) run() {
	todo := s.todo
	s.todo = nil
	for _, f := range todo {
		f()
	}
	for i, n := range s.m.nodes {
		if !n.dead && !n.frozen {
			told := s.told[i]
			s.told[i] = nil
			for _, f := range told {
				f()
			}
		}
	}
}

// voids gives up the streams that nodes want to be given up.
func (m *nodesModel) voids() {
	for _, n := range m.nodes {
		for i, o := range m.nodes {
			if n.voids[i] && !n.dead && !n.frozen {
				n.voids[i] = false
				if !o.dead && n.generation[i] != 0 {
					m.log("%s gives up the stream to %s, as it was asked to", n.name(), o.name())
					m.up(n, o)
				}
			}
		}
	}
}

// freeze stops a node for a while: its clients lose their sockets.
func (m *nodesModel) freeze(n *modelNode) {
	m.log("%s freezes", n.name())
	n.frozen = true
	for _, c := range m.clients {
		if c.node == n && c.live() {
			if !c.lost {
				m.unseen[n.at] = append(m.unseen[n.at], c.socket)
			}
			c.drop()
		}
	}
}

// thaw lets a frozen node go on. gone: the others had taken it for dead.
func (m *nodesModel) thaw(n *modelNode) {
	n.frozen = false
	m.log("%s goes on", n.name())
	for _, s := range m.unseen[n.at] {
		s.Lost(false)
	}
	m.unseen[n.at] = nil
	for _, o := range m.nodes {
		var late [][]byte
		for _, f := range n.waits[o.at] {
			if f.generation == n.generation[o.at] {
				late = append(late, f.text)
			}
		}
		if n.waits[o.at] = nil; len(late) > 0 {
			m.log("  %s hears what %s has said meanwhile: %d frames", n.name(), o.name(), len(late))
			n.hub.FromNode(o.name(), late)
			m.commit(n)
		}
	}
	for _, o := range m.nodes {
		if o == n || o.dead || o.frozen {
			continue
		}
		if o.generation[n.at] == 0 {
			m.up(o, n)
		}
		if n.generation[o.at] == 0 {
			m.up(n, o)
		}
	}
}

func (m *nodesModel) actSeconds() {
	n := m.nodes[m.rng.IntN(modelNodes)]
	switch x := m.rng.IntN(1000); {
	case x < 100:
		m.seconds.run()
	case x < 150:
		m.voids()
	case x < 155 && !n.dead && !n.frozen:
		m.freeze(n)
	case x < 165 && n.frozen:
		m.log("%s is missed", n.name())
		m.bury(n)
	case x < 180 && n.frozen:
		m.thaw(n)
	case x < 185:
		m.strict(n)
	case x < 188 && !n.dead && !n.frozen:
		m.log("%s is cut off", n.name())
		n.hub.CutOff()
	default:
		m.act()
	}
}

// quiet lets everything arrive that is on its way.
func (m *nodesModel) quiet() {
	for range 12 {
		m.step(10 * time.Millisecond)
		m.seconds.run()
		m.voids()
		for _, n := range m.nodes {
			m.commit(n)
			for _, o := range m.nodes {
				m.deliver(n, o, 1000)
			}
		}
	}
}

// strict kills a node that has had the time to be covered, or freezes it: all of its sessions go
// on. Where nothing else happens nobody is told anything.
func (m *nodesModel) strict(n *modelNode) {
	m.narrow = false
	for _, o := range m.nodes {
		if o.dead || o.frozen {
			return
		}
	}
	m.quiet()
	var theirs []*modelClient
	all := true
	for _, c := range m.clients {
		s := n.hub.directory.members.Get(c.id)
		if c.live() && c.node == n && s != nil && s.node == nil && !c.sent && (!c.lost || m.now.Sub(c.since) < 40*time.Second) {
			theirs = append(theirs, c)
		}
		if c.live() && !c.lost {
			c.read(1000)
		}
		all = all && !(c.live() && c.lost) // what it says when it is back may change what there is
	}
	if m.rng.IntN(2) == 0 { // while something is on its way
		for range m.rng.IntN(20) {
			m.act()
			if n.dead {
				return
			}
		}
		for _, o := range m.nodes {
			if o.dead || o.frozen || !n.hub.second.covers() {
				return
			}
		}
		all = false
	}
	for _, c := range m.clients {
		for _, r := range c.rooms {
			clear(r.gone)
		}
	}
	if m.rng.IntN(3) == 0 {
		m.freezes(n)
	} else {
		m.kill(n)
		m.bury(n)
		m.quiet()
	}
	for range 12 {
		for _, c := range theirs {
			for range 10 {
				if c.lost && !c.over {
					c.resume()
				}
			}
		}
		m.quiet()
	}
	for _, c := range theirs {
		if c.over || c.lost {
			m.fail("%s has not resumed after the death of %s", c.name, n.name())
		}
	}
	if n.frozen {
		m.thaw(n)
	}
	m.quiet()
	for _, c := range m.clients {
		if !c.live() || c.lost || !all {
			continue
		}
		c.read(1000)
		for name, r := range c.rooms {
			if len(r.gone) > 0 {
				m.fail("%s is told that %v have left %s, and nobody has", c.name, slices.Collect(maps.Keys(r.gone)), name)
			}
		}
	}
	m.strictly += len(theirs)
}

// freezes has a node stand still, while nobody does anything.
func (m *nodesModel) freezes(n *modelNode) {
	m.freeze(n)
	if m.stands(n, 15, 30, m.quiet) {
		m.quiet()
	}
}

// stands has a frozen node stand still for as long as clients take to notice: so many passes at
// most before it may be missed, and after that. Streams to it may be given up before. It is back
// in the end, before anybody has come to another one or not; false: it is not.
func (m *nodesModel) stands(n *modelNode, before, after int, pass func()) bool {
	passes := func(most int) {
		for range m.rng.IntN(most) {
			m.step(200 * time.Millisecond)
			pass()
			o := m.nodes[m.rng.IntN(modelNodes)]
			if m.rng.IntN(8) == 0 && !o.dead && !o.frozen && o.generation[n.at] != 0 {
				m.log("%s gives up what it says to %s", o.name(), n.name())
				m.up(o, n)
			}
		}
	}
	passes(before)
	missed := m.rng.IntN(4) > 0
	if missed {
		m.log("%s is missed", n.name())
		m.bury(n)
		passes(after)
	}
	if missed && m.rng.IntN(2) > 0 {
		return false
	}
	m.thaw(n)
	return true
}

// TestNodesResume plays random schedules, each of which it can repeat from its seed.
func TestNodesResume(t *testing.T) {
	schedules, first := plays(t, resumeSchedules, 100_000)
	owed, moved, strictly := 0, 0, 0
	for i := range schedules {
		m := newNodesModelWith(t, first+uint64(i), true)
		for range 200 + m.rng.IntN(300) {
			m.actSeconds()
		}
		m.settle()
		owed, moved, strictly = owed+m.owed, moved+m.moved, strictly+m.strictly
	}
	t.Logf("%d schedules, %d messages that had to come to somebody, %d sessions resumed on another node, %d of which had to", schedules, owed, moved, strictly)
	if owed < 2*schedules || strictly < schedules {
		t.Error("too few")
	}
}
