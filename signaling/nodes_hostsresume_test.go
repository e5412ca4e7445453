package signaling

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The model of hosted rooms where sessions outlive their nodes: two who have the host's secret,
// guests, and one with two devices, on three hubs. They knock, are let in, declined, muted,
// removed and made host, come anew or knock again when they are out, the room is locked and ended,
// and meanwhile a node dies, or two, or one freezes, which the others notice each in its own time. Nobody is inside whom no host has let in; whoever was removed stays out; what a
// host was answered with ok has happened; nobody hears that somebody has left or come, or
// knocks a second time, because of the death; and in the end all agree on who is what.

type doorsModel struct {
	*nodesModel
	room   string
	people []*doorPerson
	by     map[string]*doorPerson // by session
	said   map[string]int         // what hosts have said, and of whom
	asks   []*doorAsk             // what hosts have said
	done   []*doorAsk             // of that, what was answered with ok
	words  int
	strict bool // nobody may be lost
	away   bool // NATS is away: nobody can be asked who may go on
	apart  bool // nobody begins on the node that goes on with the first one that dies
	lone   bool // and on that hardly anybody
}

func newDoorsModel(t *testing.T, seed uint64) *doorsModel {
	m := &doorsModel{room: hostedRoom("fox~host."), by: make(map[string]*doorPerson), said: make(map[string]int)}
	m.nodesModel = newNodesModelWith(t, seed, true)
	m.rng = rand.New(rand.NewPCG(seed, 8))
	m.clients = nil
	m.secrets()
	for _, name := range []string{"ann", "dan", "bob", "cat", "mal", "mal2", "eve"} {
		c := &doorPerson{m: m, modelSession: modelSession{of: m.nodesModel, name: name}, user: name, rules: name == "ann" || name == "dan"}
		switch name {
		case "mal2":
			c.user = "mal"
		case "eve":
			c.user = ""
		}
		m.people = append(m.people, c)
	}
	return m
}

func (m *doorsModel) secrets() {
	for _, n := range m.nodes {
		n.hub.SetSecrets([]string{"a secret of all nodes"})
	}
}

// removed says how often somebody was removed, on whichever device.
func (m *doorsModel) removed(c *doorPerson) (n int) {
	return m.said["remove "+c.id] + m.said["bar "+c.user]
}

// rest lets everything arrive.
func (m *doorsModel) rest(rounds int) {
	for range rounds {
		m.step(100 * time.Millisecond)
		m.decides()
		m.voids()
		for _, n := range m.nodes {
			m.settleHomes(n)
		}
		for range 5 {
			for _, n := range m.nodes {
				m.commit(n)
				for _, o := range m.nodes {
					m.deliver(n, o, 1000)
				}
			}
		}
		m.read()
	}
}

func (m *doorsModel) read() {
	for _, c := range m.people {
		if c.live() {
			c.read()
		}
	}
}

// some delivers some of what is on its way.
func (m *doorsModel) some(most int) {
	for range m.rng.IntN(most) {
		if m.rng.IntN(10) == 0 && !m.away {
			m.decides()
		}
		if m.rng.IntN(10) == 0 {
			m.settleHomes(m.nodes[m.rng.IntN(modelNodes)])
		}
		m.step(time.Duration(m.rng.IntN(3)) * time.Millisecond)
		m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1+m.rng.IntN(3))
	}
	m.read()
}

func (m *doorsModel) stop(n *modelNode, freezes bool) {
	if freezes {
		m.freeze(n)
	} else {
		m.keeps(n)
		m.kill(n)
	}
	for _, c := range m.people {
		if c.node == n && c.live() {
			if freezes && !c.lost {
				m.unseen[n.at] = append(m.unseen[n.at], c.socket)
			}
			c.drop()
		}
	}
}

// acts has somebody say something.
func (m *doorsModel) acts(n int) {
	for range n {
		if c := m.someone(); c.live() && !c.lost && len(c.asked) == 0 {
			m.act(c)
		}
		m.some(10)
	}
}

func (m *doorsModel) act(c *doorPerson) {
	x := m.rng.IntN(100)
	switch {
	case c.state == "outside" || c.state == "admitted":
		if c.joins < 4 {
			c.join()
		}
	case c.state == "out" && x < 30 && c.joins < 4:
		c.join()
	case c.state == "out" && x < 50, c.state == "waits" && x < 3:
		m.anew(c)
	case c.state == "waits" && x < 5:
		c.leave()
	case c.state == "inside" && x < 4:
		c.leave()
	case c.state != "inside" || !c.isHost():
	case len(c.door) > 0 && x < 60:
		door := slices.Sorted(maps.Keys(c.door))
		of := m.by[m.prefers(door)]
		switch {
		case x < 50:
			c.order("admit", of)
		default:
			c.order("decline", of)
		}
	case x < 65:
		c.order([]string{"lock", "unlock", "unlock"}[m.rng.IntN(3)], nil)
	case x < 67:
		c.order("end", nil)
	case len(c.peers) > 0:
		peers := slices.Sorted(maps.Keys(c.peers))
		of := m.by[m.prefers(peers)]
		switch {
		case x < 75:
			if !of.rules {
				c.order("remove", of)
			}
		case x < 90:
			c.order([]string{"mute", "unmute"}[m.rng.IntN(2)], of)
		case x < 94:
			c.order("hand", of)
		}
	}
}

// comeBack has everybody come back who can, while some act.
func (m *doorsModel) comeBack(rounds int) {
	for range rounds {
		m.resumes()
		m.acts(m.rng.IntN(3) / 2)
	}
}

func (m *doorsModel) resumes() {
	if m.rng.IntN(3) == 0 && !m.away { // as soon as somebody goes on with them
		m.step(100 * time.Millisecond)
		m.decides()
		m.some(5)
	} else {
		m.rest(1)
	}
	for range 10 {
		for _, c := range m.people {
			if c.live() && c.lost {
				c.resume()
			}
		}
	}
}

// covered reports whether all nodes that live could be gone on with.
func (m *doorsModel) covered() bool {
	for _, n := range m.nodes {
		if !n.dead && !n.hub.second.covers() {
			return false
		}
	}
	return true
}

// play is one schedule. It returns what kind it was.
func (m *doorsModel) play() (kind string) {
	n := m.nodes[m.rng.IntN(modelNodes)] // which dies first
	for i, at := range m.places(n) {
		m.people[i].begin(at)
	}
	m.rest(12)
	ann := m.people[0]
	ann.join()
	m.rest(3)
	for _, i := range m.rng.Perm(len(m.people) - 1) {
		c := m.people[i+1]
		if m.rng.IntN(3) == 0 {
			continue
		}
		c.join()
		m.rest(2)
		if c.state == "waits" && m.rng.IntN(4) > 0 && !(m.lone && c.node == n) {
			ann.order("admit", c)
			m.rest(2)
			if m.rng.IntN(5) > 0 {
				c.join()
				m.rest(2)
			}
		}
	}
	m.rest(25) // those who could have gone to the node of the room had the time
	m.agree()
	m.acts(m.rng.IntN(15))
	if m.rng.IntN(2) == 0 {
		m.rest(25)
		m.agree()
	}
	if !m.covered() {
		m.fail("not all are covered")
	}
	m.strict, kind = true, "one death"
	x := m.rng.IntN(10)
	if x < 2 {
		m.strict, kind = false, "frozen"
	}
	if m.rng.IntN(2) == 0 { // with something on its way
		for range m.rng.IntN(4) {
			m.wants(nil)
			m.some(10)
		}
	}
	o := m.nodes[(n.at+1+m.rng.IntN(2))%modelNodes]
	if m.apart {
		o = m.nodes[(n.at+2)%modelNodes]
	}
	if x == 2 {
		m.strict, kind = false, "two deaths at once"
		switch m.rng.IntN(4) {
		case 0:
			m.dies(n, false, o)
		case 1:
			m.dies(n, false, nil)
			m.comeBack(m.rng.IntN(3))
			m.dies(o, false, nil)
		default:
			kind = "two deaths, with an image on its way"
			m.fills()
		}
	} else {
		m.dies(n, x < 2, nil)
	}
	switch {
	case x > 2 && x < 5:
		kind = "two deaths"
		m.comeBack(25)
		m.rest(25)
		if m.back(); !m.covered() {
			m.fail("not all are covered after a death")
		}
		m.agree()
		m.dies(o, false, nil)
	}
	m.comeBack(m.rng.IntN(25))
	if n.frozen {
		m.thaw(n)
	}
	m.comeBack(25)
	for range 12 {
		m.step(4 * time.Second)
		m.rest(2)
	}
	m.back()
	m.agree()
	m.obeyed()
	m.finish()
	return kind
}

// back sees that everybody is there again.
func (m *doorsModel) back() {
	for _, c := range m.people {
		if (c.lost || !c.live()) && m.strict && !c.left {
			m.fail("%s has not resumed", c.name)
		}
	}
}

// finish has all leave, and sees that nothing is left.
func (m *doorsModel) finish() {
	for _, c := range m.people {
		if c.live() && !c.lost {
			c.goodbye()
			c.over = true
		}
	}
	m.rest(5)
	for range 40 { // of those who have not come back
		m.step(4 * time.Second)
		m.rest(1)
	}
	for _, n := range m.nodes {
		if n.dead {
			continue
		}
		d := n.hub.directory
		if len(d.hostings.m) != 0 || d.rooms.Len() != 0 || d.members.Len() != 0 || len(d.nodes.met) != 0 || len(d.nodes.orphans) != 0 {
			m.fail("%s keeps %d hosted rooms, %d rooms, %d members, %d meetings, %d dead nodes", n.name(), len(d.hostings.m), d.rooms.Len(), d.members.Len(), len(d.nodes.met), len(d.nodes.orphans))
		}
		for _, p := range d.nodes.by {
			if len(p.members) != 0 {
				m.fail("%s keeps %d members of %s", n.name(), len(p.members), p.name)
			}
		}
	}
}

// TestHostsInsideDeaths plays random schedules, each of which it can repeat from its seed.
func TestHostsInsideDeaths(t *testing.T) {
	schedules, first := plays(t, resumeSchedules/4, 50_000)
	kinds, moved, said := make(map[string]int), 0, make(map[string]int)
	for i := range schedules {
		m := newDoorsModel(t, first+uint64(i))
		kinds[m.play()]++
		moved += m.moved
		for _, a := range m.done {
			said[a.what]++
		}
	}
	t.Logf("%d schedules: %v, %d sessions resumed on another node, hosts have said %v", schedules, kinds, moved, said)
	for _, what := range []string{"admit", "decline", "remove", "mute", "unmute", "hand", "lock", "unlock", "end"} {
		if said[what] == 0 && schedules > 100 {
			t.Errorf("nobody has said %q", what)
		}
	}
}
