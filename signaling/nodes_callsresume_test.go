package signaling

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The model of calls by name where sessions outlive their nodes: nodes die and freeze, and
// people resume wherever they can. As in TestCallsAcrossNodes both sides of every call agree in
// the end. A call that rings goes on wherever its caller does, and has one who takes it or ends
// in time. Where everything was quiet when a node died its calls go on, those that ring too,
// without a word to anybody.

// resume comes back with another socket.
func (c *callPerson) resume() {
	told, from, is := c.comesBack()
	if !is {
		return
	}
	for _, f := range told {
		c.take(f)
	}
	c.saysAgain(from)
	c.read()
}

func (m *callsModel) freezePeople(n *modelNode) {
	m.freeze(n)
	for _, c := range m.people {
		if c.node == n && c.live() {
			if !c.lost {
				m.unseen[n.at] = append(m.unseen[n.at], c.socket)
			}
			c.drop()
		}
	}
}

// freezesPeople has a node stand still, while people act.
func (m *callsModel) freezesPeople(n *modelNode, act func()) {
	m.freezePeople(n)
	if m.stands(n, 12, 25, func() { m.rest(1); act() }) {
		m.rest(3)
	}
}

func (m *callsModel) actCallSeconds() {
	n := m.nodes[m.rng.IntN(modelNodes)]
	c := m.people[m.rng.IntN(len(m.people))]
	switch x := m.rng.IntN(1000); {
	case x < 100:
		m.seconds.run()
	case x < 150:
		m.voids()
	case x < 155 && !n.dead && !n.frozen:
		m.freezePeople(n)
	case x < 165 && n.frozen:
		m.log("%s is missed", n.name())
		m.bury(n)
	case x < 180 && n.frozen:
		m.thaw(n)
	case x < 186:
		m.strictCalls(n)
	case x < 192:
		m.killInside(n)
	case x < 195 && !n.dead && !n.frozen:
		m.log("%s is cut off", n.name())
		n.hub.CutOff()
	case x < 205 && c.live() && !c.lost:
		m.log("%s loses its socket", c.name)
		c.socket.Lost(false)
		c.drop()
	default:
		m.actCalls()
	}
}

// rested reports whether all nodes live and could be gone on with, once all has arrived.
func (m *callsModel) rested() bool {
	for _, n := range m.nodes {
		if n.dead || n.frozen {
			return false
		}
	}
	unsure := func(n *modelNode) bool { return n.hub.directory.unsure() }
	for slices.ContainsFunc(m.nodes[:], unsure) { // and what they show may be of before
		m.step(time.Second)
		m.rest(1)
	}
	m.rest(12)
	for _, n := range m.nodes {
		if !n.hub.second.covers() {
			return false
		}
	}
	return true
}

// ring is a call that rings at somebody.
type ring struct {
	id string
	c  *callPerson
}

// ringing returns the calls that ring at people who are all there, and for a while yet.
func (m *callsModel) ringing() (list []ring) {
	if slices.ContainsFunc(m.people, func(c *callPerson) bool { return c.live() && c.lost }) {
		return nil // what it says when it is back may end others' calls
	}
	bad, calls, devices := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, c := range m.people {
		for id, s := range c.calls {
			if c.live() && s.rings() {
				list = append(list, ring{id, c})
				calls[id] = calls[id] || s.mine
				devices[id] = devices[id] || !s.mine
				bad[id] = bad[id] || c.lost || m.now.Sub(s.since) > 20*time.Second
			}
		}
	}
	list = slices.DeleteFunc(list, func(r ring) bool { return bad[r.id] || !calls[r.id] || !devices[r.id] })
	slices.SortFunc(list, func(a, b ring) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.c.name, b.c.name)) })
	return list
}

// takeOne has all devices that one of these calls rings take it at the same time.
func (m *callsModel) takeOne(rings []ring) {
	if len(rings) == 0 {
		return
	}
	id := rings[m.rng.IntN(len(rings))].id
	var caller *callPerson
	var devices []*callPerson
	for _, r := range rings {
		if s := r.c.calls[id]; r.id != id || r.c.lost || !s.rings() {
			continue
		} else if s.mine {
			caller = r.c
		} else {
			devices = append(devices, r.c)
		}
	}
	if caller == nil || len(devices) == 0 {
		return
	}
	for _, i := range m.rng.Perm(len(devices)) {
		devices[i].say(`"type":"accept","call":%q`, id)
	}
	m.rest(5)
	has := 0
	for _, c := range devices {
		if c.calls[id].state == "accepted" {
			has++
		}
	}
	if has != 1 || caller.calls[id].state != "accepted" {
		m.fail("call %s was taken by %d devices, and is %q for %s", id, has, caller.calls[id].state, caller.name)
	}
	m.taken++
}

// strictCalls kills a node while nothing happens, or freezes it: the calls of its people go on.
func (m *callsModel) strictCalls(n *modelNode) {
	if !m.rested() {
		return
	}
	by, all := make(map[string]*callPerson), true
	for _, c := range m.people {
		if c.live() && !c.lost {
			by[c.id] = c
		} else if c.live() {
			all = false // what it says when it is back may change what there is
		}
	}
	type talk struct {
		id   string
		a, b *callPerson
	}
	var talks []talk
	for _, c := range m.people {
		for id, s := range c.calls {
			o := by[s.peer]
			if o == nil && s.state == "accepted" {
				all = false // with a session that nobody comes back to: it ends when that is over
			}
			if by[c.id] == c && o != nil && c.node == n && s.state == "accepted" && o.calls[id].state == "accepted" {
				talks = append(talks, talk{id, c, o})
			}
		}
	}
	rings := m.ringing()
	unsettled := make(map[string]bool) // users with a session that nobody comes back to: it ends meanwhile
	for _, c := range m.people {
		unsettled[c.user] = unsettled[c.user] || c.id != "" && !c.live() || m.now.Sub(m.begun[c.user]) < 70*time.Second
	}
	before := make(map[*callPerson]map[string]string)
	for _, c := range by {
		before[c], c.told = maps.Clone(c.presence), make(map[string][]string)
	}
	m.steady = true
	defer func() { m.steady = false }()
	if m.rng.IntN(3) == 0 {
		m.freezesPeople(n, func() {})
	} else {
		m.killPeople(n)
		m.bury(n)
		m.rest(12)
	}
	for round := range 24 {
		if round == 12 && n.frozen {
			m.thaw(n)
		}
		for range 10 {
			for _, c := range m.people {
				if by[c.id] == c && c.live() && c.lost {
					c.resume()
				}
			}
		}
		m.rest(1)
	}
	m.rest(3)
	for _, x := range talks {
		for _, c := range []*callPerson{x.a, x.b} {
			if !c.live() || c.lost || c.calls[x.id].state != "accepted" {
				m.fail("call %s has not outlived %s: %s is live %v, lost %v, %+v", x.id, n.name(), c.name, c.live(), c.lost, c.calls[x.id])
			}
		}
	}
	for _, r := range rings {
		if s := r.c.calls[r.id]; !r.c.live() || r.c.lost || !s.rings() {
			m.fail("call %s does not ring on after the death of %s: %s is live %v, lost %v, %+v", r.id, n.name(), r.c.name, r.c.live(), r.c.lost, s)
		}
	}
	for c, was := range before {
		for user, states := range c.told {
			if all && !unsettled[user] && slices.ContainsFunc(states, func(state string) bool { return state != was[user] }) {
				m.fail("%s is told that %s, who was %s, is %v as %s died", c.name, user, was[user], states, n.name())
			}
			m.watched += len(states)
		}
	}
	m.strictly, m.rangOn = m.strictly+len(talks), m.rangOn+len(rings)
	if m.rng.IntN(2) == 0 {
		m.takeOne(rings)
	}
}

// killInside kills a node while calls are being taken and ended.
func (m *callsModel) killInside(n *modelNode) {
	if !m.rested() {
		return
	}
	for _, i := range m.rng.Perm(len(m.people)) {
		c := m.people[i]
		if !c.live() || c.lost {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(c.calls)) {
			switch s := c.calls[id]; {
			case s.state == "incoming" && m.rng.IntN(2) == 0:
				c.say(`"type":%q,"call":%q`, []string{"accept", "accept", "accept", "decline"}[m.rng.IntN(4)], id)
			case s.rings() && s.mine && m.rng.IntN(5) == 0:
				c.say(`"type":"hangup","call":%q`, id)
			case s.state == "accepted" && m.rng.IntN(2) == 0:
				c.say(`"type":"hangup","call":%q`, id)
			}
		}
	}
	for range m.rng.IntN(30) {
		m.commit(m.nodes[m.rng.IntN(modelNodes)])
		m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1+m.rng.IntN(3))
	}
	m.killPeople(n)
	m.bury(n)
}

// settlePeople has everybody come back who can.
func (m *callsModel) settlePeople() {
	for _, n := range m.nodes {
		if n.frozen {
			m.thaw(n)
		}
		if n.dead {
			m.start(n)
		}
	}
	for round := range 60 {
		m.rest(1)
		if round > 20 && round < 40 { // sessions end whose clients have found another one
			m.step(4 * time.Second)
		}
		for _, c := range m.people {
			if c.live() && c.lost {
				c.resume()
			}
		}
	}
	for _, c := range m.people {
		if c.live() && c.lost {
			m.fail("%s has not come back", c.name)
		}
	}
}

// TestCallsOutliveNodes plays random schedules, each of which it can repeat from its seed.
func TestCallsOutliveNodes(t *testing.T) {
	schedules, first := plays(t, resumeSchedules/4, 50_000)
	talked, moved, strictly, rangOn, taken, watched := 0, 0, 0, 0, 0, 0
	for i := range schedules {
		m := newCallsModelWith(t, first+uint64(i), true)
		m.rng = rand.New(rand.NewPCG(first+uint64(i), 5))
		for range 200 + m.rng.IntN(300) {
			m.actCallSeconds()
		}
		m.finish()
		talked, moved, strictly = talked+m.talked, moved+m.moved, strictly+m.strictly
		rangOn, taken, watched = rangOn+m.rangOn, taken+m.taken, watched+m.watched
	}
	t.Logf("%d schedules: %d calls were taken, %d sessions resumed on another node, %d calls outlived a node that had to, %d rang on at somebody, %d were taken then; %d words about presence after a death",
		schedules, talked, moved, strictly, rangOn, taken, watched)
	if talked < 5*schedules || 20*strictly < schedules || 20*rangOn < schedules || 100*taken < schedules {
		t.Error("too few")
	}
}

// TestCallsInsideDeaths kills the node of either side of a call while that is taken or ended.
func TestCallsInsideDeaths(t *testing.T) {
	schedules, first := plays(t, resumeSchedules/2, 50_000)
	for i := range schedules {
		m := newCallsModelWith(t, first+uint64(i), true)
		m.rng = rand.New(rand.NewPCG(first+uint64(i), 6))
		at := m.rng.Perm(modelNodes)
		ann, bob := m.people[0], m.people[2]
		ann.begin(m.nodes[at[0]])
		bob.begin(m.nodes[at[1]])
		m.rest(10)
		ann.say(`"type":"invite","user":"bob"`)
		m.rest(3)
		id := slices.Sorted(maps.Keys(ann.calls))[0]
		bob.say(`"type":"accept","call":%q`, id)
		if m.rng.IntN(3) > 0 {
			m.rest(3)
			for _, c := range []*callPerson{ann, bob} {
				if m.rng.IntN(3) > 0 {
					c.say(`"type":"hangup","call":%q`, id)
				}
			}
		}
		for range m.rng.IntN(60) {
			m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1)
		}
		n := m.nodes[at[m.rng.IntN(2)]]
		m.killPeople(n)
		m.bury(n)
		for range m.rng.IntN(60) {
			m.seconds.run()
			m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1)
		}
		if c := []*callPerson{ann, bob}[m.rng.IntN(2)]; m.rng.IntN(3) == 0 && !c.lost && c.calls[id].state == "accepted" {
			c.say(`"type":"hangup","call":%q`, id)
		}
		m.finish()
	}
}

// TestNameOutlivesItsNode: a name is who had it on a dead node, and nobody's who has taken it
// before another node goes on with his session; he is who is called by it.
func TestNameOutlivesItsNode(t *testing.T) {
	for seed := range uint64(300) {
		m := newCallsModelWith(t, seed, true)
		owner, thief, bob := m.people[6], m.people[8], m.people[2]
		at := m.rng.Perm(modelNodes)
		owner.beginWith(m.nodes[at[0]], "the secret of it")
		bob.begin(m.nodes[at[m.rng.IntN(modelNodes)]])
		bob.say(`"type":"subscribe","users":["eve"]`)
		if !m.rested() {
			m.fail("somebody has no second")
		}
		bob.told = make(map[string][]string)
		m.killPeople(m.nodes[at[0]])
		m.bury(m.nodes[at[0]])
		thief.beginWith(m.nodes[at[1+m.rng.IntN(2)]], "another secret")
		within := m.rng.IntN(2) == 0 && thief.live()
		if within {
			thief.say(`"type":"join","room":"blue"`)
		}
		for range m.rng.IntN(30) {
			m.commit(m.nodes[m.rng.IntN(modelNodes)])
			m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1)
		}
		m.rest(12)
		for range 100 {
			for _, c := range []*callPerson{owner, bob} {
				if c.lost && c.live() {
					c.resume()
				}
			}
		}
		m.rest(5)
		if thief.live() {
			thief.read()
		}
		if !owner.live() || owner.lost || !bob.live() || bob.lost || thief.live() && !within {
			m.fail("seed %d: owner %v, lost %v, thief %v", seed, owner.live(), owner.lost, thief.live())
		}
		if slices.Contains(bob.told["eve"], "offline") {
			m.fail("seed %d: bob is told %v", seed, bob.told)
		}
		bob.say(`"type":"invite","user":"eve"`)
		m.rest(3)
		if thief.live() && len(thief.calls) > 0 || len(owner.calls) != 1 {
			m.fail("seed %d: %d calls at the owner, %d at the thief", seed, len(owner.calls), len(thief.calls))
		}
	}
}
