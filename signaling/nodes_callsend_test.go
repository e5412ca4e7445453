package signaling

import (
	"slices"
	"time"
)

// What holds in the model of calls by name once everything has arrived.

// rest lets everything arrive.
func (m *callsModel) rest(rounds int) {
	times := 1
	if m.seconds != nil { // each frame waits for the image
		times = 5
	}
	for range rounds {
		m.step(100 * time.Millisecond)
		if m.seconds != nil {
			m.seconds.run()
			m.voids()
		}
		for range times {
			for _, n := range m.nodes {
				m.commit(n)
				for _, o := range m.nodes {
					m.deliver(n, o, 1000)
				}
			}
		}
		for _, c := range m.people {
			if c.live() {
				c.read()
			}
		}
	}
}

// agree sees that everybody is told the truth.
func (m *callsModel) agree() {
	by := make(map[string]*callPerson)
	state := make(map[string]string)
	secret := ""
	for _, c := range m.people {
		if !c.live() {
			continue
		}
		by[c.id] = c
		if c.user == "eve" {
			talks := slices.ContainsFunc(c.all(), func(s *callSeen) bool { return s.state == "accepted" })
			if !talks && secret != "" && secret != c.secret {
				m.fail("eve has two secrets")
			}
			if !talks {
				secret = c.secret
			}
		}
		if len(c.asked) > 0 {
			m.fail("%s has no answer to %v", c.name, c.asked)
		}
	}
	for _, c := range by {
		if state[c.user] == "" {
			state[c.user] = "online"
		}
		for id, s := range c.calls {
			if s.state != "accepted" {
				continue
			}
			state[c.user] = "busy"
			o := by[s.peer]
			if o == nil || o.calls[id] == nil || o.calls[id].state != "accepted" || o.calls[id].peer != c.id {
				m.fail("%s talks to %s in %s, who does not", c.name, s.peer, id)
			}
		}
	}
	rings := make(map[string]*callPerson) // who calls
	for _, c := range by {
		for id, s := range c.calls {
			if s.mine && s.rings() {
				rings[id] = c
			}
		}
	}
	for _, c := range by {
		for id, s := range c.calls {
			if !s.mine && s.rings() && rings[id] == nil {
				m.fail("call %s rings %s, and nobody calls", id, c.name)
			}
		}
		for id, from := range rings {
			if s := from.calls[id]; c != from && c.user == s.user && (c.calls[id] == nil || !c.calls[id].rings()) {
				m.fail("call %s of %s does not ring %s", id, from.name, c.name)
			}
		}
	}
	for _, c := range by {
		for user, got := range c.presence {
			if want := state[user]; got != want && !(got == "offline" && want == "") {
				m.fail("%s takes %s for %s, who is %q", c.name, user, got, want)
			}
		}
	}
}

// timeOut waits until whatever rings has rung for long enough.
func (m *callsModel) timeOut() {
	for range 15 {
		m.step(4 * time.Second)
		m.rest(1)
	}
	m.rest(3)
	for _, c := range m.people {
		for id, s := range c.calls {
			if c.live() && s.rings() {
				m.fail("%s has call %s, which is %q since %v", c.name, id, s.state, m.now.Sub(s.since))
			}
		}
	}
	m.agree()
}

func (c *callPerson) all() (list []*callSeen) {
	for _, s := range c.calls {
		list = append(list, s)
	}
	return list
}

// finish sees to it that all is as it should be in the end.
func (m *callsModel) finish() {
	for _, n := range m.nodes {
		if n.dead {
			m.bury(n)
		}
	}
	if m.seconds != nil {
		m.settlePeople()
	}
	m.rest(30)
	m.agree()
	if m.rng.IntN(4) == 0 {
		m.timeOut()
	}
	// Two who talk reach each other.
	for _, c := range m.people {
		for _, s := range c.calls {
			if c.live() && s.state == "accepted" {
				c.say(`"type":"signal","to":%q,"data":"still here"`, s.peer)
			}
		}
	}
	m.rest(3)
	for _, c := range m.people {
		for _, s := range c.calls {
			if c.live() && s.state == "accepted" && !c.heard[s.peer+" still here"] {
				m.fail("%s hears nothing of %s", c.name, s.peer)
			}
		}
	}
	m.agree()
	for _, c := range m.people {
		for id, s := range c.calls {
			if c.live() && s.state != "ended" {
				c.say(`"type":"hangup","call":%q`, id)
				m.rest(3)
			}
		}
	}
	m.agree()
	// Whoever is called rings on all devices, one gets the call, both end it.
	for i, c := range m.people {
		user := []string{"ann", "bob", "cat"}[i%3]
		if !c.live() {
			continue
		}
		before := len(c.calls)
		c.say(`"type":"invite","user":%q`, user)
		m.rest(5)
		if len(c.calls) != before+1 {
			m.fail("%s has %d calls after %d", c.name, len(c.calls), before)
		}
		id := ""
		for k, s := range c.calls {
			if s.state == "ringing" {
				id = k
			}
		}
		var rings []*callPerson
		for _, o := range m.people {
			switch {
			case !o.live() || o == c || o.user != user:
			case o.calls[id] == nil || o.calls[id].state != "incoming":
				m.fail("%s does not ring for %s", o.name, c.name)
			default:
				rings = append(rings, o)
			}
		}
		if len(rings) == 0 {
			if id != "" {
				m.fail("%s rings somebody", c.name)
			}
			continue
		}
		o := rings[m.rng.IntN(len(rings))]
		o.say(`"type":"accept","call":%q`, id)
		m.rest(3)
		for _, p := range rings {
			if p != o && p.calls[id].state != "ended" {
				m.fail("%s still rings", p.name)
			}
		}
		m.agree()
		if o.calls[id].state != "accepted" {
			m.fail("%s has not got the call", o.name)
		}
		ends, hears := c, o
		if m.rng.IntN(2) == 0 {
			ends, hears = o, c
		}
		ends.say(`"type":"hangup","call":%q`, id)
		m.rest(3)
		if hears.calls[id].state != "ended" {
			m.fail("%s has not heard that the call is over", hears.name)
		}
	}
	for _, c := range m.people {
		if c.live() {
			c.end()
		}
	}
	m.rest(5)
	for _, n := range m.nodes {
		if n.dead {
			continue
		}
		d := n.hub.directory
		if len(d.users) != 0 || len(d.byCall) != 0 || d.members.Len() != 0 || len(d.nodes.met) != 0 {
			m.fail("%s keeps %d users, %d calls, %d members, %d meetings", n.name(), len(d.users), len(d.byCall), d.members.Len(), len(d.nodes.met))
		}
		for _, p := range d.nodes.by {
			if len(p.members) != 0 || len(p.asks) != 0 || len(p.pending) != 0 {
				m.fail("%s keeps %d members, %d requests of %s", n.name(), len(p.members), len(p.asks), p.name)
			}
		}
	}
}
