package signaling

import (
	"slices"
	"time"
)

// What happens in the model of hosted rooms while a node is dead, or stands still, and others have
// missed it or not.

// misses has one node notice that another one is dead, or says nothing.
func (m *nodesModel) misses(o, n *modelNode) {
	if o == n || o.dead || o.frozen || o.generation[n.at] == 0 {
		return
	}
	how := Ended
	if n.frozen { // what has been sent comes when it goes on
		n.waits[o.at] = append(n.waits[o.at], o.queues[n.at]...)
		how = Silent
	}
	o.queues[n.at] = nil
	o.generation[n.at] = 0
	o.hub.NodeLost(n.name(), how)
}

// places is where people begin, if that node dies first: anywhere, or in some schedules nobody on
// one of the others, as a rule that which goes on with the sessions, or hardly anybody on itself.
func (m *doorsModel) places(n *modelNode) (list []*modelNode) {
	x := m.rng.IntN(6)
	m.apart, m.lone = x < 2, x == 3
	for i := range m.people {
		at := (n.at + m.rng.IntN(modelNodes)) % modelNodes
		switch {
		case x < 2:
			at = (n.at + 2*m.rng.IntN(2)) % modelNodes
		case x == 2:
			at = (n.at + m.rng.IntN(2)) % modelNodes
		case x == 3 && i != 5:
			at = (n.at + 1 + m.rng.IntN(2)) % modelNodes
		case x == 3:
			at = n.at
		}
		list = append(list, m.nodes[at])
	}
	return list
}

// someone is anybody, and often whoever was spoken of last, or may come in now.
func (m *doorsModel) someone() *doorPerson {
	switch m.rng.IntN(4) {
	case 0:
		if len(m.asks) > 0 {
			if of := m.asks[len(m.asks)-1].of; of != nil {
				return of
			}
		}
	case 1:
		for _, c := range m.people {
			if c.live() && !c.lost && c.state == "admitted" {
				return c
			}
		}
	}
	return m.people[m.rng.IntN(len(m.people))]
}

// prefers is one of these, and often one of whom hosts have said something lately, or another
// device of his.
func (m *doorsModel) prefers(ids []string) string {
	if m.rng.IntN(2) == 0 {
		for _, a := range m.asks[max(0, len(m.asks)-3):] {
			for _, id := range ids {
				if c := m.by[id]; a.of != nil && (a.of == c || c.user != "" && a.of.user == c.user) {
					return id
				}
			}
		}
	}
	return ids[m.rng.IntN(len(ids))]
}

// anew has somebody end his session and come to some node with another one.
func (m *doorsModel) anew(c *doorPerson) {
	n := m.nodes[m.rng.IntN(modelNodes)]
	if n.dead || n.frozen || len(m.people) > 10 || c.rules {
		return
	}
	m.log("%s begins anew", c.name)
	c.goodbye()
	c.over, c.left = true, true
	o := &doorPerson{m: m, modelSession: modelSession{of: m.nodesModel, name: c.name + "'"}, user: c.user}
	m.people = append(m.people, o)
	o.begin(n)
}

// wants has a host say something of those on a node, or of others who have to do with them; nil:
// of anybody.
func (m *doorsModel) wants(n *modelNode) {
	if m.rng.IntN(3) == 0 {
		n = nil
	}
	for _, i := range m.rng.Perm(2) {
		host := m.people[i]
		if !host.live() || host.lost || host.state != "inside" || !host.isHost() || len(host.asked) > 0 {
			continue
		}
		is := func(c *doorPerson) bool {
			return c.live() && c != host && !c.rules && (host.door[c.id] || host.peers[c.id])
		}
		var of []string
		for _, c := range m.people {
			for _, o := range m.people {
				if is(c) && o.live() && (n == nil || o.node == n) && (c == o || c.user != "" && c.user == o.user) && !slices.Contains(of, c.id) {
					of = append(of, c.id)
				}
			}
		}
		x := m.rng.IntN(10)
		if len(of) == 0 {
			x = m.rng.IntN(3)
		}
		switch {
		case x == 0 && m.rng.IntN(2) == 0:
			host.order("end", nil)
		case x < 2:
			host.order("lock", nil)
		case len(of) > 0:
			c := m.by[m.prefers(of)]
			if host.door[c.id] {
				host.order([]string{"admit", "admit", "decline"}[m.rng.IntN(3)], c)
			} else {
				host.order([]string{"remove", "remove", "mute"}[m.rng.IntN(3)], c)
			}
		}
		return
	}
}

// meanwhile has hosts say something of those on a node, and people act.
func (m *doorsModel) meanwhile(n *modelNode, most int) {
	for range m.rng.IntN(3) {
		m.wants(n)
		if m.rng.IntN(2) == 0 {
			m.rest(1)
		} else {
			m.some(20)
		}
	}
	m.acts(m.rng.IntN(most))
}

// dies ends a node, or has it stand still. The others miss it each in its own time, one of them may
// die as well as soon as it has, and they may be without NATS then.
func (m *doorsModel) dies(n *modelNode, freezes bool, also *modelNode) {
	m.stop(n, freezes)
	m.meanwhile(n, 4)
	for _, at := range m.rng.Perm(modelNodes) {
		o := m.nodes[at]
		m.misses(o, n)
		m.meanwhile(n, 4+8*m.rng.IntN(2))
		if o == also {
			m.stop(o, false)
		}
	}
	for _, at := range m.rng.Perm(modelNodes) {
		if also != nil {
			m.misses(m.nodes[at], also)
		}
	}
	if m.rng.IntN(4) == 0 {
		m.log("NATS is away")
		m.away = true
		for _, o := range m.nodes {
			o.deaf = true
		}
		for range m.rng.IntN(20) {
			m.step(200 * time.Millisecond)
			m.acts(m.rng.IntN(2))
		}
		m.away = false
		m.log("NATS is back")
		m.rest(5) // nodes count as deaf for a while yet
		for _, o := range m.nodes {
			o.deaf = false
		}
	}
}

// fills has the second of a host's node die, and then that node itself, while another one gets what
// there is: what the host has been answered meanwhile holds.
func (m *doorsModel) fills() {
	host := m.people[m.rng.IntN(2)]
	o := host.node
	n, next := m.nodes[(o.at+1)%modelNodes], m.nodes[(o.at+2)%modelNodes]
	m.stop(n, false)
	for range m.rng.IntN(2) {
		m.wants(nil)
	}
	m.misses(o, n)
	noticed := false
	for range 1 + m.rng.IntN(12) {
		switch m.rng.IntN(8) {
		case 0, 1:
			m.wants(nil)
		case 2:
			m.decides()
		case 3:
			m.step(time.Duration(m.rng.IntN(30)) * time.Millisecond)
		case 4, 5:
			m.deliver(o, next, 1+m.rng.IntN(3))
		case 6:
			m.deliver(next, o, 1+m.rng.IntN(3))
		default:
			m.misses(next, n)
			noticed = true
		}
		m.read()
	}
	m.stop(o, false)
	if !noticed {
		m.misses(next, n)
	}
	m.meanwhile(next, 4)
	m.misses(next, o)
}

// saidAll reports whether all that a node has said has come to those that live.
func (m *doorsModel) saidAll(n *modelNode) bool {
	x := n.hub.second
	for _, o := range m.nodes {
		if o == n {
			continue
		}
		if o.dead || o.frozen {
			if n.generation[o.at] != 0 { // which it has not missed yet
				return false
			}
			continue
		}
		if len(n.queues[o.at])+len(x.frames)+len(x.waiting) > 0 {
			return false
		}
	}
	return true
}

// decides lets it be said who goes on with a dead node's people. Whoever does so knows whom hosts
// have removed, where that had come to it before.
func (m *doorsModel) decides() {
	out := make(map[*doorPerson][]*modelNode)
	for _, c := range m.people {
		for _, n := range m.nodes {
			if c.live() && (c.node.dead || c.node.frozen) && !n.dead && m.removedBy(c, func(r *doorAsk) bool { return m.hasTold(r.on, n, c.node) }) {
				out[c] = append(out[c], n)
			}
		}
	}
	m.seconds.run()
	for _, c := range m.people {
		for _, n := range out[c] {
			if s := n.hub.directory.members.Get(c.id); s != nil && s.node == nil && s.inRoom(m.room) != nil {
				m.fail("%s goes on inside on %s, which had heard that it was removed", c.name, n.name())
			}
		}
	}
}

// hasTold reports whether a node that has missed a dead one has told another one all that it knows.
func (m *doorsModel) hasTold(n, to, dead *modelNode) bool {
	if n == nil || n == to || n.dead || n.frozen || n.generation[dead.at] != 0 {
		return false
	}
	x := n.hub.second
	return n.generation[to.at] != 0 && n.generation[to.at] == to.generation[n.at] && len(n.queues[to.at])+len(x.frames)+len(x.waiting) == 0
}

// keeps notes, as a node dies, what was answered with ok on it, or on one with which it has gone
// on, and is not lost: all has come to the others, or one of them has its image, or nobody had
// when it was answered, as then the others had to have it.
func (m *doorsModel) keeps(n *modelNode) {
	all, x := m.saidAll(n), n.hub.second
	var next *modelNode
	if x.covers() {
		if next = m.nodes[x.node[0]-'a']; next.dead || next.frozen {
			next = nil
		}
	}
	for _, a := range m.done {
		if a.on != n || !slices.Contains(m.people, a.by) {
			continue
		}
		if a.kept { // by the image of another one, which it has gone on with, or not yet
			s := n.hub.directory.members.Get(a.by.id)
			a.kept = s != nil && s.node == nil && (all || next != nil)
		} else {
			a.kept = all || next != nil || a.bare
		}
		if a.on = next; all {
			a.on = nil
		}
	}
}
