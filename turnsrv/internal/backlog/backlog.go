// Package backlog keeps what is relayed to a client over TCP or TLS whose line does not
// take it at once: late is worse than lost. It does no I/O and asks for no time.
package backlog

import "encoding/binary"

// Queue is what a stream client's line has not taken yet. What it carries is
// media, and there late is worse than lost: a message that has waited for too long
// is dropped, whole, where a TCP stream by itself would deliver all of it and ever
// later. Answers to requests go first and are never dropped.
//
// It is the idea of RFC 8290 (FQ-CoDel), as small as it can be. Media wait in
// flows, one for each channel and of its large and its small packets, so that one
// peer's flood starves nobody else and a picture delays no sound. Of each flow CoDel
// (RFC 8289) drops from the head. It differs in one thing: once it drops it goes on
// until what is left is fresh, where CoDel drops one, waits, and drops the next a
// little sooner. Its way is made for TCP flows, which slow down at the first loss;
// a sender of media reacts to the rate of losses, a second later, and until then the
// queue would grow. What a data channel says in few words is not dropped for its age.
type Queue struct {
	bytes    int
	Age      MaxAge
	answers  [][]byte
	flows    map[uint16]*flow
	fresh    []*flow // have come lately: they go before
	standing []*flow // those that have sent their share already, in the order of their next

	Waited *Waited // where the queue counts what it sends and drops for age
}

// MaxAge is how long media may wait, in nanoseconds.
type MaxAge struct {
	target   int64 // what is this fresh is never dropped
	interval int64 // for so long nothing needs to be fresh: that is a burst
	limit    int64 // older than this nothing is delivered
}

// AgeFor is the bound for a path with this round trip, in nanoseconds. A burst
// needs some round trips until the congestion window has let it through.
func AgeFor(roundTrip int64) MaxAge {
	return MaxAge{target: 20e6 + roundTrip, interval: 100e6 + roundTrip, limit: 300e6 + 2*roundTrip}
}

// flow is a part of the media.
type flow struct {
	key     uint16
	credit  int // bytes that it may send in this round of all flows
	waiting []waiting
	above   int64 // when an interval without anything fresh is over, 0: none has begun
	fresh   int64 // when an interval in which all is fresh is over, 0: none has begun
}

type waiting struct {
	buf []byte
	at  int64 // nanoseconds of the server's clock
}

const (
	streamQueue = 256 << 10 // bytes that wait for a client at most
	smallMedia  = 400       // bytes: sound and connectivity checks are smaller, pictures mostly larger
	flowCredit  = 1514      // bytes in a round: the quantum of RFC 8290
	mediaFlows  = 64        // at most; channels share them where a client has more
)

// flowOf tells the flow of a ChannelData message or a Data indication.
func flowOf(b []byte) uint16 {
	key := binary.BigEndian.Uint16(b) % (mediaFlows / 2) << 1
	if len(b) <= smallMedia {
		key |= 1
	}
	return key
}

// sentAgain reports whether what a message carries is sent again until it arrives: a
// small packet of a data channel (ChannelData with DTLS in it, RFC 7983), which says or
// acknowledges something. There lost is worse than late: all that is said after it waits
// for a second or more, and what the other way carries waits for its acknowledgement, so
// that both sides take a line that is narrow one way for one that is narrow both ways.
func sentAgain(b []byte) bool {
	return len(b) > 4 && len(b) <= smallMedia && b[0]>>6 == 1 && b[4] >= 20 && b[4] <= 63
}

// Empty reports whether nothing waits.
func (q *Queue) Empty() bool { return q.bytes == 0 }

// Push copies a message into the queue and returns how many media had to go because
// it is full. ok is false when there is no room even so: the client is lost.
func (q *Queue) Push(b []byte, media bool, now int64) (dropped int, ok bool) {
	for q.bytes+len(b) > streamQueue {
		f := q.longest()
		if f == nil {
			return dropped, false
		}
		q.dropHead(f)
		dropped++
	}
	q.bytes += len(b)
	own := append([]byte(nil), b...)
	if !media {
		q.answers = append(q.answers, own)
		return dropped, true
	}
	key := flowOf(b)
	f := q.flows[key]
	if f == nil {
		if q.flows == nil {
			q.flows = make(map[uint16]*flow)
		}
		f = &flow{key: key, credit: flowCredit}
		q.flows[key] = f
		q.fresh = append(q.fresh, f)
	}
	// Of a client that reads nothing at all only what is too old to be sent is dropped
	// here, or a slow peer's packets would wait to no purpose.
	for len(f.waiting) > 0 && now-f.waiting[0].at > q.Age.limit && !sentAgain(f.waiting[0].buf) {
		q.dropHead(f)
		q.Waited.Late++
	}
	f.waiting = append(f.waiting, waiting{own, now})
	return dropped, true
}

// longest is the flow with the most messages, nil if there are no media.
func (q *Queue) longest() (longest *flow) {
	for _, f := range q.flows {
		if len(f.waiting) > 0 && (longest == nil || len(f.waiting) > len(longest.waiting)) {
			longest = f
		}
	}
	return longest
}

func (q *Queue) dropHead(f *flow) {
	q.bytes -= len(f.waiting[0].buf)
	f.waiting[0] = waiting{}
	f.waiting = f.waiting[1:]
}

// Pop moves whole messages from the queue to the end of b, up to limit bytes in b,
// but one at least where there is one that is not too old.
func (q *Queue) Pop(b []byte, limit int, now int64) []byte {
	fits := func(n int) bool { return len(b) == 0 || len(b)+n <= limit }
	for len(q.answers) > 0 {
		if !fits(len(q.answers[0])) {
			return b
		}
		b = append(b, q.answers[0]...)
		q.bytes -= len(q.answers[0])
		q.answers[0] = nil
		q.answers = q.answers[1:]
	}
	for {
		list := &q.fresh
		if len(*list) == 0 {
			list = &q.standing
		}
		if len(*list) == 0 {
			break
		}
		f := (*list)[0]
		if f.credit <= 0 {
			f.credit += flowCredit
			*list = (*list)[1:]
			q.standing = append(q.standing, f)
			continue
		}
		q.dropLate(f, now)
		if len(f.waiting) == 0 {
			// One that was fresh keeps its place for a round, or a peer that sends a
			// little often would always go first.
			*list = (*list)[1:]
			if list == &q.fresh {
				q.standing = append(q.standing, f)
			} else {
				delete(q.flows, f.key)
			}
			continue
		}
		m := f.waiting[0]
		if !fits(len(m.buf)) {
			return b
		}
		b = append(b, m.buf...)
		q.Waited.sent(now - m.at)
		f.credit -= len(m.buf)
		q.dropHead(f)
	}
	q.flows, q.fresh, q.standing, q.answers = nil, nil, nil, nil // an idle stream holds nothing
	return b
}

// dropLate drops what is too old to be sent from the head of a flow: whatever is
// above the limit; and once nothing was fresh for an interval, whatever is above the
// target, until all has been fresh for an interval.
func (q *Queue) dropLate(f *flow, now int64) {
	for len(f.waiting) > 0 {
		age := now - f.waiting[0].at
		if age <= q.Age.target || (len(f.waiting) == 1 && age <= q.Age.limit) {
			switch {
			case f.above == 0:
			case f.fresh == 0:
				f.fresh = now + q.Age.interval
			case now >= f.fresh:
				f.above, f.fresh = 0, 0
			}
			return
		}
		f.fresh = 0
		if sentAgain(f.waiting[0].buf) {
			return
		}
		if age <= q.Age.limit {
			if f.above == 0 {
				f.above = now + q.Age.interval
			}
			if now < f.above {
				return
			}
		}
		q.dropHead(f)
		q.Waited.Late++
	}
}
