package delivery

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// conn is one native WebSocket. Its text is shared between sessions, so it keeps no
// queue: its frames are made when they can leave, many in one system call.
type conn struct {
	node    *Node
	line    *wsock.Line // nil in tests that carry the frames themselves
	remote  netip.Addr
	seen    netip.Addr
	claims  access.Claims
	expires time.Time    // when the token of claims does, by the hub's clock; zero: never
	request string       // the upgrade's id in the log
	heard   atomic.Int64 // when anything came last, Unix nanoseconds

	sess *session // set once by the reader, before anything below is used
	done bool     // the reader's: messages are not handled any more
	port uint16   // by which it came, see Config.Port

	// Under sess.mu.
	next   uint64        // the next number to send
	loose  []wire.Object // goes before the numbered ones
	pong   bool          // an answer to a ping is due
	ackDue bool
	wsPong []byte // an answer to a WebSocket ping (RFC 6455 section 5.5.3)
	code   wire.CloseCode
	closed bool // the Close frame is written
}

// kick sees to it that what waits is written. by is the socket whose reader is here, or
// nil. sess.mu is held.
func (c *conn) kick(by *conn) {
	switch {
	case c.closed || c.line == nil:
	case by == nil:
		c.line.Kick(nil)
	default:
		c.line.Kick(by.line)
	}
}

// shutLocked ends the socket with a code: what waits is not sent any more,
// except before a restart. sess.mu is held.
func (c *conn) shutLocked(code wire.CloseCode) {
	if c.code != 0 {
		return
	}
	c.code = code
	c.node.stats.closed.Add(code.String())
	if c.line != nil {
		// Whoever is stuck in a read or a write gets free, late enough for the
		// Close to be read on the other side.
		deadline := within(c.node.timing.Close)
		c.line.SetReadDeadline(deadline)
		c.line.SetWriteDeadline(deadline)
	}
	c.kick(nil)
}

// Due implements wsock.User.
func (c *conn) Due(buf []byte) (frames []byte, within time.Duration) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	frames = c.fill(buf)
	c.node.stats.bytesOut.Add(uint64(len(frames)))
	if c.code != 0 {
		return frames, c.node.timing.Close
	}
	return frames, c.node.timing.Write
}

// Gone implements wsock.User.
func (c *conn) Gone() { c.node.gone(c) }

// fill appends the frames that are due, about wsock.MaxBatch bytes of them. sess.mu
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
		for last := min(s.out.last(), s.mayWrite); c.next <= last && len(buf) < wsock.MaxBatch; c.next++ {
			suffix := append(tail[:0], `,"seq":`...)
			suffix = strconv.AppendUint(suffix, c.next, 10)
			suffix = append(c.appendAck(suffix), '}')
			buf = appendText(buf, s.out.get(c.next), suffix)
			c.node.stats.out.Add(1)
		}
		if c.pong || c.ackDue {
			settled := s.settled()
			if c.pong || s.told != settled {
				b := wire.Object(`{"type":"ack"`)
				if c.pong {
					b = wire.Object(`{"type":"pong"`)
					s.told = 0 // a pong always carries ack
					if settled == 0 {
						b = append(b, `,"ack":0`...)
					}
				}
				buf = appendText(buf, c.appendAck(b), []byte{'}'})
			}
		}
		c.pong, c.ackDue = false, false
	}
	// What waits for an image when the session ends never happens.
	if c.code != 0 && (!mine || c.next > s.out.last() || s.ended && c.next > s.mayWrite) {
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
	settled := s.settled()
	if s.told == settled {
		return b
	}
	s.told = settled
	return strconv.AppendUint(append(b, `,"ack":`...), s.told, 10)
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
	if c.line != nil {
		c.line.SetReadDeadline(within(-time.Second))
	}
}

// refuse ends a socket that has no session yet: nobody else writes to it. What
// still comes is read until the client has ended too, so that TCP is not reset
// before it has read the code.
func (c *conn) refuse(code wire.CloseCode, f *wire.Fault) {
	c.node.stats.closed.Add(code.String())
	if c.line == nil {
		c.code = code
		return
	}
	var buf []byte
	if f != nil {
		c.node.stats.faults.Add(string(f.Code))
		buf = appendText(buf, f.Message(nil), []byte{'}'})
	}
	c.done = true
	c.line.SetReadDeadline(within(c.node.timing.Close))
	c.line.Direct(appendClose(buf, code), c.node.timing.Close)
}

// Came implements wsock.User.
func (c *conn) Came(now time.Time) (limit int) {
	c.heard.Store(now.UnixNano())
	return c.node.limits().MessageSize
}

// Frame implements wsock.User.
func (c *conn) Frame(opcode byte, payload []byte, now time.Time) {
	switch {
	case c.done:
	case opcode == wsock.OpPing:
		c.pinged(payload)
	case opcode != wsock.OpPong:
		c.node.stats.bytesIn.Add(uint64(len(payload)))
		c.handle(payload, opcode == wsock.OpText, now)
	}
}

// Resumed implements wsock.User. The hub holds nobody up: it refuses.
func (c *conn) Resumed(time.Time) {}

// pinged answers a WebSocket ping (RFC 6455 section 5.5.3).
func (c *conn) pinged(payload []byte) {
	s := c.sess
	if s == nil {
		c.line.Direct(append(wsock.AppendHeader(nil, wsock.OpPong, len(payload)), payload...), c.node.timing.Close)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.wsPong = append(make([]byte, 0, len(payload)), payload...)
	c.kick(c)
}

// Over implements wsock.User.
func (c *conn) Over(err error) (readOn bool) {
	var code wire.CloseCode
	switch {
	case errors.Is(err, wsock.ErrTooBig):
		code = wire.CloseTooBig
	case errors.Is(err, wsock.ErrProtocol):
		code = wire.CloseProtocol
	case errors.Is(err, wsock.ErrFlood):
		code = wire.CloseFlood
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
	case code == wire.CloseFlood: // as for messages
		c.done = true
		c.node.stats.dropped.Add("flood")
		c.node.enter()
		c.sess.end("lost", code)
		c.node.leave()
	default:
		c.done = true
		c.sess.mu.Lock()
		c.shutLocked(code)
		c.sess.mu.Unlock()
	}
	return true
}

// Ended implements wsock.User.
func (c *conn) Ended(err error) (drain bool) {
	s := c.sess
	if s == nil {
		return false
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
	return !errors.Is(err, os.ErrDeadlineExceeded) // a writer that is stuck is the reason
}

// handle takes one message: the first must be hello.
func (c *conn) handle(b []byte, isText bool, now time.Time) {
	c.node.stats.in.Add(1)
	if s := c.sess; s != nil && !s.mirrored { // a deferred call has its price for each message
		s.receive(c, b, isText, now)
		return
	}
	c.node.enter()
	defer c.node.leave()
	if c.sess == nil {
		c.hello(b, isText, now)
		return
	}
	c.sess.receive(c, b, isText, now)
}
