package media

import (
	"sync"
	"sync/atomic"
	"time"

	"turnhub/signaling/internal/wsock"
)

const (
	// lostEvery is how often two are told at most that something on its way was lost.
	lostEvery = int64(500 * time.Millisecond)
	// slower is the part of the time by which the shortest way is believed to have become longer:
	// clocks do not go alike, and ways change.
	slower = 1000
)

// far is the other end of a pair that is on another node, for one socket here. What waits
// for NATS to take it waits by the rules of a client on a slow line, and what has come counts
// as having come when the other node had it: so both nodes together let nothing become older
// than one would.
//
// Locks: Server.mu, far.in, socket.mu, far.mu, span.mu.
type far struct {
	span  *span
	own   *socket // the end here
	id    uint64  // of the socket there
	heard atomic.Int64

	mu               sync.Mutex // of what is said
	queue            queue
	over             bool
	queued           bool   // in span.ready
	rest             []byte // of a frame that goes on
	restAt           int64
	number, messages uint32

	in                sync.Mutex // of what comes
	next, hadMessages uint32
	partial           []byte
	least             int64 // difference of the two clocks, with the shortest way
	leastAt           int64
	lost              bool  // a message is missing, and nobody has been told yet
	lostAt            int64 // when they were told last
	held              []heldMessage
	heldBytes, holds  int
	pause             *time.Timer
}

// heldMessage is one that a limit does not let through yet.
type heldMessage struct {
	at      int64
	payload []byte
}

// newFar makes one, for a socket there that has just been heard of.
func newFar(x *span, own *socket, id uint64, now int64) *far {
	f := &far{span: x, own: own, id: id}
	f.queue.counts = &x.server.counts
	f.heard.Store(now)
	return f
}

func (f *far) say(what byte) { f.span.say(record{what: what, to: f.id, from: f.own.id}) }

// end gives up what waits.
func (f *far) end() {
	f.mu.Lock()
	f.over = true
	f.queue.clear()
	f.rest = nil
	f.mu.Unlock()
	f.in.Lock()
	defer f.in.Unlock()
	f.held, f.heldBytes = nil, 0
	if f.pause != nil {
		f.pause.Stop()
	}
}

// take implements receiver.
func (f *far) take(kind Kind, payload []byte, now int64, from *socket) (string, bool) {
	f.mu.Lock()
	if f.over {
		f.mu.Unlock()
		f.span.server.counts.drop(kind, "alone")
		return "", true
	}
	flood := f.queue.push(kind, payload, now, now)
	ask := f.queue.ask(now)
	if !f.queued {
		f.queued = true
		f.span.mu.Lock()
		f.span.ready = append(f.span.ready, f)
		f.span.mu.Unlock()
		f.span.kick()
	}
	f.mu.Unlock()
	from.filled(kind, flood, ask)
	return "", true
}

// miss implements receiver.
func (f *far) miss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue.miss()
}

// askKey implements receiver.
func (f *far) askKey(*wsock.Line) { f.say(sayKey) }

// fill appends what waits to b, up to most bytes, or for one turn. more: something waits
// still. full: there is no room for it.
func (f *far) fill(b []byte, most int, now int64) (_ []byte, more, full bool) {
	counts := &f.span.server.counts
	f.mu.Lock()
	begin := len(b)
	for {
		var next *lane
		frame, at, part := f.rest, f.restAt, byte(partContinues)
		if frame == nil {
			if next = f.queue.next(now); next == nil || f.over {
				f.queued = false
				break
			}
			frame, at, part = *next.first().buffer, next.first().at, 0
		}
		room := most - len(b) - frameHead
		if more, full = len(b)-begin >= turnBytes, room < len(frame) && (len(b) > 0 || room <= 0); more || full {
			more = true
			break
		}
		r := record{what: sayFrame, to: f.id, from: f.own.id, number: f.number, messages: f.messages, at: at, part: part, frame: frame}
		if len(frame) > room {
			r.frame, r.part = frame[:room], part|partMore
		}
		b = r.append(b)
		f.number++
		if r.part&partMore != 0 {
			f.rest, f.restAt = append([]byte(nil), frame[room:]...), at
		} else {
			f.rest = nil
			counts.crossed[0].pass(len(frame))
		}
		if next != nil {
			if next.first().kind == Message {
				f.messages++
			}
			f.queue.wrote(next, now)
		}
	}
	ask := f.queue.ask(now)
	f.mu.Unlock()
	if ask {
		f.own.askKey(nil)
	}
	return b, more, full
}

// come takes in a frame, or a part of one.
func (f *far) come(r *record, now int64, by *wsock.Line) {
	counts := &f.span.server.counts
	f.in.Lock()
	defer f.in.Unlock()
	if gap := r.number - f.next; gap != 0 {
		counts.drop(0, "lost")
		f.partial = nil
		f.own.miss()
	}
	f.next = r.number + 1
	// The messages before this one; of a frame in parts, each part says so.
	if r.part&partContinues == 0 && r.messages != f.hadMessages {
		f.hadMessages, f.lost = r.messages, true
	}
	frame := r.frame
	if r.part != 0 {
		if r.part&partContinues != 0 && f.partial == nil || len(f.partial)+len(frame) > FrameSize {
			f.partial = nil
			return // its beginning was lost
		}
		if r.part&partContinues == 0 {
			f.partial = make([]byte, 0, min(FrameSize, 4*len(frame)))
		}
		if f.partial = append(f.partial, frame...); r.part&partMore != 0 {
			return
		}
		frame, f.partial = f.partial, nil
	}
	if len(frame) < leastFrame || len(frame) > FrameSize || Kind(frame[0]) < Sound || Kind(frame[0]) >= kinds {
		counts.drop(0, "stray")
		return
	}
	counts.crossed[1].pass(len(frame))
	if Kind(frame[0]) == Message {
		f.hadMessages++
	}
	f.give(Kind(frame[0]), frame, f.since(r.at, now), now, by)
	f.tellLost(now)
}

// since is when the other node had a frame, by the clock of this one, if the shortest way
// there took no time. f.in is held.
func (f *far) since(at, now int64) int64 {
	apart := now - at
	if f.leastAt == 0 || apart < f.least {
		f.least = apart
	} else {
		f.least += min(apart-f.least, (now-f.leastAt)/slower)
	}
	f.leastAt = now
	return at + f.least
}

// give hands a frame to the socket here. f.in is held.
func (f *far) give(kind Kind, frame []byte, at, now int64, by *wsock.Line) {
	if kind == Message && len(f.held) > 0 {
		f.hold(frame, at)
		return
	}
	limit, ok := f.hand(kind, frame, at, now, by)
	switch {
	case ok:
	case kind == Message:
		f.hold(frame, at)
	default:
		f.span.server.counts.drop(kind, limit)
		if kind == Picture || kind == Key || kind == Piece {
			f.own.miss()
		}
	}
}

// hand does so if a limit lets it through, and tells the other end what has come of it.
func (f *far) hand(kind Kind, frame []byte, at, now int64, by *wsock.Line) (limit string, ok bool) {
	limit, ok, flood, ask := f.own.accept(kind, frame, at, now, by)
	if flood {
		f.flood(kind)
	}
	if ask {
		f.say(sayKey)
	}
	return limit, ok
}

func (f *far) flood(kind Kind) {
	f.span.server.counts.drop(kind, "flood")
	f.say(sayFlood)
}

// hold keeps a message until a limit lets it through: its sender cannot be held up from here,
// and has no more on its way than is answered for. f.in is held.
func (f *far) hold(frame []byte, at int64) {
	if f.heldBytes+len(frame) > messageBytes {
		f.flood(Message)
		return
	}
	f.held = append(f.held, heldMessage{at, append([]byte(nil), frame...)})
	f.heldBytes += len(frame)
	if len(f.held) == 1 {
		f.holds = 0
		f.pause = time.AfterFunc(f.span.server.timing.Hold, f.again)
	}
}

// again tries what is held once more.
func (f *far) again() {
	counts, now := &f.span.server.counts, f.span.server.hub.Now().UnixNano()
	f.in.Lock()
	defer f.in.Unlock()
	for len(f.held) > 0 {
		m := f.held[0]
		if limit, ok := f.hand(Message, m.payload, m.at, now, nil); !ok {
			if f.holds++; f.holds < maxHolds {
				f.pause = time.AfterFunc(f.span.server.timing.Hold, f.again)
				return
			}
			counts.drop(Message, limit)
		}
		f.holds = 0
		f.held, f.heldBytes = f.held[1:], f.heldBytes-len(m.payload)
	}
	f.held = nil
}

// tellLost tells both ends that a message may have been lost. f.in is held.
func (f *far) tellLost(now int64) {
	if f.lost && now-f.lostAt >= lostEvery {
		f.lost, f.lostAt = false, now
		f.own.meet(true)
		f.say(sayLost)
	}
}

// tend is called now and then.
func (f *far) tend(now int64) {
	f.in.Lock()
	defer f.in.Unlock()
	f.tellLost(now)
}
