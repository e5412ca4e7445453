package media

import (
	"time"

	"turnhub/signaling/internal/wsock"
)

// What waits for a receiver is bounded by age, and where nothing is too old, by bytes.
const (
	soundAge   = int64(400 * time.Millisecond)  // older sound is of no use to a jitter buffer
	pictureAge = int64(200 * time.Millisecond)  // when it begins to be written
	lateAge    = int64(time.Second)             // of one that has begun, or that comes after a key picture
	keyBurst   = int64(1500 * time.Millisecond) // from the beginning of that
	keyEvery   = int64(500 * time.Millisecond)  // between two requests for a key picture
	keyAgain   = int64(time.Second)             // until one that did not help is repeated

	soundBytes   = 64 << 10
	pictureBytes = 256 << 10
	messageBytes = 256 << 10 // and reports
	// messageShare is the part of a line that messages have while pictures wait too: one
	// byte for so many of pictures.
	messageShare = 4
	maxOwed      = 64 << 10
)

// queue is what waits for one receiver: late is worse than lost. Sound goes first, then
// reports, then pictures, then messages, which have a small share of a line that pictures
// fill. It does no I/O, and times are handed in, in nanoseconds. Its user has the lock.
//
// A key picture is a burst: on a slow line those behind it wait for it, and catch up. They
// would all be dropped for that, and after the next one again, were they not let be late
// for a while.
//
// A picture that is dropped takes all with it that build on it, up to the next key
// picture, for which the sender is asked.
type queue struct {
	counts                             *counts
	sound, reports, pictures, messages lane

	whole bool  // no picture is missing since the last key picture
	want  bool  // the sender is to be asked for one
	asked int64 // when that was done last
	keyAt int64 // when the last key picture began to be written
	owed  int   // bytes that messages may send before pictures
}

// push takes a frame in that the server has since at. flood: its sender has more messages
// waiting than it may, and it is not taken.
func (q *queue) push(kind Kind, payload []byte, at, now int64) (flood bool) {
	switch kind {
	case Sound:
		// Nothing is popped for a receiver that reads nothing.
		q.dropOldSound(now)
		for q.sound.bytes+len(payload) > soundBytes && q.sound.drop() {
			q.counts.drop(Sound, "full")
		}
		q.sound.push(kind, payload, at)
	case Key:
		q.dropPictures("newer")
		q.whole, q.want = true, false
		q.pictures.push(kind, payload, at)
	case Picture, Piece:
		switch {
		case !q.whole:
			q.counts.drop(kind, "no_key")
			q.want = q.want || now-q.asked >= keyAgain
		case q.pictures.bytes+len(payload) > pictureBytes:
			q.counts.drop(kind, "full")
			q.lose("full")
		default:
			q.pictures.push(kind, payload, at)
		}
	default:
		if q.messages.bytes+q.reports.bytes+len(payload) > messageBytes {
			return true
		}
		if kind == Report {
			q.reports.push(kind, payload, at)
		} else {
			q.messages.push(kind, payload, at)
		}
	}
	return false
}

// miss is told that the next picture is missing; those that wait are none the worse.
func (q *queue) miss() { q.whole, q.want = false, true }

// lose drops the pictures that wait.
func (q *queue) lose(why string) {
	q.dropPictures(why)
	q.miss()
}

// ask reports whether the sender is to be asked for a key picture now.
func (q *queue) ask(now int64) bool {
	if !q.want || now-q.asked < keyEvery {
		return false
	}
	q.want, q.asked = false, now
	return true
}

// pop appends WebSocket frames to b, up to limit bytes of them, but one at least where
// there is one that is not too old.
func (q *queue) pop(b []byte, limit int, now int64) []byte {
	for {
		next := q.next(now)
		if next == nil {
			return b
		}
		f := next.first()
		if size := len(*f.buffer) + 10; len(b) > 0 && len(b)+size > limit {
			return b
		}
		b = wsock.AppendHeader(b, wsock.OpBinary, len(*f.buffer))
		b = append(b, *f.buffer...)
		q.counts.pass(f.kind, len(*f.buffer))
		q.wrote(next, now)
	}
}

// wrote takes the first frame of a lane off, which is written.
func (q *queue) wrote(next *lane, now int64) {
	f := next.first()
	q.settle(next, len(*f.buffer))
	if f.kind == Key {
		q.keyAt = now
	}
	next.drop()
}

// next drops what is too old, and returns the lane whose turn it is; nil: nothing waits.
func (q *queue) next(now int64) *lane {
	q.dropOldSound(now)
	q.dropOldPictures(now)
	switch {
	case q.sound.len() > 0:
		return &q.sound
	case q.reports.len() > 0:
		return &q.reports
	case q.pictures.len() > 0 && (q.messages.len() == 0 || q.owed < len(*q.messages.first().buffer)):
		return &q.pictures
	case q.messages.len() > 0:
		return &q.messages
	}
	return nil
}

// settle keeps the account between pictures and messages.
func (q *queue) settle(next *lane, n int) {
	switch {
	case q.messages.len() == 0:
		q.owed = 0
	case next == &q.pictures:
		q.owed = min(q.owed+n/messageShare, maxOwed)
	case next == &q.messages:
		q.owed = max(q.owed-n, 0)
	}
}

func (q *queue) dropOldSound(now int64) {
	for q.sound.len() > 0 && now-q.sound.first().at > soundAge {
		q.sound.drop()
		q.counts.drop(Sound, "late")
	}
}

// dropOldPictures drops the first picture if it is too old, and with it all others: no
// key picture is behind it, as that would have put it out.
func (q *queue) dropOldPictures(now int64) {
	if q.pictures.len() == 0 {
		return
	}
	f, limit := q.pictures.first(), pictureAge
	if f.kind == Piece || now-q.keyAt < keyBurst { // what a piece continues is written
		limit = lateAge
	}
	if now-f.at > limit {
		q.lose("late")
	}
}

func (q *queue) dropPictures(why string) {
	for q.pictures.len() > 0 {
		q.counts.drop(q.pictures.first().kind, why)
		q.pictures.drop()
	}
}

// clear gives everything up.
func (q *queue) clear() {
	for _, l := range []*lane{&q.sound, &q.reports, &q.pictures, &q.messages} {
		for l.drop() {
		}
	}
}

// lane is a line of frames, first come, first served.
type lane struct {
	frames []waiting
	head   int
	bytes  int
}

// waiting is one frame of a lane.
type waiting struct {
	kind   Kind
	at     int64
	buffer *[]byte
}

func (l *lane) len() int { return len(l.frames) - l.head }

func (l *lane) first() *waiting { return &l.frames[l.head] }

// push copies a frame in.
func (l *lane) push(kind Kind, payload []byte, now int64) {
	if l.head > 0 && len(l.frames) == cap(l.frames) { // no more room than what waits needs
		n := copy(l.frames, l.frames[l.head:])
		clear(l.frames[n:])
		l.frames, l.head = l.frames[:n], 0
	}
	l.frames = append(l.frames, waiting{kind, now, newBuffer(payload)})
	l.bytes += len(payload)
}

// drop takes the first frame off; false: there is none.
func (l *lane) drop() bool {
	if l.len() == 0 {
		return false
	}
	f := l.first()
	l.bytes -= len(*f.buffer)
	freeBuffer(f.buffer)
	*f = waiting{}
	if l.head++; l.head == len(l.frames) {
		l.frames, l.head = l.frames[:0], 0
		if cap(l.frames) > laneKept {
			l.frames = nil
		}
	}
	return true
}

// laneKept is for how many frames an empty lane keeps room.
const laneKept = 16
