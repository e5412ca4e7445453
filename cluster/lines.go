package cluster

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/link"
)

// What nodes say to each other about sessions goes over one stream for each pair of them
// (package link), on turnhub.link.<to>.<from>. It holds what people write to each other, so
// it is encrypted (AES-256-GCM by a key of credentials.secrets), which seals it as well:
//
//	"L", 4 bytes that name the secret, 12 of a nonce, and the sealed rest:
//	both processes' runs, 12 bytes each, and a packet of the stream
//
// A packet that was taken down and is sent again opens nothing new: it names both
// processes, and its stream's numbers have gone on.

// Other is what is told of the streams to other nodes. Its calls about one node never
// overlap.
type Other interface {
	// NodeUp says that there is a stream to a node, of that generation: nothing has been
	// said in either direction.
	NodeUp(node string, generation uint64)
	// NodeLost says that it is over, or void: the node is dead, or it may have missed
	// something.
	NodeLost(node string)
	// FromNode are frames of a node, in order. They are the callee's.
	FromNode(node string, frames [][]byte)
}

const (
	runSize    = 12
	nonceSize  = 12
	maxPacket  = 64 << 10
	linkMagic  = 'L'
	linkHeader = 1 + keyDigits/2 + nonceSize

	// blindFor is for how long the others are not judged while this node is without NATS.
	blindFor = time.Minute
)

func linkSubject(to, from string) string { return "turnhub.link." + to + "." + from }

// line is the stream to one process of another node.
type line struct {
	c    *Cluster
	node string
	run  string
	wake chan struct{}
	over chan struct{} // closed when the node is dead

	in    sync.Mutex // held while Other is called; comes before mu
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
	blind time.Duration // since when there is no NATS; 0: there is
	heard time.Duration // since when there is
}

func (c *Cluster) lineOf(node string) *line {
	c.lines.mu.Lock()
	defer c.lines.mu.Unlock()
	return c.lines.by[node]
}

// Send appends a frame, which it keeps, to the stream of that generation. It does not
// block. False: that stream is over.
func (c *Cluster) Send(node string, generation uint64, frame []byte) bool {
	x := c.lineOf(node)
	if x == nil {
		return false
	}
	x.mu.Lock()
	ok := x.l != nil && x.l.Generation() == generation
	if ok && !x.l.Add(frame) {
		ok, x.void = false, true
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
			if !m.Gone {
				alive[m.Node] = m.Run
			}
		}
	}
	var ended, begun []*line
	x := &c.lines
	connected := c.connection() != nil
	x.mu.Lock()
	switch {
	case !connected && x.blind == 0:
		x.blind = now
	case connected && x.blind != 0:
		x.blind, x.heard = 0, now
	}
	unsure := c.speaks() && (x.blind != 0 && now-x.blind < blindFor || x.blind == 0 && now-x.heard < c.book.gone)
	for node, l := range x.by {
		run, lives := alive[node]
		if run != l.run && (lives || !unsure) {
			delete(x.by, node)
			ended = append(ended, l)
		}
	}
	for node, run := range alive {
		if x.by[node] == nil && len(run) == runSize {
			l := &line{c: c, node: node, run: run, wake: make(chan struct{}, 1), over: make(chan struct{}), since: now}
			l.l = link.New(uint64(wall()), now)
			x.by[node] = l
			begun = append(begun, l)
		}
	}
	x.mu.Unlock()
	for _, l := range ended {
		l.end()
	}
	for _, l := range begun {
		l.in.Lock()
		c.cfg.Other.NodeUp(l.node, l.generation())
		l.in.Unlock()
		c.working.Go(l.serve)
	}
}

// endLines ends all streams, at the end.
func (c *Cluster) endLines() {
	c.lines.mu.Lock()
	all := c.lines.by
	c.lines.by = nil
	c.lines.mu.Unlock()
	for _, x := range all {
		x.end()
	}
}

func (x *line) generation() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.l.Generation()
}

func (x *line) end() {
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
	x.c.cfg.Other.NodeLost(x.node)
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
	x.l.Reset(uint64(wall()), x.since)
	generation := x.l.Generation()
	x.mu.Unlock()
	x.c.log.Warn("what was to be said to another node is void, and said anew: it does not take it", "node", x.node)
	x.c.cfg.Other.NodeLost(x.node)
	x.c.cfg.Other.NodeUp(x.node, generation)
	wake(x.wake)
}

// serve sends what is due until the node is dead.
func (x *line) serve() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	buf := make([]byte, 0, maxPacket)
	head := append([]byte(x.c.run), x.run...)
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
			buf = x.l.Next(append(buf[:0], head...), now)
			wait := x.l.Wait(now)
			void := x.void || x.l.Stalled(now, x.since) && x.c.connection() != nil
			x.mu.Unlock()
			if void {
				x.giveUp()
				continue
			}
			if len(buf) > len(head) {
				x.c.publishPacket(x.node, buf)
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

func (c *Cluster) publishPacket(node string, packet []byte) {
	conn := c.connection()
	if conn == nil {
		return // it is said again
	}
	subject := linkSubject(node, c.cfg.Node)
	c.counts.one(func(s *Stats) *uint64 { return &s.Packets })
	if err := conn.Publish(subject, c.keys.Load().encrypt(subject, packet)); err != nil {
		c.once("link "+err.Error(), func() {
			c.log.Warn("a packet for another node could not be sent; it is said again", "node", node, "error", err)
		})
	}
}

// packet takes in a packet of another node.
func (c *Cluster) packet(m *nats.Msg) {
	who := strings.TrimPrefix(m.Subject, linkSubject(c.cfg.Node, ""))
	if !validName(who) {
		who = ""
	}
	body, why := c.keys.Load().decrypt(m.Subject, m.Data)
	if why == "" && len(body) < 2*runSize {
		why = badForm
	}
	if why != "" {
		c.refuse(why, who, explanations[why])
		return
	}
	x := c.lineOf(who)
	if x == nil || string(body[:runSize]) != x.run || string(body[runSize:2*runSize]) != c.run {
		return // of a process that is not known yet, or not any more: it says it again
	}
	x.in.Lock()
	defer x.in.Unlock()
	if x.dead {
		return
	}
	x.mu.Lock()
	frames, anew, err := x.l.Take(body[2*runSize:], c.now())
	generation := x.l.Generation()
	if anew {
		x.since = c.now()
	}
	x.mu.Unlock()
	wake(x.wake)
	if anew {
		c.cfg.Other.NodeLost(who)
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

// encrypt seals a packet so that nobody can read it either.
func (k *keyring) encrypt(subject string, body []byte) []byte {
	id := k.ids[0]
	out := make([]byte, linkHeader, linkHeader+len(body)+16)
	out[0] = linkMagic
	_, _ = hex.Decode(out[1:], []byte(id)) // it is hexadecimal
	_, _ = rand.Read(out[1+keyDigits/2 : linkHeader])
	return k.sealing[id].Seal(out, out[1+keyDigits/2:linkHeader], body, []byte(subject))
}

// decrypt undoes encrypt, or says why a packet is not to be heard.
func (k *keyring) decrypt(subject string, packet []byte) (body []byte, wrong string) {
	switch {
	case len(packet) > maxPacket:
		return nil, badSize
	case len(packet) < linkHeader || packet[0] != linkMagic:
		return nil, badForm
	}
	a, known := k.sealing[hex.EncodeToString(packet[1:1+keyDigits/2])]
	if !known {
		return nil, badSecret
	}
	body, err := a.Open(nil, packet[1+keyDigits/2:linkHeader], packet[linkHeader:], []byte(subject))
	if err != nil {
		return nil, badSeal
	}
	return body, ""
}

// sealingBy is what encrypts by a secret.
func sealingBy(secret string) cipher.AEAD {
	key := digest([]byte(secret), "turnhub cluster encryption")
	block, err := aes.NewCipher(key[:sha256.Size])
	if err == nil {
		var a cipher.AEAD
		if a, err = cipher.NewGCM(block); err == nil {
			return a
		}
	}
	panic(err) // the key has the right length
}
