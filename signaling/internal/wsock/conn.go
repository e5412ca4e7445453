// Package wsock is the server side of WebSockets, the hub's and every dialect's: gorilla
// does the upgrade, Reader takes frames apart and AppendHeader makes them, and a Line reads
// and writes a socket, in an event loop where one can carry it.
//
// Conn is a Line as the dialects need it: reads are metered and limited, writes go through
// a bounded queue and never block the one who sends, and a peer that is gone is noticed.
// Everything that leaves it, control frames too, passes one queue, so that a message to
// many is encoded once and a backlog leaves in few system calls.
package wsock

import (
	"errors"
	"fmt"
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

// abandonWait is how long a peer that does not read has to read at least the Close.
const abandonWait = time.Second

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
	// TooBig, Flood and Slow are the codes for a larger message, for ErrFlood, and for a
	// peer that does not read what it is sent.
	TooBig, Flood, Slow int
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
	// handled. It says for how long the frame, and all that follows it, is held up,
	// which slows the sender down and nobody else; a *CloseError ends the socket.
	Meter func(bytes int) (hold time.Duration, err error)
	// Loops carry the socket where they can; nil: it has a goroutine.
	Loops *Loops
}

// Conn is one WebSocket. Its methods are safe for concurrent use, except Start and
// Serve, of which one is called once.
type Conn struct {
	opt   Options
	line  *Line
	serve func(kind int, payload []byte) error
	ended func(error)

	// The reader's.
	kept  []byte // a message that is held up
	kind  byte   // its opcode; 0: there is none
	cause error  // how the socket has ended

	mu      sync.Mutex
	queue   []Frame
	begun   int           // bytes of the first of queue that were taken
	taken   int           // bytes that are being written
	queued  int           // bytes in queue and of what is being written
	within  time.Duration // how long a write may take
	pong    bool          // a pong is in the queue
	ending  bool          // a Close is in the queue or sent: nothing follows it
	closed  bool          // the Close is the kernel's
	half    bool          // after the Close our side of TCP is closed: the other's answer would not be understood
	dead    bool          // TCP is closed
	waiters []chan struct{}
	pinger  *time.Timer
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
	c := &Conn{opt: opt, within: opt.WriteTimeout}
	c.line = NewLine(ws.NetConn(), user{c}, opt.Loops, opt.WriteTimeout)
	if opt.Ping > 0 {
		c.touch()
		c.mu.Lock()
		c.pinger = time.AfterFunc(opt.Ping, c.ping)
		c.mu.Unlock()
	} else {
		c.line.SetReadDeadline(time.Time{})
	}
	return c, nil
}

// Start hands every message to handle from now on, in order. handle must not wait. An
// error of it closes the socket: with its code when it is a *CloseError. ended is called
// when the socket is closed and nothing of it runs any more; its error says how it ended
// and is never nil.
func (c *Conn) Start(handle func(kind int, payload []byte) error, ended func(cause error)) {
	c.serve, c.ended = handle, ended
	c.line.Start()
}

// Serve is Start that waits for the end, and returns how it was.
func (c *Conn) Serve(handle func(kind int, payload []byte) error) error {
	cause := make(chan error, 1)
	c.Start(handle, func(err error) { cause <- err })
	return <-cause
}

// user is a Conn as its Line sees it.
type user struct{ *Conn }

// Came implements User.
func (c user) Came(time.Time) (limit int) { return c.opt.MessageSize }

// Frame implements User.
func (c user) Frame(opcode byte, payload []byte, _ time.Time) {
	c.heard()
	hold, err := c.meter(len(payload))
	if err != nil {
		c.fail(err)
		return
	}
	held := hold > 0 && c.hold(hold)
	switch {
	case opcode == OpPing:
		c.onPing(payload)
	case opcode == OpPong:
	case held:
		c.kind, c.kept = opcode, append([]byte(nil), payload...)
	default:
		c.message(opcode, append([]byte(nil), payload...))
	}
}

// hold holds the sender up, unless the socket is closing: its Close has ended every hold,
// and the client's answer is waited for.
func (c user) hold(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.dead {
		return false
	}
	c.line.Pause(d)
	return true
}

// Resumed implements User.
func (c user) Resumed(time.Time) {
	if kind, kept := c.kind, c.kept; kind != 0 {
		c.kind, c.kept = 0, nil
		c.message(kind, kept)
	}
}

// message handles a message, which is the handler's.
func (c user) message(opcode byte, payload []byte) {
	switch {
	case c.isEnding():
	case opcode == OpText && !utf8.Valid(payload):
		c.fail(&CloseError{CodeInvalidText, "text message is not UTF-8"})
	default:
		if err := c.serve(int(opcode), payload); err != nil {
			c.fail(err)
		}
	}
}

// fail ends the socket. Reading goes on until the peer has answered the Close.
func (c user) fail(err error) {
	c.note(err)
	var closing *CloseError
	if errors.As(err, &closing) {
		c.Close(closing.Code, closing.Reason)
	} else {
		c.line.Abort()
	}
}

// note keeps the first cause of the end.
func (c user) note(err error) {
	if c.cause == nil {
		c.cause = err
	}
}

// Over implements User.
func (c user) Over(err error) (readOn bool) {
	var closed *CloseError
	switch {
	case errors.As(err, &closed):
		code := closed.Code
		if code == codeNone {
			code = CodeNormal
		}
		c.note(&PeerClosed{closed.Code})
		c.Close(code, "")
		c.mu.Lock()
		c.within = closeWait
		c.mu.Unlock()
		c.line.SetWriteDeadline(time.Now().Add(closeWait))
		return false
	case errors.Is(err, ErrTooBig):
		c.halve()
		// The meter's word goes first.
		if _, metered := c.meter(c.opt.MessageSize + 1); metered != nil {
			err = metered
		} else {
			err = &CloseError{c.opt.TooBig, fmt.Sprintf("message larger than %d bytes", c.opt.MessageSize)}
		}
		c.fail(err)
		return true
	case errors.Is(err, ErrFlood):
		c.halve()
		c.fail(&CloseError{c.opt.Flood, err.Error()})
		return true
	case errors.Is(err, ErrProtocol):
		c.halve()
		c.fail(&CloseError{CodeProtocol, err.Error()})
		return true
	}
	c.note(err)
	return false
}

// halve has our side of TCP closed after the Close: what follows cannot be taken apart.
func (c user) halve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.half = true
}

// Ended implements User: the answer to the peer's Close is written still.
func (c user) Ended(err error) (drain bool) {
	var closed *CloseError
	return errors.As(err, &closed)
}

// Gone implements User.
func (c user) Gone() {
	c.mu.Lock()
	c.dead = true
	c.queue = nil
	c.wakeLocked()
	if c.pinger != nil {
		c.pinger.Stop()
	}
	c.mu.Unlock()
	c.ended(c.cause)
}

// Due implements User.
func (c user) Due(buf []byte) ([]byte, time.Duration) {
	c.mu.Lock()
	buf = c.take(buf)
	within, half, last := c.within, c.half, len(buf) == 0 && c.ending && !c.closed
	if last { // the kernel has the Close
		c.closed = true
		wait := closeWait
		if half {
			wait = failWait
		}
		c.line.SetReadDeadline(time.Now().Add(wait))
	}
	c.mu.Unlock()
	if last && half {
		c.line.CloseWrite()
	}
	return buf, within
}

func (c *Conn) meter(bytes int) (hold time.Duration, err error) {
	if c.opt.Meter == nil || c.isEnding() {
		return 0, nil
	}
	return c.opt.Meter(bytes)
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
	c.line.SetReadDeadline(time.Now().Add(c.opt.WriteTimeout))
	c.line.Resume() // what is held up is not handled any more, but the answer is waited for
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
		all, known := c.line.acknowledged()
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
		c.line.SetReadDeadline(time.Now().Add(c.opt.Silence))
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending && !c.dead && !c.pong {
		c.pong = true
		c.pushLocked(newFrame(opPong, payload))
	}
}
