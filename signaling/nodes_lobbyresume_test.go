package signaling

import (
	"slices"
	"testing"
)

// TestLobbyOutlivesNodes: who waits in the lobby of a room, and whoever is his host, are that on
// the node that goes on with their sessions, whatever was on its way when theirs died.
func TestLobbyOutlivesNodes(t *testing.T) {
	schedules, first := plays(t, 100, 2000)
	inFlight := 0
	for i := range schedules {
		m := newDoorsModel(t, first+uint64(i))
		m.room, m.strict = "blue", true
		at := m.rng.Perm(modelNodes)
		m.people = m.people[:2]
		host, visitor := m.people[0], m.people[1]
		host.begin(m.nodes[at[0]])
		visitor.begin(m.nodes[at[0]])
		m.rest(12)
		joined := m.rng.IntN(2) == 0
		if joined {
			host.join()
		} else {
			host.say("lobby", nil, `"type":"lobby","room":"blue","first":{"of":"host"}`)
		}
		m.rest(2)
		visitor.say("lobby", nil, `"type":"lobby","room":"blue","first":{"of":"visitor"}`)
		if m.rng.IntN(2) == 0 {
			m.rest(2)
		} else {
			m.some(10)
		}
		if visitor.heard("lobby") == nil || host.heard("lobby-peer") == nil {
			inFlight++
		}
		m.stop(m.nodes[at[0]], false)
		m.bury(m.nodes[at[0]])
		for range 12 {
			m.resumes()
		}
		m.rest(10)
		m.back()
		if f := visitor.heard("lobby"); f == nil || f.str("first") != host.id {
			m.fail("the visitor is told %v", f)
		}
		if f := host.heard("lobby-peer"); f == nil || f.str("peer") != visitor.id {
			m.fail("the host is told %v", f)
		}
		if host.heard("lobby-left") != nil {
			m.fail("the host hears that the visitor has gone")
		}
		visitor.say("signal", nil, `"type":"signal","to":%q,"data":1`, host.id)
		host.say("signal", nil, `"type":"signal","to":%q,"data":1`, visitor.id)
		m.rest(3)
		if host.heard("signal") == nil || visitor.heard("signal") == nil {
			m.fail("they do not reach each other")
		}
		if joined {
			visitor.join()
		} else {
			host.join()
		}
		m.rest(3)
		switch f := visitor.heard("joined"); {
		case joined && (f == nil || f.str("first") != host.id || host.heard("peer-joined") == nil):
			m.fail("the visitor comes in, and is told %v", f)
		case !joined && (visitor.heard("lobby").str("first") != host.id || host.heard("lobby-left") != nil):
			m.fail("the host comes in, and the visitor is told %v", visitor.heard("lobby"))
		}
		m.finish()
		for _, n := range m.nodes {
			if !n.dead && len(n.hub.directory.lobbies.m) != 0 {
				m.fail("%s keeps a lobby", n.name())
			}
		}
	}
	t.Logf("%d schedules, %d with something on its way", schedules, inFlight)
}

// heard returns the last that was heard of a type; nil: nothing.
func (c *doorPerson) heard(typ string) (f frame) {
	for _, x := range c.all {
		if x.str("type") == typ {
			f = x
		}
	}
	return f
}

// TestSeatedOutliveNodes: who came by a seat before a host changed something is in the room still
// when his node dies, as he was on that.
func TestSeatedOutliveNodes(t *testing.T) {
	m := newDoorsModel(t, 1)
	m.strict = true
	m.people = m.people[:3]
	host, guest := m.people[0], m.people[2]
	m.people[1].begin(m.nodes[2])
	host.begin(m.nodes[0])
	guest.begin(m.nodes[1])
	m.rest(12)
	host.join()
	m.rest(3)
	guest.join()
	m.rest(3)
	host.order("admit", guest)
	m.rest(3)
	guest.join()
	m.rest(25)
	d := m.nodes[1].hub.directory
	d.hostings.m[m.room].people[d.members.Get(guest.id)].seat = 1
	host.order("mute", guest)
	m.rest(5)
	if d.hostings.m[m.room].edition < 2 {
		t.Fatal("nothing has changed")
	}
	m.stop(m.nodes[1], false)
	m.bury(m.nodes[1])
	for range 12 {
		m.resumes()
	}
	m.rest(25)
	m.back()
	m.agree()
	if guest.state != "inside" || !slices.Contains(host.muted, guest.id) {
		m.fail("it is %s", guest.state)
	}
}
