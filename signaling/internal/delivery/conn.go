package delivery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// conn is one native WebSocket. gorilla does the upgrade; frames are read and
// written here, because their text is shared between sessions and many leave in
// one system call. A poller reads and writes the socket, over TCP and over TLS. One
// that no poller carries, as on other systems, has a goroutine that reads, and another
// that writes while there is something to write.
type conn struct {
	node    *Node
	nc      net.Conn // nil in tests that carry the frames themselves
	link    *link    // nil: no poller carries it
	out     *flusher // of whoever reads
	remote  netip.Addr
	seen    netip.Addr
	claims  access.Claims
	expires time.Time    // when the token of claims does, by the hub's clock; zero: never
	request string       // the upgrade's id in the log
	heard   atomic.Int64 // when anything came last, Unix nanoseconds

	sess  *session     // set once by the reader, before anything below is used
	in    wsock.Reader // the reader's
	first []byte       // the reader's: what has come with the upgrade request
	done  bool         // the reader's: messages are not handled any more
	lame  bool         // the reader's: nor are frames taken apart

	// Under sess.mu.
	next    uint64        // the next number to send
	loose   []wire.Object // goes before the numbered ones
	pong    bool          // an answer to a ping is due
	ackDue  bool
	wsPong  []byte // an answer to a WebSocket ping (RFC 6455 section 5.5.3)
	writing bool   // somebody writes, or is about to
	code    wire.CloseCode
	closed  bool // the Close frame is written
	read    bool // the reader is gone: the writer closes TCP
}

// flusher holds the sockets that a goroutine which reads has caused to be
// written to. It writes once it has handled what came together.
type flusher struct{ kicked []*conn }

// flush writes. What a socket does not take at once waits for its poller: nobody
// waits for another.
func (f *flusher) flush() {
	for i, c := range f.kicked {
		f.kicked[i] = nil
		c.writeNow()
	}
	if f.kicked = f.kicked[:0]; cap(f.kicked) > 1024 {
		f.kicked = nil
	}
}

// kick sees to it that what waits is written. by is the socket whose reader is
// here, or nil. If there is none, or no poller carries c, a goroutine writes. sess.mu is
// held.
func (c *conn) kick(by *conn) {
	if c.writing || c.closed || c.nc == nil {
		return
	}
	c.writing = true
	if by != nil && c.link != nil {
		by.out.kicked = append(by.out.kicked, c)
		return
	}
	// The reader still counts in wait, so this is no Add beside a Wait at zero.
	c.node.wait.Add(1)
	go func() {
		defer c.node.wait.Done()
		if c.link != nil {
			c.writeNow()
		} else {
			c.write()
		}
	}()
}

// shutLocked ends the socket with a code: what waits is not sent any more,
// except before a restart. sess.mu is held.
func (c *conn) shutLocked(code wire.CloseCode) {
	if c.code != 0 {
		return
	}
	c.code = code
	c.node.stats.closed.Add(code.String())
	if c.nc != nil {
		// Whoever is stuck in a read or a write gets free, late enough for the
		// Close to be read on the other side.
		deadline := within(c.node.timing.Close)
		_ = c.nc.SetReadDeadline(deadline)
		if c.link != nil {
			c.link.SetWriteDeadline(deadline)
		} else {
			_ = c.nc.SetWriteDeadline(deadline)
		}
	}
	c.kick(nil)
}

var batches = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// write sends until nothing is left.
func (c *conn) write() {
	p := batches.Get().(*[]byte)
	defer putBatch(p)
	for {
		buf, closing := c.batch(p)
		if len(buf) == 0 {
			return
		}
		_ = c.nc.SetWriteDeadline(within(c.writeWait(closing)))
		if _, err := c.nc.Write(buf); err != nil {
			c.dead()
			return
		}
	}
}

// writeNow is write for whoever must not wait: what the socket does not take, or
// what still comes after some rounds, is left to its poller.
func (c *conn) writeNow() {
	p := batches.Get().(*[]byte)
	defer putBatch(p)
	for n := 1; ; n++ {
		buf, closing := c.batch(p)
		if len(buf) == 0 {
			return
		}
		if c.link.Send(buf) != nil {
			c.dead()
			return
		}
		if n%maxRounds != 0 && c.link.Waiting() == 0 {
			continue
		}
		c.link.SetWriteDeadline(within(c.writeWait(closing)))
		c.link.stuck.Store(true)
		c.link.Await(true)
		return
	}
}

// writeRest sends what the socket did not take, and goes on where writeNow has stopped.
func (c *conn) writeRest() {
	before := c.link.Waiting()
	left, err := c.link.Flush()
	switch {
	case err != nil && c.sess == nil: // nobody writes to it but who reads
		c.link.Abort()
		return
	case err != nil:
		c.dead()
		return
	case left > 0:
		if left < before {
			c.link.SetWriteDeadline(within(c.node.timing.Write))
		}
		return
	}
	c.link.Await(false)
	if c.link.stuck.Swap(false) {
		c.link.SetWriteDeadline(time.Time{})
		c.writeNow()
	}
}

func (c *conn) writeWait(closing bool) time.Duration {
	if closing {
		return c.node.timing.Close
	}
	return c.node.timing.Write
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
		if c.read {
			c.release()
		}
	}
	c.node.stats.bytesOut.Add(uint64(len(buf)))
	return buf, c.code != 0
}

// dead gives a socket up that cannot be written to. The reader sees it.
func (c *conn) dead() {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	c.closed, c.writing = true, false
	switch {
	case c.read:
		c.release()
	case c.link != nil:
		c.link.Abort()
	default:
		_ = c.nc.Close()
	}
}

// release closes a socket that nobody reads or writes any more.
func (c *conn) release() {
	if c.link == nil {
		_ = c.nc.Close()
	} else if c.link.Close() {
		c.node.gone(c)
	}
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
		c.node.stats.out.Add(1)
	}
	c.loose = nil
	if c.wsPong != nil {
		buf = wsock.AppendHeader(buf, wsock.OpPong, len(c.wsPong))
		buf = append(buf, c.wsPong...)
		c.wsPong = nil
	}
	mine := s.conn == c && (c.code == 0 || c.code.Flushes())
	if mine {
		var tail [64]byte
		c.next = max(c.next, s.out.base+1)
		for last := s.out.last(); c.next <= last && len(buf) < maxBatch; c.next++ {
			suffix := append(tail[:0], `,"seq":`...)
			suffix = strconv.AppendUint(suffix, c.next, 10)
			suffix = append(c.appendAck(suffix), '}')
			buf = appendText(buf, s.out.get(c.next), suffix)
			c.node.stats.out.Add(1)
		}
		if c.pong || c.ackDue && s.told != s.handled {
			b := wire.Object(`{"type":"ack"`)
			if c.pong {
				b = wire.Object(`{"type":"pong"`)
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
		buf = appendClose(buf, c.code)
	}
	return buf
}

// appendClose appends a Close (RFC 6455 section 5.5.1).
func appendClose(buf []byte, code wire.CloseCode) []byte {
	reason := code.String()
	buf = wsock.AppendHeader(buf, wsock.OpClose, 2+len(reason))
	buf = binary.BigEndian.AppendUint16(buf, uint16(code))
	return append(buf, reason...)
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
func appendText(buf []byte, b wire.Object, suffix []byte) []byte {
	buf = wsock.AppendHeader(buf, wsock.OpText, len(b)+len(suffix))
	buf = append(buf, b...)
	return append(buf, suffix...)
}

// turnBack has the reader of a socket without a session refuse it: with wire.CloseRestart
// since the server is going down, or with wire.CloseRevoked. Node.gate is held, or else the
// reader might just be opening a session.
func (c *conn) turnBack() {
	if c.nc != nil {
		_ = c.nc.SetReadDeadline(c.node.now().Add(-time.Second))
	}
}

// refuse ends a socket that has no session yet: nobody else writes to it. What
// still comes is read until the client has ended too, so that TCP is not reset
// before it has read the code.
func (c *conn) refuse(code wire.CloseCode, f *wire.Fault) {
	c.node.stats.closed.Add(code.String())
	if c.nc == nil {
		c.code = code
		return
	}
	var buf []byte
	if f != nil {
		c.node.stats.faults.Add(string(f.Code))
		buf = appendText(buf, f.Message(nil), []byte{'}'})
	}
	c.done = true
	_ = c.nc.SetReadDeadline(within(c.node.timing.Close))
	c.direct(appendClose(buf, code))
}

// direct writes what goes to a socket without a session.
func (c *conn) direct(frames []byte) {
	if c.link != nil {
		if c.link.Waiting() == 0 { // a client that fills its buffer has not spoken as it should
			_ = c.link.Send(frames)
		}
		return
	}
	_ = c.nc.SetWriteDeadline(within(c.node.timing.Close))
	_, _ = c.nc.Write(frames)
}

// serve reads a socket that no poller carries, until it ends.
func (c *conn) serve() {
	var buf [1024]byte
	for {
		var n int
		var err error
		if n = copy(buf[:], c.first); n > 0 {
			c.first = c.first[n:]
		} else {
			n, err = c.nc.Read(buf[:])
		}
		if n > 0 {
			if e := c.take(buf[:n], c.node.now()); e != nil {
				err = e
			}
			c.out.flush()
		}
		if err != nil && !c.over(err) {
			c.finish(err)
			c.out.flush()
			c.node.gone(c)
			return
		}
	}
}

// errEnded is the end of a connection without a Close.
var errEnded = fmt.Errorf("the connection has ended: %w", io.EOF)

// take handles the bytes that have come. An error is the socket's end.
func (c *conn) take(b []byte, now time.Time) error {
	if c.lame {
		return nil
	}
	limit := c.node.limits().MessageSize
	c.heard.Store(now.UnixNano())
	c.in.Add(b)
	for n := 1; ; n++ {
		if n%maxTogether == 0 {
			c.out.flush()
		}
		opcode, payload, err := c.in.Next(limit)
		switch {
		case err != nil:
			return err
		case opcode == 0:
			return nil
		case c.done:
		case opcode == wsock.OpPing:
			c.pinged(payload)
		case opcode != wsock.OpPong:
			c.node.stats.bytesIn.Add(uint64(len(payload)))
			c.handle(payload, opcode == wsock.OpText, now)
		}
	}
}

// pinged answers a WebSocket ping (RFC 6455 section 5.5.3).
func (c *conn) pinged(payload []byte) {
	s := c.sess
	if s == nil {
		c.direct(append(wsock.AppendHeader(nil, wsock.OpPong, len(payload)), payload...))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.wsPong = append(make([]byte, 0, len(payload)), payload...)
	c.kick(c)
}

// over is told that no more can be handled. It reports whether the socket is to
// be read all the same, because the client is being told why.
func (c *conn) over(err error) bool {
	var code wire.CloseCode
	switch {
	case errors.Is(err, wsock.ErrTooBig):
		code, c.lame = wire.CloseTooBig, true
	case errors.Is(err, wsock.ErrProtocol):
		code, c.lame = wire.CloseProtocol, true
	case c.sess == nil && !c.done && errors.Is(err, os.ErrDeadlineExceeded):
		switch code = wire.CloseBadHello; {
		case c.claims.Revoked():
			code = wire.CloseRevoked
		case c.node.draining.Load():
			code = wire.CloseRestart
		}
	default:
		return false
	}
	switch {
	case c.done: // told already
	case c.sess == nil:
		c.refuse(code, nil)
	default:
		c.done = true
		c.sess.mu.Lock()
		c.shutLocked(code)
		c.sess.mu.Unlock()
	}
	return true
}

// finish ends the reading.
func (c *conn) finish(err error) {
	s := c.sess
	if s == nil {
		c.release()
		return
	}
	var closed *wsock.CloseError
	byClient := errors.As(err, &closed)
	s.mu.Lock()
	if c.code == 0 && byClient {
		c.code = wire.CloseNormal
		c.kick(c)
	}
	s.mu.Unlock()
	s.lost(c, byClient && closed.Code == wsock.CodeGoingAway)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.read = true
	switch {
	case !c.writing, errors.Is(err, os.ErrDeadlineExceeded): // a writer that is stuck is the reason
		c.closed, c.writing = true, false
		c.release()
	case c.link != nil:
		c.link.Deafen()
	}
}

// handle takes one message: the first must be hello.
func (c *conn) handle(b []byte, isText bool, now time.Time) {
	c.node.stats.in.Add(1)
	if c.sess == nil {
		c.hello(b, isText, now)
		return
	}
	c.sess.receive(c, b, isText, now)
}
