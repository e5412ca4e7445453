package signaling

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
)

const (
	maxLoose  = 32       // unnumbered messages that wait for a writer
	maxBatch  = 32 << 10 // bytes joined into one write
	closeWait = time.Second
	ackEvery  = 32 // messages after which one is acknowledged at once
)

// conn is one native WebSocket. One goroutine reads; another writes, and exists
// only while there is something to write, so that an idle socket costs one
// small stack. gorilla does the upgrade and the reading; frames are written
// here, many in one system call, because their text is shared between sessions.
type conn struct {
	hub    *Hub
	ws     *websocket.Conn
	nc     net.Conn // nil in tests that carry the frames themselves
	wire   *wire    // the same
	remote netip.Addr
	seen   netip.Addr
	claims access.Claims
	heard  atomic.Int64 // when anything came last, Unix nanoseconds

	sess   *Session // set once by the reader, before anything below is used
	kicked []*conn  // the reader's: sockets that it will write to before it waits

	// Under sess.mu.
	next    uint64 // the next number to send
	loose   []body // goes before the numbered ones
	pong    bool   // an answer to a ping is due
	ackDue  bool
	wsPong  []byte // an answer to a WebSocket ping (RFC 6455 section 5.5.3)
	writing bool   // somebody writes, or is about to
	timed   bool   // the writer's: a write deadline is set
	code    CloseCode
	closed  bool // the Close frame is written
	read    bool // the reader is gone: the writer closes TCP
}

// kick sees to it that what waits is written. by is the socket whose reader is
// here, or nil: it writes once it has handled what came together with this. If
// there is none, or over TLS, a goroutine writes. sess.mu is held.
func (c *conn) kick(by *conn) {
	if c.writing || c.closed || c.nc == nil {
		return
	}
	c.writing = true
	if by != nil && c.wire.raw != nil {
		by.kicked = append(by.kicked, c)
		return
	}
	// The reader still counts in wait, so this is no Add beside a Wait at zero.
	c.hub.wait.Add(1)
	go c.write(nil, nil)
}

// flush writes to the sockets that the reader has kicked. What they do not take
// at once is left to goroutines of theirs: nobody waits for another.
func (c *conn) flush() {
	for i, to := range c.kicked {
		to.writeNow()
		c.kicked[i] = nil
	}
	if c.kicked = c.kicked[:0]; cap(c.kicked) > 32 {
		c.kicked = nil
	}
}

// shutLocked ends the socket with a code: what waits is not sent any more,
// except before a restart. sess.mu is held.
func (c *conn) shutLocked(code CloseCode) {
	if c.code != 0 {
		return
	}
	c.code = code
	c.hub.stats.closed(code)
	if c.nc != nil {
		// Whoever is stuck in a read or a write gets free, late enough for the
		// Close to be read on the other side.
		deadline := time.Now().Add(closeWait)
		_ = c.nc.SetReadDeadline(deadline)
		_ = c.nc.SetWriteDeadline(deadline)
	}
	c.kick(nil)
}

var batches = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// write sends until nothing is left: first rest, a part of the batch p, which
// may both be nil.
func (c *conn) write(p *[]byte, rest []byte) {
	defer c.hub.wait.Done()
	if p == nil {
		p = batches.Get().(*[]byte)
	}
	for {
		wait := c.hub.timing.Write
		if len(rest) == 0 {
			var closing bool
			if rest, closing = c.batch(p); len(rest) == 0 {
				break
			}
			if closing {
				wait = closeWait
			}
		}
		c.timed = true
		_ = c.nc.SetWriteDeadline(time.Now().Add(wait))
		if _, err := c.nc.Write(rest); err != nil {
			c.dead()
			break
		}
		rest = nil
	}
	putBatch(p)
}

// writeNow is write for whoever must not wait.
func (c *conn) writeNow() {
	p := batches.Get().(*[]byte)
	for range 2 {
		buf, _ := c.batch(p)
		if len(buf) == 0 {
			putBatch(p)
			return
		}
		n, err := c.wire.try(buf)
		if err != nil {
			c.dead()
			putBatch(p)
			return
		}
		if n < len(buf) {
			c.hub.wait.Add(1)
			go c.write(p, buf[n:])
			return
		}
	}
	c.hub.wait.Add(1)
	go c.write(p, nil) // others keep sending to it
}

// batch takes what is due into p. If there is nothing, the writer's time is
// over.
func (c *conn) batch(p *[]byte) (buf []byte, closing bool) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	buf = c.fill((*p)[:0])
	*p = buf
	if len(buf) == 0 {
		c.writing = false
		if c.timed && c.code == 0 {
			// writeNow would find it passed, some day.
			c.timed = false
			_ = c.nc.SetWriteDeadline(time.Time{})
		}
		if c.read {
			_ = c.nc.Close()
		}
	}
	c.hub.stats.bytesOut.Add(uint64(len(buf)))
	return buf, c.code != 0
}

// dead gives a socket up that cannot be written to. The reader sees it.
func (c *conn) dead() {
	s := c.sess
	s.mu.Lock()
	c.closed, c.writing = true, false
	s.mu.Unlock()
	_ = c.nc.Close()
}

func putBatch(p *[]byte) {
	if cap(*p) <= 2*maxBatch {
		batches.Put(p)
	}
}

// fill appends the frames that are due, about maxBatch bytes of them. sess.mu
// is held.
func (c *conn) fill(buf []byte) []byte {
	if c.closed {
		return buf
	}
	s := c.sess
	for _, b := range c.loose {
		buf = appendText(buf, b, []byte{'}'})
		c.hub.stats.out.Add(1)
	}
	c.loose = nil
	if c.wsPong != nil {
		buf = appendFrame(buf, websocket.PongMessage, len(c.wsPong))
		buf = append(buf, c.wsPong...)
		c.wsPong = nil
	}
	mine := s.conn == c && (c.code == 0 || c.code.flushes())
	if mine {
		var tail [64]byte
		c.next = max(c.next, s.out.base+1)
		for last := s.out.last(); c.next <= last && len(buf) < maxBatch; c.next++ {
			suffix := append(tail[:0], `,"seq":`...)
			suffix = strconv.AppendUint(suffix, c.next, 10)
			suffix = append(c.appendAck(suffix), '}')
			buf = appendText(buf, s.out.get(c.next), suffix)
			c.hub.stats.out.Add(1)
		}
		if c.pong || c.ackDue && s.told != s.handled {
			b := body(`{"type":"ack"`)
			if c.pong {
				b = body(`{"type":"pong"`)
				s.told = 0 // a pong always carries ack
				if s.handled == 0 {
					b = append(b, `,"ack":0`...)
				}
			}
			buf = appendText(buf, c.appendAck(b), []byte{'}'})
		}
		c.pong, c.ackDue = false, false
	}
	if c.code != 0 && (!mine || c.next > s.out.last()) {
		c.closed = true
		reason := c.code.String()
		buf = appendFrame(buf, websocket.CloseMessage, 2+len(reason))
		buf = binary.BigEndian.AppendUint16(buf, uint16(c.code))
		buf = append(buf, reason...)
	}
	return buf
}

// appendAck adds the ack member if there is something to acknowledge.
func (c *conn) appendAck(b []byte) []byte {
	s := c.sess
	if s.told == s.handled {
		return b
	}
	s.told = s.handled
	return strconv.AppendUint(append(b, `,"ack":`...), s.handled, 10)
}

// appendText appends one text frame (RFC 6455 section 5.2).
func appendText(buf []byte, b body, suffix []byte) []byte {
	buf = appendFrame(buf, websocket.TextMessage, len(b)+len(suffix))
	buf = append(buf, b...)
	return append(buf, suffix...)
}

// appendFrame appends the header of a final, unmasked frame.
func appendFrame(buf []byte, opcode, length int) []byte {
	const final = 0x80
	buf = append(buf, final|byte(opcode))
	switch {
	case length < 126:
		return append(buf, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(buf, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(buf, 127), uint64(length))
}

// refuse ends a socket that has no session yet: nobody else writes to it.
func (c *conn) refuse(code CloseCode, f *fault) {
	c.hub.stats.closed(code)
	if c.nc == nil {
		c.code = code
		return
	}
	var buf []byte
	if f != nil {
		c.hub.stats.fault(f.code)
		buf = appendText(buf, f.body(nil), []byte{'}'})
	}
	reason := code.String()
	buf = appendFrame(buf, websocket.CloseMessage, 2+len(reason))
	buf = binary.BigEndian.AppendUint16(buf, uint16(code))
	buf = append(buf, reason...)
	deadline := time.Now().Add(closeWait)
	_ = c.nc.SetDeadline(deadline)
	if _, err := c.nc.Write(buf); err != nil {
		return
	}
	// The Close arrives only if TCP is not reset by what we have not read.
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return
		}
	}
}

var messages = sync.Pool{New: func() any { b := make([]byte, 2048); return &b }}

var errTooBig = errors.New("message too big")

// serve reads until the socket ends.
func (c *conn) serve() {
	defer c.hub.gone(c)
	c.ws.SetPingHandler(c.onPing)
	c.ws.SetPongHandler(func(string) error { c.heard.Store(c.hub.now().UnixNano()); return nil })
	c.ws.SetCloseHandler(func(int, string) error { return nil }) // answered below
	_ = c.nc.SetReadDeadline(time.Now().Add(c.hub.timing.Hello))
	var err error
	for err == nil {
		err = c.receive()
	}
	c.flush()
	if c.sess == nil {
		var ne net.Error
		switch {
		case errors.Is(err, errTooBig):
			c.refuse(CloseTooBig, nil)
		case errors.As(err, &ne) && ne.Timeout():
			c.refuse(CloseBadHello, nil)
		}
		_ = c.nc.Close()
		return
	}
	s := c.sess
	s.mu.Lock()
	if errors.Is(err, errTooBig) {
		c.shutLocked(CloseTooBig)
	} else if c.code == 0 && closedByClient(err) != 0 {
		c.code = closeNormal
		c.kick(nil)
	}
	s.mu.Unlock()
	if errors.Is(err, errTooBig) {
		c.drain()
	}
	s.lost(c, closedByClient(err) == websocket.CloseGoingAway)
	s.mu.Lock()
	c.read = true
	end := !c.writing
	s.mu.Unlock()
	if end {
		_ = c.nc.Close()
	}
}

// closedByClient returns the code of the client's Close, or 0. gorilla makes a
// 1006 of a connection that ends without.
func closedByClient(err error) int {
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		return ce.Code
	}
	return 0
}

// drain reads on until the Close is answered, so that TCP is not reset before
// the other side has read it. The read deadline is set.
func (c *conn) drain() {
	c.flush()
	var skip [512]byte
	for {
		if _, err := c.nc.Read(skip[:]); err != nil {
			return
		}
	}
}

func (c *conn) onPing(payload string) error {
	c.heard.Store(c.hub.now().UnixNano())
	s := c.sess
	if s == nil {
		return c.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(closeWait))
	}
	s.mu.Lock()
	c.wsPong = []byte(payload)
	c.kick(c)
	s.mu.Unlock()
	return nil
}

// receive reads and handles one message. An error is the socket's end.
func (c *conn) receive() error {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return err
	}
	p := messages.Get().(*[]byte)
	buf := *p
	n, err := readMessage(r, &buf, c.hub.limits().MessageSize)
	if err == nil {
		now := c.hub.now()
		c.heard.Store(now.UnixNano())
		c.hub.stats.bytesIn.Add(uint64(n))
		c.handle(buf[:n], kind == websocket.TextMessage, now)
	}
	if cap(buf) <= 64<<10 {
		*p = buf
		messages.Put(p)
	}
	if err == nil && c.sess == nil {
		return errRefused
	}
	return err
}

var errRefused = errors.New("refused")

// readMessage reads a whole message into buf, which grows as needed.
func readMessage(r io.Reader, buf *[]byte, limit int) (int, error) {
	n := 0
	for {
		if n == len(*buf) {
			if n > limit {
				return n, errTooBig
			}
			grown := make([]byte, min(4*n, limit+1))
			copy(grown, *buf)
			*buf = grown
		}
		k, err := r.Read((*buf)[n:])
		n += k
		switch {
		case n > limit:
			return n, errTooBig
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// handle takes one message: the first must be hello.
func (c *conn) handle(b []byte, isText bool, now time.Time) {
	c.hub.stats.in.Add(1)
	if c.sess == nil {
		c.hello(b, isText, now)
		return
	}
	c.sess.receive(c, b, isText, now)
}
