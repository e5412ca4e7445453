// Package link is one end of a stream of frames between two processes, over packets that
// may be lost, repeated and overtaken: every frame arrives once and in order, as long as
// both ends live and keep the stream. It does no I/O and has no clock.
//
// Both directions belong together: they have one generation, a number that only grows. An
// end that gives the stream up, because the other was dead to it or does not take what
// it is sent, begins the next generation, and the other end follows when it hears of it:
// of two generations the higher holds. So both know that everything before is void.
//
// A packet is: version, whether an answer is wanted, generation, the highest piece received, the number of the first
// piece in it, and pieces, each with its length and whether the frame goes on. A piece
// is at most pieceSize long, so that a packet is never too large for NATS.
package link

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const (
	version = 1
	asks    = 1 // the sender has heard nothing of this generation yet: say something

	pieceSize  = 24 << 10
	packetSize = 30 << 10 // at which a packet takes no further piece
	flight     = 1 << 20  // bytes that may be on their way
	overhead   = 64       // bytes that a piece costs beside its text

	// Room is how much may wait for a message to be taken; what must not be left out has
	// as much again.
	Room    = 4 << 20
	mostAll = 4 * Room

	// mostReused is for how many pieces an end keeps room while there are none.
	mostReused = 1024

	// MaxFrame bounds a frame. It is far above limits.message_size's default.
	MaxFrame = 4 << 20

	// ackAfter is how long an end waits for something to say before it says what it has
	// received, unless that is a good part of what may be on its way.
	ackAfter  = 5 * time.Millisecond
	ackAtOnce = flight / 4

	resendLeast = 250 * time.Millisecond
	resendMost  = 2 * time.Second
	// StallAfter is after which time without any progress the stream is given up, though
	// the other end lives.
	StallAfter = 15 * time.Second
)

// Errors of Take.
var (
	ErrForm = errors.New("a packet is not what this version says that it looks like")
	ErrSize = errors.New("a frame is too long")
)

type piece struct {
	text []byte
	last bool // of its frame
}

// Link is one end. Not safe for concurrent use.
type Link struct {
	generation uint64
	heard      bool // something of this generation has come

	pieces   []piece // pieces[0] has number base+1
	base     uint64  // the highest that the other end has
	sent     uint64  // the highest that has been sent, since the last repetition
	bytes    int
	onWay    int
	progress time.Duration // when the other end last had something new, or was sent the first
	resend   time.Duration // how long to wait for that

	got     uint64 // the highest piece received
	partial []byte // of a frame that goes on
	due     bool   // an empty packet is to be sent
	owed    int    // bytes of received pieces of which the other end has not been told
	owedAt  time.Duration
}

// New returns an end that begins a generation.
func New(generation uint64, now time.Duration) *Link {
	l := &Link{}
	l.begin(generation, now)
	return l
}

func (l *Link) begin(generation uint64, now time.Duration) {
	*l = Link{generation: generation, due: true, progress: now, resend: resendLeast}
}

// Generation is that of the stream at the moment.
func (l *Link) Generation() uint64 { return l.generation }

// Reset gives the stream up: what waits is lost, and the next generation begins.
func (l *Link) Reset(at uint64, now time.Duration) { l.begin(max(at, l.generation+1), now) }

// Roomy reports whether a message may be added that could be refused as well.
func (l *Link) Roomy() bool { return l.bytes < Room }

// Add appends a frame, which it keeps. False: too much waits, and the stream must be given
// up, or it would miss something.
func (l *Link) Add(frame []byte) bool {
	if l.bytes > mostAll || len(frame) > MaxFrame {
		return false
	}
	for {
		n := min(len(frame), pieceSize)
		l.pieces = append(l.pieces, piece{frame[:n], n == len(frame)})
		l.bytes += n + overhead
		if frame = frame[n:]; len(frame) == 0 {
			return true
		}
	}
}

// Waiting is how many pieces the other end is not known to have.
func (l *Link) Waiting() int { return len(l.pieces) }

// Next appends the next packet that is due to b; nothing: there is none.
func (l *Link) Next(b []byte, now time.Duration) []byte {
	unheard := !l.heard || l.base < l.sent
	if unheard && now-l.progress >= l.resend {
		l.sent, l.onWay, l.due = l.base, 0, true
		l.progress = now
		l.resend = min(2*l.resend, resendMost)
	}
	next := int(l.sent - l.base)
	l.due = l.due || l.owes(now) == 0
	if !l.due && (next == len(l.pieces) || l.onWay >= flight) {
		return b
	}
	l.due, l.owed = false, 0
	ask := byte(0)
	if !l.heard {
		ask = asks
	}
	b = append(b, version, ask)
	b = binary.AppendUvarint(b, l.generation)
	b = binary.AppendUvarint(b, l.got)
	b = binary.AppendUvarint(b, l.sent+1)
	if l.sent == l.base && l.heard {
		l.progress = now
	}
	begin := len(b)
	for next < len(l.pieces) && l.onWay < flight {
		p := l.pieces[next]
		if len(b) > begin && len(b)-begin+len(p.text) > packetSize {
			break
		}
		more := uint64(1)
		if p.last {
			more = 0
		}
		b = binary.AppendUvarint(b, uint64(len(p.text))<<1|more)
		b = append(b, p.text...)
		l.onWay += len(p.text) + overhead
		l.sent++
		next++
	}
	return b
}

// Wait is for how long there is nothing to do if nothing comes; negative: for ever.
func (l *Link) Wait(now time.Duration) time.Duration {
	switch {
	case l.due || l.sent < l.base+uint64(len(l.pieces)) && l.onWay < flight:
		return 0
	}
	wait := l.owes(now)
	if l.base < l.sent || !l.heard {
		if again := max(0, l.progress+l.resend-now); wait < 0 || again < wait {
			return again
		}
	}
	return wait
}

// owes is after which time the other end is told what has been received; negative: it knows.
func (l *Link) owes(now time.Duration) time.Duration {
	switch {
	case l.owed == 0:
		return -1
	case l.owed >= ackAtOnce:
		return 0
	}
	return max(0, l.owedAt+ackAfter-now)
}

// Stalled reports whether the other end, which lives, has taken nothing for too long. since
// is since when it is known to live.
func (l *Link) Stalled(now, since time.Duration) bool {
	return len(l.pieces) > 0 && l.resend == resendMost && now-since > StallAfter
}

// Take takes a packet. It returns the frames that are complete, most of which are parts of
// the packet, and whether they are the first of another generation: then everything before is void.
func (l *Link) Take(packet []byte, now time.Duration) (frames [][]byte, anew bool, err error) {
	if len(packet) < 2 || packet[0] != version || packet[1] > asks {
		return nil, false, ErrForm
	}
	asked := packet[1] == asks
	packet = packet[2:]
	number := func() (n uint64) {
		n, size := binary.Uvarint(packet)
		if size <= 0 {
			err = ErrForm
			return 0
		}
		packet = packet[size:]
		return n
	}
	generation, has, first := number(), number(), number()
	switch {
	case err != nil:
		return nil, false, err
	case generation < l.generation:
		l.due = true // it hears of ours
		return nil, false, nil
	case generation > l.generation:
		l.begin(generation, now)
		anew = true
	}
	l.heard = true
	l.due = l.due || asked
	if has > l.base+uint64(len(l.pieces)) {
		return nil, anew, ErrForm
	}
	l.acknowledge(has, now)
	for len(packet) > 0 {
		head := number()
		size := head >> 1
		if err != nil || size > uint64(len(packet)) || size > pieceSize {
			return frames, anew, ErrForm
		}
		text := packet[:size:size]
		packet = packet[size:]
		if first != l.got+1 { // heard before, or something between is missing
			first++
			l.due = true
			continue
		}
		if l.owed == 0 {
			l.owedAt = now
		}
		l.owed += len(text) + overhead
		first++
		if len(l.partial)+len(text) > MaxFrame {
			return frames, anew, ErrSize
		}
		l.got++
		switch {
		case head&1 == 1:
			l.partial = append(l.partial, text...)
		case l.partial == nil:
			frames = append(frames, text)
		default:
			frames = append(frames, append(l.partial, text...))
			l.partial = nil
		}
	}
	return frames, anew, nil
}

// acknowledge drops what the other end has.
func (l *Link) acknowledge(has uint64, now time.Duration) {
	if has <= l.base {
		return
	}
	n := int(has - l.base)
	for i := range l.pieces[:n] {
		size := len(l.pieces[i].text) + overhead
		l.bytes -= size
		if l.base+uint64(i) < l.sent {
			l.onWay -= size
		}
	}
	if left := len(l.pieces) - n; left <= n { // their room is used again
		l.pieces = slices.Delete(l.pieces, 0, n)
	} else {
		clear(l.pieces[:n])
		l.pieces = l.pieces[n:]
	}
	if len(l.pieces) == 0 && cap(l.pieces) > mostReused {
		l.pieces = nil
	}
	l.base = has
	l.sent = max(l.sent, has)
	l.progress, l.resend = now, resendLeast
}
