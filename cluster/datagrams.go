package cluster

import (
	"cmp"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Datagrams are what one process says to one other, and what is worth nothing when it comes
// late: on turnhub.datagram.<to>.<from>, sealed as streams are (pairkey.go), but not
// acknowledged, not said again and not waited for. Where NATS is away, or does not take them,
// or the other end does not keep up, they are lost, and each comes once at most, in order.
//
// They have a connection of their own to NATS, so that they hold up nothing else and nothing
// holds them up, and little waits in it: what is too old is left out by whoever sends.
//
// Safe for concurrent use.
type Datagrams struct {
	c       *Cluster
	heard   func(node, run string, body []byte)
	changed func()
	up      atomic.Bool
	conn    atomic.Pointer[nats.Conn]
	numbers numbers

	mu sync.Mutex
	by map[string]*pen // by node
}

// pen is what is sent to one process of another node, and heard of it.
type pen struct {
	run   string
	mu    sync.Mutex
	ours  *pairKey // under mu
	its   *pairKey // the goroutine's that hears
	heard replays  // likewise
}

const (
	// datagramMost is the longest that is sent, in bytes: less where NATS takes less.
	datagramMost  = 48 << 10
	datagramLeast = 1 << 10
	// datagramAround is more than what a packet has beside that.
	datagramAround = 256
	// datagramsIn and datagramBytesIn are how much waits to be heard; more is lost.
	datagramsIn     = 4096
	datagramBytesIn = 8 << 20
	// refusedFor is how long none are sent where NATS does not let this node, before it is tried
	// again.
	refusedFor = time.Minute
	// datagramBuffer is how much waits in the kernel for NATS to take it, in bytes.
	datagramBuffer = 256 << 10
)

func datagramSubject(to, from string) string { return "turnhub.datagram." + to + "." + from }

// Datagrams returns those of this node. It is called before Serve; else there are none. heard
// is called by one goroutine, with what is good until it returns; changed when NATS is lost or
// back.
func (c *Cluster) Datagrams(heard func(node, run string, body []byte), changed func()) *Datagrams {
	c.loose = &Datagrams{c: c, heard: heard, changed: changed, by: make(map[string]*pen)}
	return c.loose
}

// Process is the process of another node to which something could be sent now; empty: there
// is none.
func (d *Datagrams) Process(node string) string {
	if !d.up.Load() || node == d.c.cfg.Node {
		return ""
	}
	return d.c.book.lives(node, d.c.now())
}

// Node is this node's name.
func (d *Datagrams) Node() string { return d.c.cfg.Node }

// Others are the nodes that live, but this one.
func (d *Datagrams) Others() (names []string) {
	for _, m := range d.c.book.list(d.c.now()) {
		if !m.Gone && m.Node != d.c.cfg.Node {
			names = append(names, m.Node)
		}
	}
	return names
}

// Most is the longest that can be sent now, in bytes.
func (d *Datagrams) Most() int {
	if conn := d.conn.Load(); conn != nil && conn.MaxPayload() > 0 {
		return max(datagramLeast, min(datagramMost, int(conn.MaxPayload())-datagramAround))
	}
	return datagramMost
}

// Send sends something to that process of a node. It waits while NATS takes nothing, for some
// seconds at most. False: it has not been sent.
func (d *Datagrams) Send(node, run string, body []byte) bool {
	c, conn := d.c, d.conn.Load()
	sent := func() bool {
		if conn == nil || !d.up.Load() || !c.speaks() {
			return false
		}
		p := d.pen(node, run)
		if p == nil {
			return false
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		subject := datagramSubject(node, c.cfg.Node)
		return conn.Publish(subject, p.ours.encrypt(c.keys.Load(), &d.numbers, subject, c.run, run, body)) == nil
	}()
	c.counts.one(func(s *Stats) *uint64 {
		if sent {
			return &s.DatagramsSaid
		}
		return &s.DatagramsUnsaid
	})
	return sent
}

// pen returns what there is for a process, if it is that of a node now.
func (d *Datagrams) pen(node, run string) *pen {
	if len(run) != runSize || d.c.book.lives(node, d.c.now()) != run {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.by[node]
	if p != nil && p.run == run {
		return p
	}
	// The book knows no more than maxNodes, but forgets them.
	for name := range d.by {
		if len(d.by) < maxNodes {
			break
		}
		delete(d.by, name)
	}
	c := d.c
	p = &pen{run: run, ours: newPairKey(asDatagram, c.cfg.Node, c.run, node, run), its: newPairKey(asDatagram, node, run, c.cfg.Node, c.run)}
	d.by[node] = p
	return p
}

// packet takes in a packet of another node.
func (d *Datagrams) packet(m *nats.Msg) {
	c := d.c
	who := strings.TrimPrefix(m.Subject, datagramSubject(c.cfg.Node, ""))
	if !validName(who) {
		who = ""
	}
	from, to, why := asDatagram.envelope(m.Data)
	if why != "" {
		c.refuse(why, who, explanations[why])
		return
	}
	var p *pen
	if to == c.run {
		p = d.pen(who, from)
	}
	if p == nil { // of one that is not known yet, or not any more
		c.counts.add(refused, badProcess)
		return
	}
	body, why := p.its.open(c.keys.Load(), m.Subject, m.Data, &p.heard)
	if why != "" {
		c.refuse(why, who, explanations[why])
		return
	}
	c.counts.one(func(s *Stats) *uint64 { return &s.DatagramsHeard })
	d.heard(who, from, body)
}

// shallow dials so that little waits in the kernel: it would be late.
type shallow struct{ net.Dialer }

func (s *shallow) Dial(network, address string) (net.Conn, error) {
	conn, err := s.Dialer.Dial(network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(datagramBuffer) // else more waits
	}
	return conn, err
}

// serve connects, and hears until end is called.
func (d *Datagrams) serve(opts []nats.Option) (end func(), err error) {
	if d == nil {
		return func() {}, nil
	}
	is := func(up bool) {
		d.up.Store(up)
		d.changed()
	}
	opts = append(opts[:len(opts):len(opts)],
		nats.Name("turnhub "+d.c.cfg.Node+" datagrams"), nats.NoEcho(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.SetCustomDialer(&shallow{net.Dialer{Timeout: connectTime, KeepAlive: 5 * time.Minute}}),
		nats.ConnectHandler(func(*nats.Conn) { is(true) }),
		nats.ReconnectHandler(func(*nats.Conn) { is(true) }),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { is(false) }),
		nats.ErrorHandler(func(conn *nats.Conn, _ *nats.Subscription, err error) {
			d.c.failed(err)
			if errors.Is(err, nats.ErrPermissionViolation) && d.up.Load() {
				is(false)
				time.AfterFunc(cmp.Or(d.c.cfg.refused, refusedFor), func() { _ = conn.ForceReconnect() })
			}
		}),
	)
	conn, err := nats.Connect(strings.Join(d.c.cfg.NATS, ","), opts...)
	if err != nil {
		return nil, err
	}
	sub, err := conn.Subscribe(datagramSubject(d.c.cfg.Node, "*"), d.packet)
	if err == nil {
		err = sub.SetPendingLimits(datagramsIn, datagramBytesIn)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	d.conn.Store(conn)
	return func() {
		d.up.Store(false)
		conn.Close()
	}, nil
}
