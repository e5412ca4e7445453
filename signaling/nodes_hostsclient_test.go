package signaling

import (
	"fmt"
	"maps"
	"slices"
)

// What a client of the model of hosted rooms is told, and holds its node to.

// doorPerson is a client of it.
type doorPerson struct {
	modelSession
	m            *doorsModel
	user         string
	rules        bool // it has the host's secret
	all          []frame
	asked        map[int]*doorAsk
	state        string // outside, waits, admitted, inside, out
	peers        map[string]bool
	hosts, muted []string
	locked       bool
	door         map[string]bool // who has knocked, as far as it has been told

	told map[string]int // how often it has heard that another one has joined

	// What the others may be told of it.
	joins, leaves int
	enters        int  // of the joins, those by which it may have come in
	inSince       int  // of the model's words
	admits        int  // how often it has been told that it is admitted
	left          bool // it has ended its session
}

// doorAsk is a request that has no answer yet.
type doorAsk struct {
	what string          // join, leave, or what a host wants
	with map[string]bool // who is inside as far as its asker has been told
	of   *doorPerson
	by   *doorPerson
	at   int        // of the model's words
	over int        // likewise, when it was answered; 0: it has not been
	no   bool       // it was refused
	kept bool       // others had it, or had to have it, when the node died that has answered
	bare bool       // nobody could have gone on with that node when it was answered
	on   *modelNode // which has answered, or has gone on with that node
	may  bool       // by this join its asker may have come in
}

func (c *doorPerson) begin(n *modelNode) {
	c.asked, c.peers, c.door, c.state = make(map[int]*doorAsk), make(map[string]bool), make(map[string]bool), "outside"
	hello := fmt.Sprintf(`{"type":"hello","name":%q`, c.name)
	if c.user != "" {
		hello += fmt.Sprintf(`,"user":%q,"userSecret":"the secret of it"`, c.user)
	}
	c.opens(n, hello+"}")
	c.m.by[c.id] = c
	c.read()
}

func (c *doorPerson) say(what string, of *doorPerson, text string, args ...any) {
	c.seq++
	c.m.words++
	a := &doorAsk{what: what, of: of, by: c, at: c.m.words, with: maps.Clone(c.peers)}
	c.asked[c.seq], c.m.asks = a, append(c.m.asks, a)
	text = fmt.Sprintf(`{%s,"id":%d,"seq":%d}`, fmt.Sprintf(text, args...), c.seq, c.seq)
	c.m.log("  %s says %s", c.name, text)
	c.outbox = append(c.outbox, text)
	if !c.lost {
		c.socket.Say([]byte(text), c.m.now)
		c.read()
	}
}

func (c *doorPerson) join() {
	c.joins++
	may, more := c.mayEnter(), ""
	if may {
		c.enters++
	}
	if c.rules {
		more = `,"host":"` + hostSecret + `"`
	}
	c.say("join", nil, `"type":"join","room":%q%s`, c.m.room, more)
	if a := c.asked[c.seq]; a != nil {
		a.may = may
	}
}

func (c *doorPerson) mayEnter() bool {
	admits := c.m.said["admit "+c.id]
	return c.rules || admits > 0 && (c.state != "out" || admits > c.admits)
}

func (c *doorPerson) leave() {
	c.leaves++
	c.say("leave", nil, `"type":"leave","room":%q`, c.m.room)
}

func (c *doorPerson) order(action string, of *doorPerson) {
	id := ""
	if of != nil {
		id = of.id
	}
	c.m.said[action+" "+id]++
	if action == "remove" && of.user != "" && of.user != c.user { // with all his devices
		c.m.said["bar "+of.user]++
	}
	c.say(action, of, `"type":"host","room":%q,"action":%q,"peer":%q`, c.m.room, action, id)
}

// resume comes back with another socket.
func (c *doorPerson) resume() {
	told, from, is := c.comesBack()
	switch {
	case is:
	case c.over && c.got == 0: // nobody has it yet
		c.left = true
		return
	case c.over && c.m.strict:
		c.m.fail("%s has not resumed", c.name)
		return
	default:
		return
	}
	for _, f := range told {
		c.take(f)
	}
	for _, a := range c.asked { // it is done only now, and somebody may have let it in meanwhile
		if a.what == "join" && !a.may && c.mayEnter() {
			a.may = true
			c.enters++
		}
	}
	c.saysAgain(from)
	c.read()
}

func (c *doorPerson) read() {
	if c.lost {
		return
	}
	for _, f := range pullFrames(c.m.t, c.socket) {
		c.take(f)
	}
	if c.socket.Code() != 0 && !c.over {
		c.m.log("%s is closed with %v", c.name, c.socket.Code())
		c.sent = true
		c.drop()
		return
	}
	if !c.over {
		c.acks()
	}
}

func (c *doorPerson) isHost() bool { return slices.Contains(c.hosts, c.id) }

func (c *doorPerson) take(f frame) {
	m := c.m
	c.numbered(f)
	c.all = append(c.all, f)
	ask := c.asked[int(f.num("id"))]
	if ask != nil {
		delete(c.asked, int(f.num("id")))
	}
	if room := f.str("room"); room != "" && room != m.room {
		m.fail("%s is told of another room: %v", c.name, f)
	}
	id := f.str("peer")
	peer := m.by[id]
	switch f.str("type") {
	case "joined":
		if !c.rules && m.said["admit "+c.id] == 0 {
			m.fail("%s is let in, and no host has said so", c.name)
		}
		c.inSince = m.words
		c.state, c.peers, c.told = "inside", make(map[string]bool), make(map[string]int)
		for _, x := range f["peers"].([]any) {
			c.peers[frame(x.(map[string]any)).str("peer")] = true
		}
	case "peer-joined":
		switch {
		case c.state != "inside":
			m.fail("%s is told of %s, and is not there", c.name, id)
		case c.peers[id]:
			m.fail("%s is told twice that %s is there", c.name, peer.name)
		// That somebody leaves may have come to the dead node, and not to the next one yet.
		case m.strict && peer.leaves == 0 && c.told[id] >= peer.enters:
			m.fail("%s is told %d times that %s has joined, who has come in %d times at most", c.name, c.told[id]+1, peer.name, peer.enters)
		}
		c.peers[id] = true
		c.told[id]++
	case "peer-left":
		reason := f.str("reason")
		switch {
		case !c.peers[id]:
			m.fail("%s is told that %s leaves, of whom it does not know", c.name, peer.name)
		case reason == "lost" && m.strict && !peer.lateOut(),
			reason == "leave" && peer.leaves == 0, reason == "removed" && m.removed(peer) == 0, reason == "ended" && m.said["end "] == 0:
			m.fail("%s is told that %s has left: %s", c.name, peer.name, reason)
		}
		delete(c.peers, id)
	case "hosting":
		c.hosts, c.muted, c.locked = texts(f["hosts"]), texts(f["muted"]), f["locked"] == true
		if !c.isHost() {
			c.door = make(map[string]bool)
		}
	case "knock":
		if c.door[id] {
			m.fail("%s hears twice that %s knocks", c.name, peer.name)
		}
		c.door[id] = true
	case "knock-left":
		if !c.door[id] {
			m.fail("%s hears that %s knocks no more, of whom it does not know", c.name, peer.name)
		}
		delete(c.door, id)
	case "admitted":
		if m.said["admit "+c.id] == 0 {
			m.fail("%s is admitted, and no host has said so", c.name)
		}
		c.state = "admitted"
		c.admits++
	case "out":
		c.takeOut(f.str("reason"))
	case "ok":
		c.answered(ask)
	case "error":
		if ask != nil {
			ask.over, ask.no = m.words, true
		}
		switch code := f.str("code"); {
		case code == "knocking":
			c.state = "waits"
		case code == "locked":
			if m.said["lock "] == 0 {
				m.fail("%s finds the room locked, and nobody has", c.name)
			}
			c.state = "outside"
		case ask != nil && ask.what == "join" && code == "forbidden":
			if m.removed(c)+m.said["decline "+c.id] == 0 {
				m.fail("%s is forbidden to come in", c.name)
			}
			c.state = "out"
		case code == "forbidden", code == "not-in-room":
		default:
			m.fail("%s is told %v", c.name, f)
		}
	}
}

// lateOut reports whether somebody has been put out, or the room is over, of which a node that
// has not heard of it in time says that he is lost.
func (c *doorPerson) lateOut() bool { return c.m.removed(c)+c.m.said["end "]+c.leaves > 0 }

func (c *doorPerson) takeOut(reason string) {
	m := c.m
	switch {
	case reason == "removed" && m.removed(c) > 0, reason == "declined" && m.said["decline "+c.id]+m.removed(c) > 0:
		c.state = "out"
	case reason == "locked" && m.said["lock "] > 0, reason == "ended" && m.said["end "] > 0:
		c.state = "outside"
	default:
		m.fail("%s is put out: %s", c.name, reason)
	}
	c.hosts, c.muted, c.door, c.peers = nil, nil, make(map[string]bool), make(map[string]bool)
}

func (c *doorPerson) answered(ask *doorAsk) {
	if ask == nil {
		c.m.fail("%s is answered what it has not asked", c.name)
	}
	switch ask.what {
	case "leave":
		c.state = "outside"
		c.hosts, c.muted, c.door, c.peers = nil, nil, make(map[string]bool), make(map[string]bool)
	default:
		ask.over, ask.on, ask.bare = c.m.words, c.node, !c.node.hub.second.covers()
		c.m.done = append(c.m.done, ask)
	}
}

func texts(list any) (all []string) {
	for _, x := range list.([]any) {
		all = append(all, x.(string))
	}
	return all
}
