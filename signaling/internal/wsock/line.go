package wsock

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/ratelimit"
	"turnhub/internal/stream"
)

const (
	// MaxBatch is how many bytes of frames are joined into one write: more gains nothing.
	MaxBatch = 32 << 10
	// maxTogether is how many messages of one socket are handled before what they have
	// caused is written, and maxRounds how many writes to one socket come in a row: others
	// wait.
	maxTogether = 16
	maxRounds   = 4
)

// idleRate is how many frames a client may send that bring no message, see Reader.Idle: no
// limit of messages holds for them, and each costs the server as much as one. Far more than
// any client needs.
var idleRate = ratelimit.Rate{PerSecond: 1000, Burst: 10_000}

// errEnded is the end of a connection without a Close.
var errEnded = fmt.Errorf("the connection has ended: %w", io.EOF)

// User is who speaks over a Line. All of it but Due is called by whoever reads, one call
// at a time, and never waits: with an event loop thousands of others would wait too.
type User interface {
	// Came is told that something has come, and returns the largest message that is
	// taken, in bytes.
	Came(now time.Time) (limit int)
	// Frame takes a whole message, a ping or a pong. The payload is good until it returns.
	Frame(opcode byte, payload []byte, now time.Time)
	// Resumed is called when a Pause is over, before the next Frame.
	Resumed(now time.Time)
	// Over is told that no more can be handled: by ErrTooBig, ErrProtocol, ErrFlood, a *CloseError
	// for the client's Close, os.ErrDeadlineExceeded or another error of the network. It
	// reports whether to read on all the same, as TCP would be reset before the client has
	// read a Close.
	Over(err error) (readOn bool)
	// Ended is told that nothing is read any more. It reports whether what is due is still
	// to be written.
	Ended(err error) (drain bool)
	// Due appends the frames that are due, about MaxBatch bytes of them, and says how long
	// writing them may take. It is called again when all of them are the kernel's, until it
	// appends nothing; by one goroutine at a time.
	Due(buf []byte) (frames []byte, within time.Duration)
	// Gone is called once, at the very end, when the socket is closed.
	Gone()
}

// Line is one upgraded connection, of the hub and of every dialect: the one reader and
// the one writer of WebSockets. An event loop reads and writes it, over TCP and over TLS.
// One that no loop can carry, as on other systems, has a goroutine that reads, and another
// that writes while there is something to write. Its methods may be called by anyone
// unless they say otherwise.
type Line struct {
	user     User
	now      func() time.Time // what the user is told, see Loops
	progress time.Duration    // how long a write may stand still that has begun
	nc       net.Conn
	carrier  *carrier // nil: no loop carries it
	out      *flusher
	wrote    int // bytes, the writer's; no further than earlyBytes

	// The reader's.
	in     Reader
	idle   ratelimit.Account // of idleRate
	first  []byte            // what has come with the upgrade request
	lame   bool              // no frames are taken apart any more
	paused bool

	held  atomic.Bool   // the pause goes on
	awake chan struct{} // ends it, where a goroutine reads

	mu       sync.Mutex
	timer    *time.Timer // of the pause
	writing  bool        // somebody writes, or is about to
	again    bool        // something may be due since the writer has looked
	ended    bool        // nothing is written any more
	read     bool        // nothing is read any more: whoever writes last closes the socket
	released bool        // it is closed
}

// NewLine takes over an upgraded connection, with loops to carry it where it can be
// carried; nil: none, and the time that the user is told is no hub's. Nothing is read before Start.
// progress is how long a write that the socket takes in pieces may stand still.
func NewLine(conn net.Conn, user User, loops *Loops, progress time.Duration) *Line {
	l := &Line{user: user, nc: conn, out: new(flusher), progress: progress, now: evenly}
	if early, ok := conn.(*Early); ok {
		l.nc, l.first = early.NetConn(), early.Take()
	}
	if loops != nil {
		l.now = loops.now
		loops.carry(l)
	}
	if l.carrier == nil {
		l.awake = make(chan struct{}, 1)
	}
	return l
}

var began = time.Now()

// evenly is the time of a line without loops, which setting the machine's does not move.
func evenly() time.Time { return began.Add(time.Since(began)) }

// Carried reports whether an event loop carries the line.
func (l *Line) Carried() bool { return l.carrier != nil }

// Start begins to read. Every line is started, or discarded.
func (l *Line) Start() {
	switch {
	case l.carrier == nil:
		// Not in the caller's goroutine: net/http's is large and holds the request.
		go l.serve()
	case l.carrier.Attach(l.carrier.loop.events, l.carrier) != nil: // the kernel is out of memory
		l.finish(errEnded)
	}
}

// Discard closes a line instead of starting it.
func (l *Line) Discard() { l.close() }

// serve reads a line that no loop carries, until it ends.
func (l *Line) serve() {
	var buf [1024]byte
	for {
		var n int
		var err error
		if n = copy(buf[:], l.first); n > 0 {
			l.first = l.first[n:]
		} else {
			n, err = l.nc.Read(buf[:])
		}
		var ended error
		if n > 0 {
			ended = l.take(buf[:n], l.now())
			l.out.flush()
		}
		for l.paused && ended == nil {
			<-l.awake
			ended = l.resume(l.now())
			l.out.flush()
		}
		if ended != nil {
			err = ended
		}
		if err != nil && !l.user.Over(err) {
			l.finish(err)
			l.out.flush()
			return
		}
	}
}

// take handles the bytes that have come. An error is the line's end.
func (l *Line) take(b []byte, now time.Time) error {
	if l.lame {
		return nil
	}
	l.in.Add(b)
	return l.frames(now)
}

// frames handles what has come as far as it is whole, unless there is a pause.
func (l *Line) frames(now time.Time) error {
	limit := l.user.Came(now)
	for n := 1; ; n++ {
		if n%maxTogether == 0 {
			l.out.flush()
		}
		opcode, payload, err := l.in.Next(limit)
		if n := l.in.Idle(); n > 0 && err == nil && l.idle.Charge(now.UnixNano(), idleRate, float64(n)) < 0 {
			err = ErrFlood
		}
		switch {
		case err != nil:
			l.lame = true
			return err
		case opcode == 0:
			return nil
		}
		if l.user.Frame(opcode, payload, now); l.paused {
			l.in.keep()
			return nil
		}
	}
}

// carrier is what carries a line in a loop: its connection there.
type carrier struct {
	*stream.Conn
	loop    *loop
	line    *Line
	reading bool // the loop's: it is still read from
	shallow bool // see Shallow

	// pen is held by whoever writes a batch, and never while waiting for the socket. The
	// user's locks that Due takes are taken under it.
	pen   sync.Mutex
	stuck bool         // under pen: the writer waits for room, and the loop goes on for it
	ahead stream.Ahead // under pen
}

// Ready is the loop's: the socket can go on.
func (k *carrier) Ready(events stream.Events) {
	l, now := k.line, k.loop.now
	if first := l.first; len(first) > 0 {
		l.first = nil
		k.over(l.take(first, now))
	}
	if events != stream.Readable {
		l.writeRest()
	}
	if l.paused && k.reading {
		k.goOn(events, now)
	}
	if !k.reading || l.paused {
		return
	}
	b := k.loop.input[:]
	n, err := k.Receive(b)
	if n > 0 {
		if e := l.take(b[:n], now); e != nil {
			err = e
		}
	}
	k.over(err)
}

// over tells the user that no more can be handled, and why.
func (k *carrier) over(err error) {
	if err != nil && k.reading && !k.line.user.Over(err) {
		k.reading = false
		k.line.finish(err)
	}
}

// flusher holds the lines that a goroutine which reads has caused to be written to. It
// writes once it has handled what came together.
type flusher struct{ kicked []*Line }

// flush writes. What a socket does not take at once waits for its loop: nobody waits for
// another.
func (f *flusher) flush() {
	for i, l := range f.kicked {
		f.kicked[i] = nil
		l.writeNow()
	}
	if f.kicked = f.kicked[:0]; cap(f.kicked) > 1024 {
		f.kicked = nil
	}
}

// spread is to how many lines a goroutine writes at least: there are no more goroutines than
// processors.
const spread = 16

// Together is a by for Kick where many lines are written to that nobody has read from: Spread
// writes to them.
func Together() *Line { return &Line{out: new(flusher)} }

// Spread writes to the lines that have been kicked, in as few goroutines as are worth it.
func (l *Line) Spread() {
	each := (len(l.out.kicked) + runtime.NumCPU() - 1) / runtime.NumCPU()
	for lines := range slices.Chunk(l.out.kicked, max(spread, each)) {
		go func() {
			for _, l := range lines {
				l.writeNow()
			}
		}()
	}
	l.out.kicked = nil
}

// Kick sees to it that what is due is written. by is the line whose reader is here, or
// nil. If there is none, or no loop carries l, a goroutine writes. It may be called with
// the lock that Due takes.
func (l *Line) Kick(by *Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing || l.ended {
		l.again = true
		return
	}
	l.writing = true
	switch {
	case by != nil && l.carrier != nil:
		by.out.kicked = append(by.out.kicked, l)
	case l.carrier != nil:
		go l.writeNow()
	default:
		go l.write()
	}
}

var batches = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func putBatch(p *[]byte) {
	if cap(*p) <= 2*MaxBatch {
		batches.Put(p)
	}
}

// write sends until nothing is left.
func (l *Line) write() {
	p := batches.Get().(*[]byte)
	defer putBatch(p)
	for {
		buf, within := l.batch(p)
		if len(buf) == 0 {
			return
		}
		_ = l.nc.SetWriteDeadline(time.Now().Add(within))
		for len(buf) > 0 {
			n := l.piece(len(buf))
			if _, err := l.nc.Write(buf[:n]); err != nil {
				l.dead()
				return
			}
			buf = buf[n:]
		}
	}
}

// writeNow is write for whoever must not wait: what the socket does not take, or what
// still comes after some rounds, is left to its loop.
func (l *Line) writeNow() {
	p := batches.Get().(*[]byte)
	defer putBatch(p)
	for n := 1; l.look(); n++ {
		wrote, full, err := l.carrier.step(p, n%maxRounds == 0)
		switch {
		case err != nil:
			l.dead()
			return
		case full: // the loop goes on
			return
		case !wrote && l.rest():
			return
		}
	}
}

// step writes a batch of what is due. Where the socket does not take it, or it is the last
// one that the caller writes, the loop is told to go on: full.
func (k *carrier) step(p *[]byte, last bool) (wrote, full bool, err error) {
	k.pen.Lock()
	defer k.pen.Unlock()
	within := k.line.progress
	if full = k.Waiting() > 0; !full {
		var buf []byte
		if buf, within = k.line.user.Due((*p)[:0]); len(buf) == 0 {
			return false, false, nil
		}
		*p, wrote = buf, true
		if err = k.put(buf); err != nil {
			return false, false, err
		}
		full = last || k.Waiting() > 0
	}
	if full {
		k.look()
		k.SetWriteDeadline(time.Now().Add(within))
		k.stuck = true
		k.Await(true)
	}
	return wrote, full, nil
}

// writeRest sends what the socket did not take, and goes on where writeNow has stopped.
func (l *Line) writeRest() {
	before := l.carrier.Waiting()
	left, err := l.carrier.Flush()
	switch {
	case err != nil:
		l.dead()
	case left > 0:
		if left < before {
			l.carrier.SetWriteDeadline(time.Now().Add(l.progress))
		}
	case l.carrier.unstick():
		l.writeNow()
	}
}

// unstick ends the wait for room, and reports whether there was one.
func (k *carrier) unstick() bool {
	k.pen.Lock()
	defer k.pen.Unlock()
	if k.Waiting() > 0 { // Relieve was here
		return false
	}
	k.Await(false)
	if !k.stuck {
		return false
	}
	k.stuck = false
	k.SetWriteDeadline(time.Time{})
	return true
}

// Relieve writes what is due as far as the socket takes it now, for a caller with more to
// say than may wait: whoever is to write may not have come to run yet, and then a client
// that reads all it gets would seem to be slow. It reports whether the socket has taken
// everything. It does not wait for the socket and does not call Gone, so that it may be
// called with any lock but those that Due takes. A line that no loop carries is left to
// its goroutine, which waits in its writes.
func (l *Line) Relieve() (all bool) {
	if l.carrier == nil {
		return false
	}
	p := batches.Get().(*[]byte)
	defer putBatch(p)
	all, err := l.carrier.relieve(p)
	if err != nil {
		l.Abort() // whoever reads or writes sees it, and gives the line up
	}
	return all
}

func (k *carrier) relieve(p *[]byte) (all bool, err error) {
	k.pen.Lock()
	defer k.pen.Unlock()
	before := k.Waiting()
	left, err := k.Flush()
	moved := left < before
	for err == nil && left == 0 {
		buf, _ := k.line.user.Due((*p)[:0])
		if len(buf) == 0 {
			return true, nil
		}
		*p, moved = buf, true
		err = k.put(buf)
		left = k.Waiting()
	}
	if moved && k.stuck && err == nil {
		k.SetWriteDeadline(time.Now().Add(k.line.progress))
	}
	return false, err
}

// batch takes what is due into p. If there is nothing, the writer's time is over.
func (l *Line) batch(p *[]byte) (buf []byte, within time.Duration) {
	for l.look() {
		if buf, within = l.user.Due((*p)[:0]); len(buf) > 0 {
			*p = buf
			return buf, within
		}
		if l.rest() {
			break
		}
	}
	return nil, 0
}

// look begins to ask for what is due. False: nothing is written any more.
func (l *Line) look() bool {
	l.mu.Lock()
	ended, last := l.ended, l.ended && l.read
	l.again = false
	if ended {
		l.writing = false
	}
	l.mu.Unlock()
	if last {
		l.release()
	}
	return !ended
}

// rest ends the writing, unless something has come up since the last look.
func (l *Line) rest() bool {
	l.mu.Lock()
	if l.again {
		l.mu.Unlock()
		return false
	}
	l.writing = false
	last := l.read
	l.mu.Unlock()
	if last {
		l.release()
	}
	return true
}

// Direct writes frames past Due, where nobody else writes.
func (l *Line) Direct(frames []byte, within time.Duration) {
	if l.carrier != nil {
		if l.carrier.Waiting() == 0 { // a client that fills its buffer has not spoken as it should
			_ = l.carrier.Send(frames)
		}
		return
	}
	_ = l.nc.SetWriteDeadline(time.Now().Add(within))
	_, _ = l.nc.Write(frames)
}
