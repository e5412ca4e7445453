// Package wsock is one server-side WebSocket as every dialect needs it: reads
// are checked and limited, writes go through a bounded queue and never block
// the one who sends, and a peer that is gone is noticed.
//
// The upgrade is gorilla's. Reader and AppendHeader are the one reader and the one
// encoder of frames, the hub's too. Everything that leaves a Conn, control frames too,
// passes one queue, so that a message to many is encoded once and a backlog leaves in
// few system calls. The goroutine that writes exists only while there is something to write; an idle socket
// costs the one goroutine that reads.
package wsock

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Kinds of message, as Serve hands them out (RFC 6455 section 11.8).
const (
	KindText   = websocket.TextMessage
	KindBinary = websocket.BinaryMessage
)

// Close codes of RFC 6455 section 7.4.1.
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeProtocol    = 1002
	CodeUnsupported = 1003
	CodeInvalidText = 1007
	CodePolicy      = 1008
	CodeRestart     = 1012
	codeNone        = 1005 // stands for a Close without a code
)

// Defaults of Options.
const (
	DefaultPing         = 15 * time.Second
	DefaultSilence      = 25 * time.Second
	DefaultWriteTimeout = 10 * time.Second
)

// closeWait is how long the peer has to answer a Close before TCP is closed.
const closeWait = 2 * time.Second

// failWait is the same after a message that breaks RFC 6455 or is too big: an answer is
// not awaited (section 7.1.7), only that the Close is read before TCP is reset.
const failWait = 500 * time.Millisecond

// maxBatch is how many bytes of small frames are joined into one write.
const maxBatch = 32 << 10

// CloseError ends a socket with a code and a reason; Serve's handler returns it.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("close %d: %s", e.Code, e.Reason)
}

// PeerClosed is how Serve ends when the other side has closed; Code is 1005 where it
// gave none (RFC 6455 section 7.1.5).
type PeerClosed struct{ Code int }

func (e *PeerClosed) Error() string { return fmt.Sprintf("closed by the other side with %d", e.Code) }

// Options are the limits of one socket. A zero duration takes its default.
type Options struct {
	// MessageSize is the largest message that is accepted, in bytes.
	MessageSize int
	// TooBig and Slow are the codes for a larger message and for a peer that
	// does not read what it is sent.
	TooBig, Slow int
	// QueueBytes is how much may wait for a slow peer.
	QueueBytes int
	// Ping is the time between two pings of the server; negative: none are sent
	// and silence is not watched, because the protocol above does both.
	Ping time.Duration
	// Silence is how long nothing at all may come before the peer counts as gone.
	Silence time.Duration
	// WriteTimeout is the longest that one write may take.
	WriteTimeout time.Duration
	// Meter, where set, is called for every frame that arrives, before it is
	// handled. It may block, which slows the sender down and nobody else; a
	// *CloseError from it ends the socket.
	Meter func(bytes int) error
}

// Conn is one WebSocket. Its methods are safe for concurrent use, except
// Serve, which is called once.
type Conn struct {
	net net.Conn
	opt Options

	in   Reader // of Serve
	lame bool   // of Serve: no frames are taken apart any more

	mu      sync.Mutex
	queue   []Frame
	queued  int  // bytes in queue and in the batch that is being written
	writing bool // the writer runs
	pong    bool // a pong is in the queue
	ending  bool // a Close is in the queue or sent: nothing follows it
	half    bool // after the Close our side of TCP is closed: the other's answer would not be understood
	dead    bool // TCP is closed
	waiters []chan struct{}
	pinger  *time.Timer
	writer  sync.WaitGroup
}

// Upgrade answers the handshake of RFC 6455 section 4.2. Who may connect has
// been checked before: every origin is taken here. A client that asks for
// subprotocols gets the first one it named, because a browser gives up when it
// gets none. The error has been answered to the client.
func Upgrade(w http.ResponseWriter, r *http.Request, opt Options) (*Conn, error) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: DefaultWriteTimeout,
		CheckOrigin:      func(*http.Request) bool { return true },
		Subprotocols:     websocket.Subprotocols(r),
	}
	ws, err := Handshake(&upgrader, w, r)
	if err != nil {
		return nil, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	if opt.Ping == 0 {
		opt.Ping = DefaultPing
	}
	if opt.Silence == 0 {
		opt.Silence = DefaultSilence
	}
	if opt.WriteTimeout == 0 {
		opt.WriteTimeout = DefaultWriteTimeout
	}
	c := &Conn{net: ws.NetConn(), opt: opt}
	if opt.Ping > 0 {
		c.touch()
		c.mu.Lock()
		c.pinger = time.AfterFunc(opt.Ping, c.ping)
		c.mu.Unlock()
	} else {
		_ = c.net.SetReadDeadline(time.Time{})
	}
	return c, nil
}

// Serve reads until the socket ends and hands every message to handle, in
// order. An error of handle closes the socket: with its code when it is a
// *CloseError. When Serve returns, the socket is closed and nothing of it runs
// any more; the error says how it ended and is never nil.
func (c *Conn) Serve(handle func(kind int, payload []byte) error) error {
	var cause error
	var buf [4096]byte
	for {
		kind, payload, err := c.read(buf[:])
		if err == nil && !c.isEnding() {
			err = handle(kind, payload)
		}
		if err == nil {
			continue
		}
		if cause == nil {
			cause = err
		}
		var closing *CloseError
		if !errors.As(err, &closing) {
			c.finish(err)
			break
		}
		// Reading goes on until the peer has answered the Close: closing TCP
		// with unread bytes would reset it and lose the Close.
		c.Close(closing.Code, closing.Reason)
	}
	c.end()
	c.writer.Wait()
	return cause
}

// finish lets the answer to the peer's own Close leave before TCP is closed.
func (c *Conn) finish(cause error) {
	var closed *PeerClosed
	if errors.As(cause, &closed) && c.isEnding() {
		_ = c.net.SetWriteDeadline(time.Now().Add(closeWait))
		c.writer.Wait()
	}
}

// read returns the next whole message, which is the caller's. Control frames on the
// way are answered.
func (c *Conn) read(buf []byte) (int, []byte, error) {
	for {
		var opcode byte
		var payload []byte
		var err error
		if !c.lame {
			opcode, payload, err = c.in.Next(c.opt.MessageSize)
		}
		switch {
		case err != nil:
			return 0, nil, c.broken(err)
		case opcode == OpPing:
			c.onPing(payload)
		case opcode == OpPong:
			c.heard()
			c.meterControl(0)
		case opcode != 0:
			c.heard()
			if err := c.meter(len(payload)); err != nil {
				return 0, nil, err
			}
			if opcode == OpText && !utf8.Valid(payload) {
				return 0, nil, &CloseError{CodeInvalidText, "text message is not UTF-8"}
			}
			return int(opcode), append([]byte(nil), payload...), nil
		default:
			n, err := c.net.Read(buf)
			switch {
			case n == 0 && err != nil:
				return 0, nil, err
			case !c.lame:
				c.in.Add(buf[:n])
			}
		}
	}
}

// broken takes an error of Reader. After one of ours nothing more can be taken apart:
// what still comes is read for TCP's sake alone, until the deadline of the Close.
func (c *Conn) broken(err error) error {
	var closed *CloseError
	switch {
	case errors.As(err, &closed):
		code := closed.Code
		if code == codeNone {
			code = CodeNormal
		}
		c.Close(code, "")
		return &PeerClosed{closed.Code}
	case errors.Is(err, ErrTooBig):
		c.deafen()
		if err := c.meter(c.opt.MessageSize + 1); err != nil {
			return err
		}
		return &CloseError{c.opt.TooBig, fmt.Sprintf("message larger than %d bytes", c.opt.MessageSize)}
	}
	c.deafen()
	return &CloseError{CodeProtocol, err.Error()}
}

// deafen ends the taking apart of frames.
func (c *Conn) deafen() {
	c.lame = true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.half = true
}

// closeWrite closes our side of TCP, with TLS's close_notify before it.
func closeWrite(conn net.Conn) {
	for {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		conn = wrapped.NetConn()
	}
}

func (c *Conn) meter(bytes int) error {
	if c.opt.Meter == nil || c.isEnding() {
		return nil
	}
	return c.opt.Meter(bytes)
}

// meterControl meters a control frame. The Close is sent from here, and reading goes
// on.
func (c *Conn) meterControl(bytes int) {
	var closing *CloseError
	if errors.As(c.meter(bytes), &closing) {
		c.Close(closing.Code, closing.Reason)
	}
}

// Send queues a message and says whether it was taken. It never blocks. A peer
// whose queue is full is closed with the code for slow peers.
func (c *Conn) Send(f Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.dead {
		return false
	}
	if c.queued+f.Size() > c.opt.QueueBytes {
		c.abandonLocked(c.opt.Slow, fmt.Sprintf("more than %d bytes were not read", c.opt.QueueBytes))
		return false
	}
	c.pushLocked(f)
	return true
}

// Close sends what is queued, then a Close with the code and reason, and ends
// the socket when the peer has answered, or after 2 s. Further calls do nothing.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.dead {
		return
	}
	c.pushLocked(closeFrame(code, reason))
	c.ending = true
	_ = c.net.SetReadDeadline(time.Now().Add(c.opt.WriteTimeout))
}

// Alive says whether the peer is still there: it is pinged, and whatever arrives
// within the timeout proves it. A program that is busy with other things, so
// that only its TCP answers, is there too.
func (c *Conn) Alive(timeout time.Duration) bool {
	heard := make(chan struct{})
	c.mu.Lock()
	if c.ending || c.dead {
		c.mu.Unlock()
		return false
	}
	c.waiters = append(c.waiters, heard)
	c.pushLocked(newFrame(opPing, nil))
	c.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-heard:
		return !c.isEnding()
	case <-timer.C:
		all, known := acknowledged(c.net)
		return known && all && !c.isEnding()
	}
}

func (c *Conn) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending || c.dead
}

// heard notes that something came from the peer.
func (c *Conn) heard() {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeLocked()
}

func (c *Conn) wakeLocked() {
	for _, w := range c.waiters {
		close(w)
	}
	c.waiters = nil
}

// touch moves the deadline for silence.
func (c *Conn) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opt.Ping > 0 && !c.ending {
		_ = c.net.SetReadDeadline(time.Now().Add(c.opt.Silence))
	}
}

// ping is the timer's: it sends a ping and arms itself again.
func (c *Conn) ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.dead {
		return
	}
	c.pushLocked(newFrame(opPing, nil))
	c.pinger.Reset(c.opt.Ping)
}

// onPing answers a ping; of several that wait only one is answered (RFC 6455
// section 5.5.3 allows it), so a flood of pings cannot fill the queue.
func (c *Conn) onPing(payload []byte) {
	c.heard()
	c.meterControl(len(payload))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending && !c.dead && !c.pong {
		c.pong = true
		c.pushLocked(newFrame(opPong, payload))
	}
}

// abandonLocked gives up a peer that does not read: what waits for it is
// dropped, and it gets a Close if its window opens within a second.
func (c *Conn) abandonLocked(code int, reason string) {
	for _, f := range c.queue {
		c.queued -= f.Size()
	}
	c.queue = nil
	c.pushLocked(closeFrame(code, reason))
	c.ending = true
	_ = c.net.SetWriteDeadline(time.Now().Add(time.Second))
	_ = c.net.SetReadDeadline(time.Now().Add(time.Second + closeWait))
}

func (c *Conn) pushLocked(f Frame) {
	c.queue = append(c.queue, f)
	c.queued += f.Size()
	if !c.writing {
		c.writing = true
		c.writer.Add(1)
		go c.write()
	}
}

// end closes TCP.
func (c *Conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	c.queue = nil
	c.wakeLocked()
	if c.pinger != nil {
		c.pinger.Stop()
	}
	_ = c.net.Close()
}
