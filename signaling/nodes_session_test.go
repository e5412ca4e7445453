package signaling

import (
	"fmt"
	"time"

	"turnhub/signaling/internal/wire"
)

// modelSession is what the clients of the models have in common: a session that outlives its
// socket and, where sessions outlive their nodes, its node.
type modelSession struct {
	of        *nodesModel
	name      string
	node      *modelNode
	socket    *carried
	id, token string
	lost      bool
	since     time.Time // since when it is lost
	over      bool      // the session is gone
	sent      bool      // on to another node
	seq, got  int       // the numbers of what it has said and heard
	outbox    []string
}

func (c *modelSession) live() bool { return c.node != nil && !c.over }

// opens begins a fresh session; id is empty where it is not welcome.
func (c *modelSession) opens(n *modelNode, hello string) {
	c.node, c.socket = n, carry(n.hub)
	c.socket.Say([]byte(hello), c.of.now)
	c.id, c.token = c.socket.Session()
	c.of.log("%s is %s on %s", c.name, c.id, n.name())
}

// drop is told that its socket is lost.
func (c *modelSession) drop() {
	if !c.lost {
		c.lost, c.since = true, c.of.now
	}
}

// goesTo is where it tries to come back: on the node where it was, or on another one where that
// is dead or sends it on; nil: nowhere now.
func (c *modelSession) goesTo() *modelNode {
	n := c.node
	if n.dead || n.frozen || c.sent {
		n = c.of.nodes[c.of.rng.IntN(modelNodes)]
	}
	if n.dead || n.frozen {
		return nil
	}
	return n
}

// comesBack tries to come back with another socket. It returns what it is told, after the
// welcome, and how much of what it has said its node has; is: it has its session still. Where it
// is not, that is over, or it has been sent on.
func (c *modelSession) comesBack() (told []frame, ack int, is bool) {
	n := c.goesTo()
	if n == nil {
		return nil, 0, false
	}
	c.socket = carry(n.hub)
	c.socket.Say(fmt.Appendf(nil, `{"type":"hello","resume":{"session":%q,"token":%q,"seq":%d}}`, c.id, c.token, c.got), c.of.now)
	frames := pullFrames(c.of.t, c.socket)
	if len(frames) == 0 {
		if c.of.seconds == nil || c.socket.Code() != wire.CloseRestart {
			c.of.fail("%s is not welcome: %v", c.name, c.socket.Code())
		}
		c.sent = true
		return nil, 0, false
	}
	c.lost = false
	c.of.log("%s comes to %s", c.name, n.name())
	if frames[0]["resumed"] != true {
		c.socket.Say([]byte(`{"type":"bye"}`), c.of.now)
		c.over = true
		return nil, 0, false
	}
	if c.node != n {
		c.of.moved++
	}
	c.node, c.sent = n, false
	_, c.token = c.socket.Session()
	return frames[1:], int(frames[0].num("ack")), true
}

// saysAgain says what its node does not have.
func (c *modelSession) saysAgain(ack int) {
	for _, text := range c.outbox[ack:] {
		c.socket.Say([]byte(text), c.of.now)
	}
}

// acks acknowledges what it has heard.
func (c *modelSession) acks() {
	c.socket.Say(fmt.Appendf(nil, `{"type":"ack","ack":%d}`, c.got), c.of.now)
}

// numbered takes the number of what it hears.
func (c *modelSession) numbered(f frame) {
	c.of.log("  %s hears %v", c.name, f)
	if seq := int(f.num("seq")); seq > 0 {
		if seq != c.got+1 {
			c.of.fail("%s: number %d after %d", c.name, seq, c.got)
		}
		c.got = seq
	}
}

// goodbye ends its session.
func (c *modelSession) goodbye() {
	c.socket.Say(fmt.Appendf(nil, `{"type":"bye","seq":%d}`, c.seq+1), c.of.now)
}
