package delivery

import (
	"runtime"
	"sync/atomic"
	"time"

	"turnhub/internal/stream"
)

const (
	pollInput  = 64 << 10 // bytes handled at once, of all of a poller's sockets in turn
	pollEvents = 256      // sockets in a round
)

// poller carries WebSockets over TCP and over TLS in an event loop: one goroutine for
// thousands of them, so that an idle one costs neither a stack nor a buffer. What a
// round has caused is written at its end. It is there on Linux only; elsewhere every
// WebSocket has a goroutine.
type poller struct {
	node  *Node
	loop  *stream.Loop
	done  chan struct{}
	ended atomic.Bool

	// The loop's goroutine's.
	out   flusher
	now   time.Time // at the start of the round
	input [pollInput]byte
}

func newPoller(n *Node) (*poller, error) {
	loop, err := stream.NewLoop(pollEvents)
	if err != nil {
		return nil, err
	}
	p := &poller{node: n, loop: loop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		loop.Run(p.begin, p.out.flush)
	}()
	return p, nil
}

// pollerCount is how many pollers a hub has: one for each processor.
func pollerCount() int { return min(runtime.NumCPU(), 16) }

// begin begins a round, unless the poller has ended.
func (p *poller) begin() (ended bool) {
	p.now = p.node.now()
	return p.ended.Load()
}

// close ends the poller, which carries nothing any more.
func (p *poller) close() {
	p.ended.Store(true)
	p.loop.Wake()
	<-p.done
	p.loop.Close()
}

// link is a socket under a poller.
type link struct {
	*stream.Conn
	poller  *poller
	conn    *conn
	reading bool        // the poller's: it is still read from
	stuck   atomic.Bool // the writer waits for room: whoever swaps it goes on
}

// newLink takes the socket of c.nc over. False: it is none that a poller could carry,
// and is as it was.
func (p *poller) newLink(c *conn) bool {
	taken, err := stream.Take(c.nc)
	if err != nil {
		return false
	}
	c.link = &link{Conn: taken, poller: p, conn: c, reading: true}
	c.nc, c.out = taken.NetConn(), &p.out
	return true
}

// start begins to read.
func (l *link) start() {
	if l.Attach(l.poller.loop, l) != nil { // the kernel is out of memory
		l.conn.finish(errEnded)
	}
}

// Ready is the loop's: the socket can go on.
func (l *link) Ready(events stream.Events) {
	c := l.conn
	if first := c.first; len(first) > 0 {
		c.first = nil
		if err := c.take(first, l.poller.now); err != nil {
			l.over(err)
		}
	}
	if events != stream.Readable {
		c.writeRest()
	}
	if !l.reading {
		return
	}
	b := l.poller.input[:]
	n, err := l.Receive(b)
	if n > 0 {
		if e := c.take(b[:n], l.poller.now); e != nil {
			err = e
		}
	}
	if err != nil {
		l.over(err)
	}
}

// over tells the socket that no more can be handled, and why.
func (l *link) over(err error) {
	if l.reading && !l.conn.over(err) {
		l.reading = false
		l.conn.finish(err)
	}
}
