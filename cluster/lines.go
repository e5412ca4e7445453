package cluster

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/link"
)

// What nodes say to each other about sessions goes over one stream for each pair of them
// (package link), on turnhub.link.<to>.<from>. It holds what people write to each other, so
// it is encrypted (pairkey.go).

// Other is what is told of the streams to other nodes. Its calls about one node never
// overlap.
type Other interface {
	// NodeUp says that there is a stream to a node, of that generation: nothing has been
	// said in either direction.
	NodeUp(node string, generation uint64)
	// NodeLost says that it is over, or void: the node is dead, or it may have missed
	// something.
	NodeLost(node string, how Loss)
	// CutOff says that nothing has come through NATS for cutOffAfter: the others may have gone
	// on without this node.
	CutOff()
	// FromNode are frames of a node, in order. What is kept of one keeps all of them.
	FromNode(node string, frames [][]byte)
}

// Loss is why a stream is over.
type Loss int

// The reasons.
const (
	LossVoid   Loss = iota // something may have been missed, and it begins anew
	LossSilent             // the node is dead, or frozen, or cut off, or succeeded; or this one ends
	LossEnded              // its process has ended for certain
)

const (
	maxPacket = 64 << 10

	// blindFor is for how long the others are not judged while this node is without NATS.
	blindFor = time.Minute
	// cutOffAfter is after which time CutOff is called in which not even this node's own beats
	// have come back. It is less than for how long a node waits for its second, see
	// signaling's secondPatience, and more than two beats.
	cutOffAfter = 2 * time.Second
)

func linkSubject(to, from string) string { return "turnhub.link." + to + "." + from }

// line is the stream to one process of another node.
type line struct {
	c    *Cluster
	node string
	run  string
	wake chan struct{}
	over chan struct{} // closed when the node is dead
	ours *pairKey      // of what is said to it; the sending goroutine's

	in    sync.Mutex // held while Other is called; comes before mu
	its   *pairKey   // under in: of what it says
	heard *replays   // under in
	dead  bool       // under in
	mu    sync.Mutex
	l     *link.Link
	since time.Duration // since when it is known to live, without a pause
	void  bool          // the stream is to be given up
}

// lineBook has all of them, by node.
type lineBook struct {
	mu    sync.Mutex
	by    map[string]*line
	came  map[string]*replays // by node: it outlives a line to the same process
	blind time.Duration       // since when there is no NATS; 0: there is
	heard time.Duration       // since when there is
}

func (c *Cluster) lineOf(node string) *line {
	c.lines.mu.Lock()
	defer c.lines.mu.Unlock()
	return c.lines.by[node]
}

// Send appends frames, which it keeps, to the stream of that generation. What comes at once
// goes in as few packets as hold it. It does not block. False: that stream is over.
func (c *Cluster) Send(node string, generation uint64, frames ...[]byte) bool {
	x := c.lineOf(node)
	if x == nil {
		return false
	}
	x.mu.Lock()
	ok := x.l != nil && x.l.Generation() == generation
	for _, f := range frames {
		if ok && !x.l.Add(f) {
			ok, x.void = false, true
		}
	}
	x.mu.Unlock()
	wake(x.wake)
	return ok
}

// Roomy reports whether a message may be added to what waits for a node.
func (c *Cluster) Roomy(node string) bool {
	x := c.lineOf(node)
	if x == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.l != nil && x.l.Roomy()
}

// tend begins streams to those who live, and ends those to the dead.
func (c *Cluster) tend() {
	if c.cfg.Other == nil {
		return
	}
	now := c.now()
	alive := make(map[string]string) // runs
	if c.speaks() {
		for _, m := range c.book.list(now) {
			if !m.Gone && m.Speaks() {
				alive[m.Node] = m.Run
			} else if !m.Gone {
				c.refuse(badVersion, m.Node, explanations[badVersion])
			}
		}
	}
	var ended, begun []*line
	sure := make(map[*line]bool)
	x := &c.lines
	connected := c.connection() != nil
	x.mu.Lock()
	switch {
	case !connected && x.blind == 0:
		x.blind = now
	case connected && x.blind != 0:
		x.blind, x.heard = 0, now
	}
	unsure := c.speaks() && x.unsure(now, c.book.gone)
	for node, l := range x.by {
		run, lives := alive[node]
		buried := c.book.buried(node, l.run)
		if run != l.run && (lives || !unsure || buried) {
			delete(x.by, node)
			ended = append(ended, l)
			sure[l] = buried
		}
	}
	if len(x.came) > maxNodes {
		maps.DeleteFunc(x.came, func(node string, _ *replays) bool { return x.by[node] == nil })
	}
	for node, run := range alive {
		if x.by[node] == nil && len(run) == runSize {
			l := &line{c: c, node: node, run: run, wake: make(chan struct{}, 1), over: make(chan struct{}), since: now}
			l.l = link.New(uint64(c.wall()), now)
			l.ours, l.its = newPairKey(asLink, c.cfg.Node, c.run, node, run), newPairKey(asLink, node, run, c.cfg.Node, c.run)
			if l.heard = x.came[node]; l.heard == nil || l.heard.run != run {
				l.heard = &replays{run: run}
				x.came[node] = l.heard
			}
			x.by[node] = l
			begun = append(begun, l)
		}
	}
	x.mu.Unlock()
	for _, l := range ended {
		how := LossSilent
		if sure[l] {
			how = LossEnded
		}
		l.end(how)
	}
	for _, l := range begun {
		l.in.Lock()
		c.cfg.Other.NodeUp(l.node, l.generation())
		l.in.Unlock()
		c.working.Go(l.serve)
	}
}

// unsure reports whether the others cannot be judged: there is no NATS, or it has come back so
// lately that they may not have heard of that. mu is held.
func (x *lineBook) unsure(now, gone time.Duration) bool {
	return x.blind != 0 && now-x.blind < blindFor || x.blind == 0 && now-x.heard < gone
}

// Deaf reports whether this node may not have heard what others have done lately: there is no
// NATS, or it is back for a moment only. After a minute without it nobody is waited for.
func (c *Cluster) Deaf() bool {
	now := c.now()
	c.lines.mu.Lock()
	defer c.lines.mu.Unlock()
	if c.lines.blind == 0 && c.connection() == nil { // and nobody has looked yet
		return true
	}
	return c.lines.unsure(now, c.book.gone) || c.lines.blind == 0 && now-time.Duration(c.echo.Load()) > c.cfg.beat*3/2
}

// Shaken reports whether NATS is away, or was so lately that this node may not know yet what the
// others have given up meanwhile (CutOff).
func (c *Cluster) Shaken() bool {
	lately := func(at time.Duration) bool { return at != 0 && c.now()-at < c.book.gone }
	c.lines.mu.Lock()
	defer c.lines.mu.Unlock()
	return c.connection() == nil || c.lines.blind != 0 || lately(c.lines.heard) || lately(time.Duration(c.lost.Load()))
}

// watch looks whether this node is cut off.
func (c *Cluster) watch() {
	if c.cfg.Other == nil {
		return
	}
	now, heard := c.now(), time.Duration(c.echo.Load())
	switch cut := now-heard >= cutOffAfter; {
	case !cut:
		c.cut = false
	case !c.cut:
		c.cut = true
		c.cfg.Other.CutOff()
	}
}

// endLines ends all streams, at the end.
func (c *Cluster) endLines() {
	c.lines.mu.Lock()
	all := c.lines.by
	c.lines.by = nil
	c.lines.mu.Unlock()
	for _, x := range all {
		x.end(LossSilent)
	}
}

func (x *line) generation() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.l.Generation()
}

func (x *line) end(how Loss) {
	x.in.Lock()
	defer x.in.Unlock()
	if x.dead {
		return
	}
	x.dead = true
	close(x.over)
	x.mu.Lock()
	x.l = nil
	x.mu.Unlock()
	x.c.cfg.Other.NodeLost(x.node, how)
}

// giveUp voids the stream and begins another one.
func (x *line) giveUp() {
	x.in.Lock()
	defer x.in.Unlock()
	if x.dead {
		return
	}
	x.c.counts.one(func(s *Stats) *uint64 { return &s.Void })
	x.mu.Lock()
	x.since, x.void = x.c.now(), false
	x.l.Reset(uint64(x.c.wall()), x.since)
	generation := x.l.Generation()
	x.mu.Unlock()
	x.c.log.Warn("what was to be said to another node is void, and said anew: it does not take it", "node", x.node)
	x.c.cfg.Other.NodeLost(x.node, LossVoid)
	x.c.cfg.Other.NodeUp(x.node, generation)
	wake(x.wake)
}

// serve sends what is due until the node is dead.
func (x *line) serve() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	buf := make([]byte, 0, maxPacket)
	for {
		select {
		case <-x.over:
			return
		case <-x.wake:
		case <-timer.C:
		}
		for {
			x.mu.Lock()
			if x.l == nil {
				x.mu.Unlock()
				return
			}
			now := x.c.now()
			buf = x.l.Next(buf[:0], now)
			wait := x.l.Wait(now)
			void := x.void || x.l.Stalled(now, x.since) && x.c.connection() != nil
			x.mu.Unlock()
			if void {
				x.giveUp()
				continue
			}
			if len(buf) > 0 {
				x.publish(buf)
				if wait == 0 {
					continue
				}
			}
			if wait < 0 {
				wait = time.Hour
			}
			timer.Reset(wait)
			break
		}
	}
}

func (x *line) publish(packet []byte) {
	c := x.c
	conn := c.connection()
	if conn == nil {
		return // it is said again
	}
	subject := linkSubject(x.node, c.cfg.Node)
	c.counts.one(func(s *Stats) *uint64 { return &s.Packets })
	if err := conn.Publish(subject, x.ours.encrypt(c.keys.Load(), &c.numbers, subject, c.run, x.run, packet)); err != nil {
		c.once("link "+err.Error(), func() {
			c.log.Warn("a packet for another node could not be sent; it is said again", "node", x.node, "error", err)
		})
	}
}

// packet takes in a packet of another node.
func (c *Cluster) packet(m *nats.Msg) {
	who := strings.TrimPrefix(m.Subject, linkSubject(c.cfg.Node, ""))
	if !validName(who) {
		who = ""
	}
	from, to, why := asLink.envelope(m.Data)
	if why != "" {
		c.refuse(why, who, explanations[why])
		return
	}
	x := c.lineOf(who)
	if x == nil || from != x.run || to != c.run {
		// Of a process that is not known yet, or not any more: it says it again, so nobody
		// has to hear of it.
		c.counts.add(refused, badProcess)
		return
	}
	x.in.Lock()
	defer x.in.Unlock()
	if x.dead {
		return
	}
	body, why := x.its.open(c.keys.Load(), m.Subject, m.Data, x.heard)
	if why != "" {
		c.refuse(why, who, explanations[why])
		return
	}
	x.mu.Lock()
	frames, anew, err := x.l.Take(body, c.now())
	generation := x.l.Generation()
	if anew {
		x.since = c.now()
	}
	x.mu.Unlock()
	wake(x.wake)
	if anew {
		c.cfg.Other.NodeLost(who, LossVoid)
		c.cfg.Other.NodeUp(who, generation)
	}
	if len(frames) > 0 {
		c.cfg.Other.FromNode(who, frames)
	}
	if err != nil {
		c.refuse(badForm, who, err.Error())
		x.mu.Lock()
		x.void = true
		x.mu.Unlock()
		wake(x.wake)
	}
}
