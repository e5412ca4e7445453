package signaling

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// hostedModel is three hubs with people who stay at the node that they have come to, in a
// room with a host. What nodes say to each other arrives in a random order of the streams.
type hostedModel struct {
	*nodesModel
	room string
}

// caller is one of the people.
type caller struct {
	m      *hostedModel
	node   *modelNode
	socket *carried
	all    []frame
	seq    int
}

func newHostedModel(t *testing.T, seed uint64) *hostedModel {
	m := &hostedModel{newNodesModel(t, seed), hostedRoom("fox~host.")}
	m.clients = nil
	for _, n := range m.nodes {
		n.hub.SetSecrets([]string{"a secret of all nodes"})
	}
	return m
}

func (m *hostedModel) enter(at int, user string) *caller {
	c := &caller{m: m, node: m.nodes[at], socket: carry(m.nodes[at].hub)}
	c.socket.Say(fmt.Appendf(nil, `{"type":"hello","name":"%s","user":%q,"userSecret":"the secret of %s"}`, user, user, user), m.now)
	c.read()
	return c
}

func (c *caller) id() string { return c.socket.id() }

func (c *caller) read() {
	for _, f := range pullFrames(c.m.t, c.socket) {
		c.m.log("  %s hears %v", c.id(), f)
		c.all = append(c.all, f)
	}
}

func (c *caller) say(text string, args ...any) {
	c.seq++
	text = fmt.Sprintf(`{%s,"id":%d,"seq":%d}`, fmt.Sprintf(text, args...), c.seq, c.seq)
	c.m.log("%s says %s", c.id(), text)
	c.socket.Say([]byte(text), c.m.now)
	c.read()
}

func (c *caller) join(more string) { c.say(`"type":"join","room":%q%s`, c.m.room, more) }

func (c *caller) order(action string, peer *caller) {
	id := ""
	if peer != nil {
		id = peer.id()
	}
	c.say(`"type":"host","room":%q,"action":%q,"peer":%q`, c.m.room, action, id)
}

// last is the newest that a person has heard of a type; nil: nothing.
func (c *caller) last(typ string) frame {
	for _, f := range slices.Backward(c.all) {
		if f.str("type") == typ {
			return f
		}
	}
	return nil
}

func (c *caller) inside() bool {
	s := c.node.hub.directory.members.Get(c.id())
	return s != nil && s.inRoom(c.m.room) != nil
}

// quiet lets everything arrive.
func (m *hostedModel) quiet(people ...*caller) {
	for round := range 40 {
		m.step(100 * time.Millisecond)
		for _, n := range m.nodes {
			if round%10 == 0 {
				m.settleHomes(n)
			}
		}
		for _, i := range m.rng.Perm(modelNodes * modelNodes) {
			m.deliver(m.nodes[i/modelNodes], m.nodes[i%modelNodes], 1+m.rng.IntN(20))
		}
	}
	for _, c := range people {
		c.read()
	}
}

func (m *hostedModel) want(what string, is bool) {
	m.t.Helper()
	if !is {
		m.fail("not so: %s", what)
	}
}

// TestHostedAcrossNodes: whoever is host on whichever node hears who knocks on any, and lets
// in, declines, mutes, removes, hands over, locks and ends there; a lock and a removal hold on
// all nodes, for whoever comes later too; who has lost his node comes back by his seat, and
// nobody who was put out does; and when the host's node dies one member follows, whom all know.
func TestHostedAcrossNodes(t *testing.T) {
	for seed := range uint64(200) {
		m := newHostedModel(t, seed)
		host := m.enter(0, "ann")
		host.join(`,"host":"` + hostSecret + `"`)
		m.quiet(host)
		guest, bad, third := m.enter(1, "bob"), m.enter(2, "mallory"), m.enter(2, "cat")
		people := []*caller{host, guest, bad, third}
		for _, c := range people[1:] {
			c.join("")
			m.want("who comes to another node knocks", c.last("error").str("code") == "knocking")
		}
		m.quiet(people...)
		for _, c := range people[1:] {
			m.want("the host hears of it", slices.ContainsFunc(host.all, func(f frame) bool { return f.str("type") == "knock" && f.str("peer") == c.id() }))
			host.order("admit", c)
			m.want("and lets in", host.last("ok") != nil)
		}
		m.quiet(people...)
		for _, c := range people[1:] {
			m.want("it is let in", c.last("admitted") != nil)
			m.want("and leaves the door", slices.ContainsFunc(host.all, func(f frame) bool { return f.str("type") == "knock-left" && f.str("peer") == c.id() }))
			c.join("")
			m.want("and comes in", c.inside())
		}
		m.quiet(people...)
		for _, c := range people {
			f := c.last("hosting")
			m.want("all know who is host", f != nil && fmt.Sprint(f["hosts"]) == fmt.Sprint([]string{host.id()}) && f["locked"] == false)
		}
		// A guest on another node has no power there.
		guest.order("remove", host)
		m.want("a guest may not", guest.last("error").str("code") == "forbidden")

		host.order("mute", guest)
		m.quiet(people...)
		for _, c := range people {
			m.want("all know who is muted", fmt.Sprint(c.last("hosting")["muted"]) == fmt.Sprint([]string{guest.id()}))
		}
		seatOfBad := bad.last("hosting").str("seat")
		host.order("remove", bad)
		host.read()
		m.want("the host removes somebody on another node", host.last("error") == nil)
		m.quiet(people...)
		m.want("he is out", !bad.inside() && bad.last("out").str("reason") == "removed")
		for at := range modelNodes {
			again := m.enter(at, "mallory")
			again.join(`,"seat":"` + seatOfBad + `"`)
			m.quiet(again)
			m.want("who was removed does not come in on any node", !again.inside() && again.last("admitted") == nil && again.last("error").str("code") != "knocking")
			again.say(`"type":"bye"`)
		}
		// Nor by the seat under another name.
		other := m.enter(m.rng.IntN(modelNodes), "")
		other.join(`,"seat":"` + seatOfBad + `"`)
		m.quiet(other)
		m.want("nor by his seat without a name", !other.inside() && other.last("admitted") == nil)
		other.say(`"type":"bye"`)

		late := m.enter(1, "dan")
		late.join("")
		m.quiet(host, late)
		host.order("lock", nil)
		m.quiet(append(people, late)...)
		m.want("a lock sends those at the door of all nodes away", late.last("out").str("reason") == "locked")
		later := m.enter(2, "eve")
		later.join("")
		m.want("and nobody knocks on any", later.last("error").str("code") == "locked")
		host.order("unlock", nil)
		m.quiet(people...)
		later.join("")
		m.want("unlocked on all", later.last("error").str("code") == "knocking")
		m.quiet(append(people, later)...)
		host.order("decline", later)
		m.quiet(append(people, later)...)
		m.want("declined there", later.last("out").str("reason") == "declined")

		host.order("hand", third)
		m.quiet(people...)
		for _, c := range []*caller{host, guest, third} {
			m.want("handed over", fmt.Sprint(c.last("hosting")["hosts"]) == fmt.Sprint([]string{third.id()}))
		}
		third.order("unmute", guest)
		m.quiet(people...)
		m.want("the next host has the power", fmt.Sprint(host.last("hosting")["muted"]) == "[]")

		// The node of the host dies: who is longest there follows, and all know the same one.
		seat := third.last("hosting").str("seat")
		m.kill(m.nodes[2])
		m.bury(m.nodes[2])
		m.quiet(host, guest)
		for _, c := range []*caller{host, guest} {
			m.want("one follows", fmt.Sprint(c.last("hosting")["hosts"]) == fmt.Sprint([]string{host.id()}))
		}
		// He comes back by his seat, to another node, which has run for long.
		m.step(2 * seatsFor)
		back := m.enter(1, "cat")
		back.join(`,"seat":"` + seat + `"`)
		m.quiet(host, guest, back)
		m.want("who has lost his node is in again", back.inside() || back.last("admitted") != nil)
		back.join("")
		m.quiet(host, guest, back)
		m.want("as host", slices.Contains(back.last("hosting")["hosts"].([]any), any(back.id())))
		fake := m.enter(1, "")
		fake.join(`,"seat":"` + seat + `"`)
		m.quiet(fake)
		m.want("a seat is good once", !fake.inside() && fake.last("admitted") == nil)

		back.order("end", nil)
		m.quiet(host, guest, back)
		for _, c := range []*caller{host, guest, back} {
			m.want("ended for all", !c.inside() && c.last("out").str("reason") == "ended")
		}
		for _, c := range []*caller{host, guest, back, fake, late, later, other} {
			c.say(`"type":"bye"`)
		}
		m.quiet()
		for _, n := range m.nodes[:2] {
			d := n.hub.directory
			m.want("nothing is left", len(d.hostings.m) == 0 && len(d.members.All()) <= 1)
			for _, p := range d.nodes.by {
				m.want("nor of others", len(p.members) <= 1)
			}
		}
	}
}

// A host who ends the room as soon as he has come, on a node that has not heard yet who else has
// it, ends it for those as well.
func TestEndBeforeNodesMeet(t *testing.T) {
	for seed := range uint64(200) {
		m := newHostedModel(t, seed)
		host := m.enter(0, "ann")
		host.join(`,"host":"` + hostSecret + `"`)
		m.quiet(host)
		second := m.enter(2, "dan")
		second.join(`,"host":"` + hostSecret + `"`)
		second.order("end", nil)
		m.quiet(host, second)
		for _, c := range []*caller{host, second} {
			m.want("whoever was in the room is out", !c.inside() && c.last("out").str("reason") == "ended")
		}
	}
}
