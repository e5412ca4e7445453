package signaling

import (
	"fmt"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

// withSecond returns a model of three nodes that have seconds, with somebody on the first one.
func withSecond(t *testing.T) (m *nodesModel, a *modelNode, c *modelClient) {
	m = newNodesModelWith(t, 1, true)
	m.tight = false
	for _, n := range m.nodes {
		n.hub.second.patience, n.hub.second.gathers = secondPatience, false
	}
	a, c = m.nodes[0], m.clients[0]
	c.begin(a)
	m.quiet()
	c.read(1000)
	if !a.hub.second.covers() || a.hub.second.node != "b" {
		t.Fatalf("its second is %q, covered %v", a.hub.second.node, a.hub.second.covers())
	}
	return m, a, c
}

// TestSecondDoesNotKeepUp: another one is named, what waits happens, and the one that was too
// slow is not chosen again for a while.
func TestSecondDoesNotKeepUp(t *testing.T) {
	m, a, c := withSecond(t)
	c.say(`"type":"join","room":"blue","id":1`)
	var waited time.Duration
	for ; c.rooms["blue"] == nil; waited += 100 * time.Millisecond {
		if waited > 4*time.Second {
			t.Fatal("nothing happens")
		}
		m.step(100 * time.Millisecond)
		m.seconds.run()
		m.deliver(a, m.nodes[2], 1000)
		m.deliver(m.nodes[2], a, 1000)
		c.read(1000)
	}
	if waited < secondPatience/2 {
		t.Errorf("after %v nobody has waited for the second", waited)
	}
	for range 100 {
		m.quiet()
		m.step(100 * time.Millisecond)
	}
	if node := a.hub.second.node; node != "c" || !a.hub.second.covers() {
		t.Errorf("its second is %q, covered %v", node, a.hub.second.covers())
	}
}

// TestGoesOnAlone: where nobody can be asked who is to be the second, a node goes on alone.
func TestGoesOnAlone(t *testing.T) {
	m, _, c := withSecond(t)
	c.say(`"type":"join","room":"blue","id":1`)
	for range 45 {
		m.step(100 * time.Millisecond)
	}
	if c.read(1000); c.rooms["blue"] == nil {
		t.Error("nothing happens")
	}
}

// TestThawed: a node that has stood still tells nobody anything before it is known whose its
// sessions are, and ends those that another one has.
func TestThawed(t *testing.T) {
	m, a, c := withSecond(t)
	c.say(`"type":"join","room":"blue","id":1`)
	for key, e := range m.seconds.entries {
		e.taken = key == a.name()+a.hub.second.run
	}
	m.step(20 * time.Second)
	for range 100 {
		m.step(100 * time.Millisecond)
	}
	if c.read(1000); c.rooms["blue"] != nil || c.acked > 0 || c.sent {
		t.Fatal("something has happened")
	}
	m.seconds.run()
	if c.read(1000); !c.sent || c.socket.Code() != wire.CloseRestart {
		t.Errorf("the session goes on, %v", c.socket.Code())
	}
	if n := a.hub.directory.members.Len(); n != 0 {
		t.Errorf("%d members are there", n)
	}
}

// TestByeIsAnswered: who says bye on a node that has a second is answered, once that has it.
func TestByeIsAnswered(t *testing.T) {
	m, a, c := withSecond(t)
	c.socket.Say(fmt.Appendf(nil, `{"type":"bye","id":7,"seq":%d}`, c.seq+1), m.now)
	if frames := pullFrames(t, c.socket); len(frames) != 0 || c.socket.Code() != 0 {
		t.Fatalf("it is told %v, %v, before the image has it", frames, c.socket.Code())
	}
	m.quiet()
	frames := pullFrames(t, c.socket)
	if len(frames) == 0 || frames[0].str("type") != "ok" || c.socket.Code() != wire.CloseNormal {
		t.Errorf("it is told %v, %v", frames, c.socket.Code())
	}
	m.quiet()
	if n := a.hub.directory.members.Len(); n != 0 {
		t.Errorf("%d members are there", n)
	}
}

// TestRevokedWhileDead: who is revoked while his node is dead does not go on at its second,
// and somebody else of that node does.
func TestRevokedWhileDead(t *testing.T) {
	for _, who := range []string{"the session", "somebody else"} {
		t.Run(who, func(t *testing.T) {
			m, a, c := withSecond(t)
			id := c.id
			if who != "the session" {
				id = SessionPrefix + "of-somebody-else"
			}
			m.kill(a)
			for _, n := range m.nodes[1:] {
				if n := n.hub.Revoked(id, time.Now()); n != 0 {
					t.Fatalf("%d sessions of a dead node were ended", n)
				}
			}
			m.bury(a)
			for range 3 {
				m.seconds.run()
				m.quiet()
			}
			b := m.nodes[1].hub.directory.members.Get(c.id)
			if on := b != nil && b.node == nil; on != (who != "the session") {
				t.Errorf("it goes on: %v", on)
			}
		})
	}
}

// TestDeaf: a node that hears nothing of the others does not count a dead one's people as gone
// before it hears again whether somebody goes on with them, or for very long.
func TestDeaf(t *testing.T) {
	for _, hears := range []bool{true, false} {
		m, a, c := withSecond(t)
		deaf, o := m.nodes[2], m.clients[1]
		o.begin(deaf)
		for _, p := range []*modelClient{c, o} {
			p.say(`"type":"join","room":"blue","id":1`)
		}
		for range 5 {
			m.step(time.Second)
			m.quiet()
			m.settleHomes(a)
			m.settleHomes(deaf)
			c.read(1000)
			o.read(1000)
		}
		there := func() int { return len(deaf.hub.directory.rooms.Get("blue").members) }
		if there() != 2 || len(o.rooms["blue"].polite) != 1 {
			m.fail("%d are there", there())
		}
		deaf.deaf = true
		m.kill(a)
		m.bury(a)
		for range 20 {
			m.seconds.run()
			m.step(time.Second)
		}
		if there() != 2 {
			t.Fatal("somebody counts as gone")
		}
		if !hears {
			for range 80 {
				m.step(time.Second)
			}
			if there() != 1 {
				t.Error("nobody counts as gone for ever")
			}
			continue
		}
		m.quiet()
		deaf.deaf = false
		m.step(movedWait)
		m.quiet()
		if there() != 2 {
			t.Error("who goes on counts as gone")
		}
		c.resume()
		if o.read(1000); c.over || len(o.rooms["blue"].gone) > 0 {
			t.Errorf("over %v, gone %v", c.over, o.rooms["blue"].gone)
		}
	}
}

// TestStartedAgainAtOnce: a node that dies and is back before anybody has missed it has lost
// nobody: its second goes on with the sessions of the process before when a client comes.
func TestStartedAgainAtOnce(t *testing.T) {
	m, a, c := withSecond(t)
	m.kill(a)
	for _, o := range m.nodes[1:] {
		o.queues[a.at], o.generation[a.at] = nil, 0
		o.hub.NodeLost(a.name(), Silent) // another process speaks for it
	}
	m.start(a)
	for range 3 {
		m.quiet()
	}
	if !a.hub.second.covers() {
		t.Fatal("nobody has an image of the new process")
	}
	for range 100 {
		if c.lost && !c.over {
			c.resume()
			m.quiet()
		}
	}
	if c.over || c.lost || c.node != m.nodes[1] {
		t.Errorf("over %v, lost %v, on %s", c.over, c.lost, c.node.name())
	}
	// Who is revoked meanwhile does not come back.
	m, a, c = withSecond(t)
	m.kill(a)
	for _, o := range m.nodes[1:] {
		o.queues[a.at], o.generation[a.at] = nil, 0
		o.hub.NodeLost(a.name(), Silent)
	}
	m.start(a)
	for range 3 {
		m.quiet()
	}
	m.nodes[1].hub.Revoked(c.id, time.Now())
	for range 400 {
		if c.lost && !c.over {
			m.step(20 * time.Millisecond)
			c.resume()
			m.quiet()
		}
	}
	if !c.over {
		t.Errorf("over %v, lost %v, on %s", c.over, c.lost, c.node.name())
	}
}

// TestHostWaitsForSecond: while the next second is being filled a host is not answered, others
// are, and he is as soon as that has everything, when he has waited for long, or where there is
// nobody to wait for.
func TestHostWaitsForSecond(t *testing.T) {
	for _, until := range []string{"whole", "3 s", "nobody", "over"} {
		t.Run(until, func(t *testing.T) {
			m, a, c := withSecond(t)
			next, o := m.nodes[2], m.clients[1]
			o.begin(a)
			room := hostedRoom("fox~host.")
			c.say(fmt.Sprintf(`"type":"join","room":%q,"host":%q,"id":1`, room, hostSecret))
			m.quiet()
			c.read(1000)
			m.kill(m.nodes[1])
			m.bury(m.nodes[1])
			m.seconds.run()
			if x := a.hub.second; x.state != syncing && x.state != covered || x.node != "c" {
				t.Fatalf("its second is %q", x.node)
			}
			c.got, c.outbox = 0, nil
			answered := func() (is bool) {
				for _, f := range pullFrames(t, c.socket) {
					is = is || f.str("type") == "ok"
				}
				return is
			}
			lock := func(seq int) {
				c.socket.Say(fmt.Appendf(nil, `{"type":"host","room":%q,"action":"lock","id":%d,"seq":%d}`, room, seq, seq), m.now)
			}
			if lock(2); answered() {
				t.Fatal("it is answered, and nobody has it")
			}
			switch until {
			case "whole":
				for range 5 {
					m.step(syncEvery)
					m.deliver(a, next, 1000)
					m.deliver(next, a, 1000)
				}
			case "3 s":
				a.queues[next.at] = nil
				for range 8 {
					m.step(secondPatience / 2)
				}
			case "nobody":
				m.kill(next)
				m.bury(next)
				m.seconds.run()
			case "over":
				a.hub.second.Enter()
				a.hub.second.stop()
				a.hub.second.Leave()
			}
			if !answered() {
				t.Error("it is not answered")
			}
			if until == "nobody" || until == "over" {
				if lock(3); !answered() {
					t.Error("it waits for nobody")
				}
			}
		})
	}
}

// TestSecondsStandStillInTurn: where both other nodes have not kept up within a minute, the one
// that has caught up is the second again, 10 s after that, and 20 s where it has not kept up twice.
func TestSecondsStandStillInTurn(t *testing.T) {
	m, a, c := withSecond(t)
	x, said := a.hub.second, 0
	runs := func(d time.Duration, still *modelNode) {
		for range d / (100 * time.Millisecond) {
			m.step(100 * time.Millisecond)
			m.seconds.run()
			for _, o := range m.nodes[1:] {
				if o != still {
					m.deliver(a, o, 1000)
					m.deliver(o, a, 1000)
				}
			}
			c.read(1000)
		}
	}
	stands := func(still *modelNode) {
		said++
		c.say(fmt.Sprintf(`"type":"join","room":"room%d","id":%d`, said, said))
		runs(4*time.Second, still)
		if c.rooms[fmt.Sprint("room", said)] == nil {
			t.Fatal("nothing happens")
		}
	}
	stands(m.nodes[1])
	if x.node != "c" || !x.covers() {
		t.Fatalf("its second is %q, covered %v", x.node, x.covers())
	}
	stands(m.nodes[2])
	if x.covers() || a.hub.Uncovered() != NoneSwift {
		t.Fatalf("%q has not kept up a moment ago, and the hub says %q", x.node, a.hub.Uncovered())
	}
	runs(slowLeast, m.nodes[2])
	if x.node != "b" || !x.covers() {
		t.Fatalf("its second is %q, covered %v", x.node, x.covers())
	}
	runs(2*slowLeast, m.nodes[2])
	if stands(m.nodes[1]); x.node != "c" || !x.covers() { // which has caught up meanwhile
		t.Fatalf("its second is %q, covered %v", x.node, x.covers())
	}
	stands(m.nodes[2])
	if runs(slowLeast, m.nodes[2]); x.covers() {
		t.Errorf("%q has not kept up twice, and so soon it is the second again", x.node)
	}
	if runs(slowLeast, m.nodes[2]); x.node != "b" || !x.covers() {
		t.Errorf("its second is %q, covered %v", x.node, x.covers())
	}
}

// TestUncoveredMeanwhile: the hub says why nobody could go on with its sessions while others come.
func TestUncoveredMeanwhile(t *testing.T) {
	h := newNodesModelWith(t, 1, true).nodes[0].hub
	asked := make(chan string)
	go func() {
		defer close(asked)
		for range 200 {
			asked <- h.Uncovered()
		}
	}()
	for generation := uint64(100); ; generation++ {
		why, more := <-asked
		if !more {
			return
		}
		if why != "" && why != NoOther && why != NotYet {
			t.Errorf("it says %q", why)
		}
		h.NodeUp("b", generation)
		h.FromNode("b", [][]byte{[]byte(`h{"run3":"another"}`)})
	}
}
