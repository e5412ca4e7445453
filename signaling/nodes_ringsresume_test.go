package signaling

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestRingsInsideDeaths kills or freezes a node while a call rings two or three devices: that of
// the caller, that of a device, or one that has nothing to do with it. People take it, decline it
// and give it up around that. Who has said that he takes it does, or somebody else has; no device
// stops in between.
func TestRingsInsideDeaths(t *testing.T) {
	schedules, first := plays(t, resumeSchedules, 50_000)
	outcomes := make(map[string]int)
	for i := range schedules {
		m := newCallsModelWith(t, first+uint64(i), true)
		m.rng = rand.New(rand.NewPCG(first+uint64(i), 7))
		outcomes[m.ringInside()]++
	}
	t.Logf("%d schedules: %v", schedules, outcomes)
	for _, o := range []string{"rings on", "accepted", "declined", "canceled", "timeout"} {
		if outcomes[o] == 0 && schedules > 100 {
			t.Errorf("none ended as %q", o)
		}
	}
}

func (m *callsModel) ringInside() (outcome string) {
	ann, devices := m.people[0], m.people[2:4:4]
	third := m.people[4]
	third.user = "bob"
	if m.rng.IntN(2) == 0 {
		devices = append(devices, third)
	}
	ann.begin(m.nodes[m.rng.IntN(modelNodes)])
	for _, c := range devices {
		c.begin(m.nodes[m.rng.IntN(modelNodes)])
	}
	m.rest(10)
	ann.say(`"type":"invite","user":"bob"`)
	quiet := m.rng.IntN(2) == 0
	if quiet {
		m.rest(3)
	} else {
		m.some(60)
	}
	said := make(map[string]bool)
	act := func(c *callPerson) {
		for id, s := range c.calls {
			switch {
			case !s.rings() || len(said) > 2:
			case s.mine:
				if m.rng.IntN(8) == 0 {
					c.say(`"type":"hangup","call":%q`, id)
					said["canceled"] = true
				}
			case c.said:
			case m.rng.IntN(3) == 0:
				c.say(`"type":"accept","call":%q`, id)
				c.said, said["accepted"] = true, true
			case m.rng.IntN(8) == 0:
				c.say(`"type":"decline","call":%q`, id)
				c.said, said["declined"] = true, true
			}
		}
	}
	all := append([]*callPerson{ann}, devices...)
	idle := m.rng.IntN(3) == 0
	acts := func(n int) {
		for range n {
			if idle {
				return
			}
			if c := all[m.rng.IntN(len(all))]; c.live() && !c.lost {
				act(c)
				m.steady = m.steady && len(said) == 0
			}
			m.some(10)
		}
	}
	acts(m.rng.IntN(5))
	n := m.nodes[m.rng.IntN(modelNodes)]
	m.steady = len(said) == 0
	if m.rng.IntN(2) == 0 {
		m.freezesPeople(n, func() { acts(m.rng.IntN(3) / 2) })
	} else {
		m.killPeople(n)
		m.bury(n)
	}
	acts(m.rng.IntN(5))
	for round := range 24 {
		if round == 12 && n.frozen {
			m.thaw(n)
		}
		m.rest(1)
		for range 10 {
			for _, c := range all {
				if c.live() && c.lost {
					c.resume()
				}
			}
		}
		acts(m.rng.IntN(3) / 2)
	}
	m.rest(10)
	m.steady = false
	for _, c := range all {
		if !c.live() || c.lost {
			m.fail("%s has not resumed after the death of %s", c.name, n.name())
		}
	}
	m.agree()
	id := ""
	for id = range ann.calls {
	}
	if id == "" {
		m.fail("the invitation has got lost")
	}
	has := slices.DeleteFunc(slices.Clone(devices), func(c *callPerson) bool { return m.accepted[id] != c.id })
	state := ann.calls[id].state
	switch {
	case len(has) > 0:
		outcome = "accepted"
	case ann.calls[id].rings():
		outcome = "rings on"
	default:
		outcome = ann.calls[id].reason
	}
	if outcome == "" {
		outcome = "canceled"
	}
	switch {
	case len(said) == 0 && outcome != "rings on", said["accepted"] && len(said) == 1 && outcome != "accepted",
		outcome != "rings on" && !said[outcome]:
		m.fail("what was said is %v, and the call is %s (%q)", said, outcome, state)
	}
	if outcome == "rings on" && m.rng.IntN(2) == 0 {
		m.timeOut()
		if outcome = ann.calls[id].reason; outcome != "timeout" {
			m.fail("it has ended with %q", outcome)
		}
		for _, c := range devices {
			if got := c.calls[id].reason; got != "timeout" {
				m.fail("it has ended with %q for %s", got, c.name)
			}
		}
	}
	m.finish()
	return outcome
}

// some delivers some of what is on its way.
func (m *callsModel) some(most int) {
	for range m.rng.IntN(most) {
		if m.rng.IntN(10) == 0 {
			m.seconds.run()
		}
		m.step(time.Duration(m.rng.IntN(3)) * time.Millisecond)
		m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1+m.rng.IntN(3))
	}
	for _, c := range m.people {
		if c.live() {
			c.read()
		}
	}
}
