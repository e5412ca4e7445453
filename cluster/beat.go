package cluster

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// Once a beat each node says how it does, and hears how the others do.

func beatSubject(node string) string { return "turnhub.beat." + node }

// hear takes in a beat.
func (c *Cluster) hear(m *nats.Msg) {
	who := strings.TrimPrefix(m.Subject, beatSubject(""))
	if !validName(who) {
		who = ""
	}
	r, why := readBeat(c.keys.Load(), m)
	switch {
	case why != "":
	case r.Node == c.cfg.Node && r.Run == c.run:
		c.echo.Store(int64(c.now()))
		return // our own
	case r.Node == c.cfg.Node:
		why = c.namesake(r)
	default:
		var isNew bool
		if isNew, why = c.book.hear(r, c.now(), c.wall()); isNew || why == "" && r.Leaving {
			wake(c.greet)
		}
	}
	if why != "" {
		c.refuse(why, who, explanations[why])
		return
	}
	c.counts.one(func(s *Stats) *uint64 { return &s.Beats })
}

// readBeat opens a beat.
func readBeat(keys *keyring, m *nats.Msg) (r Record, why string) {
	body, why := keys.open(m.Subject, m.Data)
	if why != "" {
		return r, why
	}
	if r, why = parseRecord(body); why == "" && m.Subject != beatSubject(r.Node) {
		why = badName
	}
	return r, why
}

// namesake hears of another process that says it is this node: the younger of the two
// is. So it is with one that was frozen while another was started in its place, and with
// one that carries its last calls after an upgrade.
func (c *Cluster) namesake(r Record) (why string) {
	if apart(r.At, c.wall()) > maxApart {
		return badClock
	}
	if r.Since < c.since || r.Since == c.since && r.Run < c.run {
		return badOld
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.superseded == 0
	c.superseded = c.now() + c.book.gone
	if r.Leaving {
		c.superseded = 0
	}
	if first && !c.draining && !r.Leaving {
		c.log.Error("another process says that it is this node, and is younger: this one speaks for nobody any more while that one does", "node", c.cfg.Node, "its_url", r.URL, "remedy", "give every node a cluster.node of its own")
	}
	return ""
}

// speaks reports whether this process is the node of its name.
func (c *Cluster) speaks() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.superseded != 0 && c.now() > c.superseded {
		c.superseded = 0
	}
	return c.superseded == 0
}

// record is what this node says of itself.
func (c *Cluster) record() Record {
	state, said := c.state.Load(), c.topics.saidBefore()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Record{
		Version: version, Node: c.cfg.Node, Run: c.run, Since: c.since, Seq: c.seq, At: c.wall(),
		URL: c.cfg.URL, Region: c.cfg.Region, Software: c.cfg.Software,
		URLs: state.URLs[:min(len(state.URLs), maxURLs)], Range: state.Range, Load: state.Load, Digests: state.Digests,
		Draining: c.draining, Said: said, Link: linkVersion, Bare: c.bare,
	}
	if r.Bare != "" {
		r.BareFor = (c.now() - c.bareSince).Milliseconds()
	}
	return r
}

// sendBeat says how this node does.
func (c *Cluster) sendBeat(last bool) {
	c.book.tick(c.now())
	state := c.cfg.State()
	c.state.Store(&state)
	c.lookBare()
	conn := c.connection()
	if conn == nil || !c.speaks() {
		return
	}
	c.mu.Lock()
	c.seq++
	c.mu.Unlock()
	r := c.record()
	r.Leaving = last
	body, err := json.Marshal(r)
	if err == nil {
		err = conn.Publish(beatSubject(r.Node), c.keys.Load().seal(beatSubject(r.Node), body))
	}
	if err != nil && !errors.Is(err, nats.ErrReconnectBufExceeded) {
		c.once("beat", func() { c.log.Error("this node cannot say how it does", "error", err) })
	}
}
