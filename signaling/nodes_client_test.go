package signaling

import (
	"fmt"
	"strings"
	"time"
)

// What a client of the model of many nodes is told, and holds its node to.

// modelRoom is what a client knows of a room that it is in.
type modelRoom struct {
	polite  map[string]bool // of the others: what we are to them
	leaving int             // the id of the request to leave it
	gone    map[string]bool // have been there and left, under this membership
}

type modelClient struct {
	modelSession
	m      *nodesModel
	acked  int
	handed int // of seq, what its node has been told
	rooms  map[string]*modelRoom
	said   map[int]*modelSaid // by seq
	heard  map[string]int     // the highest number of each sender, and all below in heardAll
	all    map[string]bool
	next   int
}

// modelSaid is one message and who has to hear it.
type modelSaid struct {
	text    string
	owed    map[string]bool // sessions
	room    string
	settled bool
	id      int
}

// begin opens a fresh session.
func (c *modelClient) begin(n *modelNode) {
	*c = modelClient{
		modelSession: modelSession{of: c.m, name: c.name}, m: c.m, rooms: make(map[string]*modelRoom), said: make(map[int]*modelSaid),
		heard: make(map[string]int), all: make(map[string]bool),
	}
	c.opens(n, fmt.Sprintf(`{"type":"hello","name":%q}`, c.name))
	c.read(1000)
}

func (c *modelClient) say(text string) {
	c.seq++
	text = fmt.Sprintf(`{%s,"seq":%d}`, text, c.seq)
	c.outbox = append(c.outbox, text)
	c.m.log("  %s says %s", c.name, text)
	if !c.lost {
		c.handed = c.seq
		c.socket.Say([]byte(text), c.m.now)
	}
}

// resume comes back with another socket.
func (c *modelClient) resume() {
	since := c.since
	told, from, is := c.comesBack()
	if !is {
		if c.over && c.m.seconds == nil && c.m.now.Sub(since) < time.Minute { // else the others have been told that it is lost
			c.m.fail("%s has not resumed", c.name)
		}
		return
	}
	c.settle(from)
	c.handed = from
	for _, f := range told {
		c.take(f)
	}
	c.handed = c.seq
	c.saysAgain(from)
}

func (c *modelClient) read(most int) {
	if c.lost {
		return
	}
	for _, f := range pullFrames(c.m.t, c.socket) {
		c.take(f)
	}
	if c.m.seconds != nil && c.socket.Code() != 0 && !c.lost {
		c.m.log("%s is closed with %v", c.name, c.socket.Code())
		c.sent = true
		c.drop()
	}
}

// settle is told that everything up to a number is acknowledged.
func (c *modelClient) settle(ack int) {
	if ack < c.acked || ack > c.seq {
		c.m.fail("%s: acknowledged is %d after %d, of %d", c.name, ack, c.acked, c.seq)
	}
	for ; c.acked < ack; c.acked++ {
		if s := c.said[c.acked+1]; s != nil {
			s.settled = true
		}
	}
}

func (c *modelClient) take(f frame) {
	m := c.m
	c.numbered(f)
	if ack, ok := f["ack"].(float64); ok && f.str("type") != "welcome" {
		c.settle(int(ack))
	}
	name := f.str("room")
	r, peer := c.rooms[name], f.str("peer")
	switch f.str("type") {
	case "joined":
		r = &modelRoom{polite: make(map[string]bool), gone: make(map[string]bool)}
		if old := c.rooms[name]; old != nil {
			r.leaving = old.leaving
		}
		c.rooms[name] = r
		for _, x := range f["peers"].([]any) {
			p := frame(x.(map[string]any))
			r.polite[p.str("peer")] = p["polite"].(bool)
		}
	case "peer-joined":
		if r == nil {
			m.fail("%s is told of %s in %s, where it is not", c.name, peer, name)
		}
		if _, known := r.polite[peer]; known {
			m.fail("%s is told of %s twice", c.name, peer)
		}
		r.polite[peer] = f["polite"].(bool)
	case "peer-left":
		if r == nil {
			m.fail("%s is told that %s leaves %s, where it is not itself", c.name, peer, name)
		}
		if _, known := r.polite[peer]; !known {
			m.fail("%s is told that %s leaves, of whom it has not heard", c.name, peer)
		}
		delete(r.polite, peer)
		r.gone[peer] = true
		for seq, s := range c.said {
			if f.str("reason") != "lost" || seq > c.handed || c.m.seconds != nil {
				delete(s.owed, peer) // it need not hear what its node knew it to be away for
			}
		}
	case "message":
		c.hear(f)
	case "ok":
		for name, r := range c.rooms {
			if r.leaving != 0 && r.leaving == int(f.num("id")) {
				delete(c.rooms, name)
			}
		}
		for _, s := range c.said {
			if s.id == int(f.num("id")) {
				s.settled = true
			}
		}
	case "error":
		switch f.str("code") {
		case "rate", "not-in-room":
			for seq, s := range c.said {
				if f.num("id") == 0 || s.id == int(f.num("id")) {
					delete(c.said, seq) // whoever has heard it has, but nobody has to
				}
			}
		default:
			m.fail("%s is told %v", c.name, f)
		}
	}
}

func (c *modelClient) hear(f frame) {
	from, text := f.str("from"), f.str("data")
	known := false
	for name, r := range c.rooms {
		if _, is := r.polite[from]; is && (f.str("room") == "" || f.str("room") == name) {
			known = true
		}
	}
	if !known {
		c.m.fail("%s hears %q of %s, who is not there", c.name, text, from)
	}
	var number int
	_, _ = fmt.Sscanf(text[strings.IndexByte(text, ' ')+1:], "%d", &number)
	if c.all[text] || number <= c.heard[from] {
		c.m.fail("%s hears %q after %d", c.name, text, c.heard[from])
	}
	c.all[text] = true
	c.heard[from] = number
}
