package backlog

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// mediaMessage is ChannelData on a channel with a number in it.
func mediaMessage(channel uint16, number uint32, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint16(b, channel)
	binary.BigEndian.PutUint32(b[4:], number)
	return b
}

const ms = int64(1e6)

// TestBacklogAgainstReference plays random schedules against a list: what comes out
// went in, once, whole, in the order of its flow; answers all come, in their order
// and before media; what is fresh is never dropped, what is older than the limit never
// sent; the sums are right.
func TestBacklogAgainstReference(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		q := Queue{Age: AgeFor(int64(rng.IntN(60)) * ms), Waited: new(Waited)}
		type sent struct {
			at    int64
			size  int
			media bool
			key   uint16
			gone  bool
		}
		var in []sent
		now, bytes, full := int64(1), 0, 0
		lastOf := make(map[uint16]uint32) // the newest number that came out of a flow
		lastAnswer := -1
		take := func(b []byte) {
			for len(b) > 0 {
				number := binary.BigEndian.Uint32(b[4:])
				m := &in[number]
				if m.gone {
					t.Fatalf("seed %d: message %d twice", seed, number)
				}
				m.gone = true
				bytes -= m.size
				b = b[m.size:]
				if !m.media {
					if int(number) < lastAnswer {
						t.Fatalf("seed %d: answer %d after %d", seed, number, lastAnswer)
					}
					lastAnswer = int(number)
					continue
				}
				if last, ok := lastOf[m.key]; ok && number < last {
					t.Fatalf("seed %d: message %d of flow %d after %d", seed, number, m.key, last)
				}
				lastOf[m.key] = number
				if now-m.at > q.Age.limit {
					t.Fatalf("seed %d: message %d is %d ms old", seed, number, (now-m.at)/ms)
				}
			}
		}
		for range 40 + rng.IntN(200) {
			now += int64(rng.IntN(30)) * ms / 2
			switch rng.IntN(3) {
			case 0, 1:
				m := sent{at: now, size: 8 + rng.IntN(1400), media: rng.IntN(8) > 0}
				b := mediaMessage(0x4000+uint16(rng.IntN(3)), uint32(len(in)), m.size)
				m.key = flowOf(b)
				in = append(in, m)
				bytes += m.size
				dropped, ok := q.Push(b, m.media, now)
				full += dropped
				if !ok || dropped > 0 {
					t.Fatalf("seed %d: %d dropped below the bound, %v", seed, dropped, ok)
				}
			case 2:
				limit := 1500 + rng.IntN(8000)
				before := q.Waited.Late
				b := q.Pop(nil, limit, now)
				if len(b) > limit {
					t.Fatalf("seed %d: %d bytes for %d", seed, len(b), limit)
				}
				if q.Waited.Late == before && len(b) == 0 && bytes > 0 {
					t.Fatalf("seed %d: nothing came of %d bytes", seed, bytes)
				}
				take(b)
			}
			// What was dropped is what stands before one of its flow that came out.
			late := uint64(0)
			bytes = 0
			for i := range in {
				m := &in[i]
				if m.gone {
					continue
				}
				if m.media && !slices.ContainsFunc(q.of(m.key), func(w waiting) bool { return binary.BigEndian.Uint32(w.buf[4:]) == uint32(i) }) {
					if now-m.at <= q.Age.target {
						t.Fatalf("seed %d: message %d was dropped when %d ms old", seed, i, (now-m.at)/ms)
					}
					late++
					continue
				}
				bytes += m.size
			}
			if late != q.Waited.Late || bytes != q.bytes {
				t.Fatalf("seed %d: %d late and %d bytes, want %d and %d", seed, q.Waited.Late, q.bytes, late, bytes)
			}
		}
		now += 1
		for !q.Empty() {
			take(q.Pop(nil, 4096, now))
		}
		for i, m := range in {
			if !m.media && !m.gone {
				t.Fatalf("seed %d: answer %d is lost", seed, i)
			}
		}
		if q.flows != nil || q.answers != nil {
			t.Fatalf("seed %d: an empty queue holds %d flows", seed, len(q.flows))
		}
	}
}

func (q *Queue) of(key uint16) []waiting {
	if f := q.flows[key]; f != nil {
		return f.waiting
	}
	return nil
}

// line plays a line of a rate, in bytes a millisecond, for seconds: send is called
// every millisecond, got for what arrives and how old it is.
func playLine(q *Queue, rate, seconds int, send func(now int64), got func(message []byte, age int64)) {
	credit := 0
	for now := ms; now < int64(seconds)*1000*ms; now += ms {
		send(now)
		credit = min(credit+rate, 2*rate+1500)
		for credit > 0 && !q.Empty() {
			b := q.Pop(nil, 1, now)
			credit -= len(b)
			if len(b) > 0 {
				got(b, now-int64(binary.BigEndian.Uint32(b[4:]))*ms)
			}
		}
	}
}

// TestLateIsWorseThanLost has a peer send twice what the line takes: what arrives is
// fresh, and the line is full.
func TestLateIsWorseThanLost(t *testing.T) {
	q := &Queue{Age: AgeFor(0), Waited: new(Waited)}
	var ages []int64
	bytes := 0
	playLine(q, 60, 30, func(now int64) {
		if now/ms%10 == 0 {
			q.Push(mediaMessage(0x4000, uint32(now/ms), 1200), true, now)
		}
	}, func(b []byte, age int64) {
		ages = append(ages, age)
		bytes += len(b)
	})
	slices.Sort(ages)
	if median, most := ages[len(ages)/2]/ms, ages[len(ages)-1]/ms; median > 40 || most > 200 {
		t.Errorf("ages: median %d ms, worst %d ms", median, most)
	}
	if share := float64(bytes) / (60 * 30000); share < 0.97 {
		t.Errorf("%.2f of the line used", share)
	}
}

// TestDataChannelIsNotDropped: of sound that is too much for the line a part is dropped,
// of what a data channel says between it nothing.
func TestDataChannelIsNotDropped(t *testing.T) {
	q := Queue{Age: AgeFor(0), Waited: new(Waited)}
	said, heard, sound := 0, 0, 0
	playLine(&q, 6, 10, func(now int64) {
		if now/ms%20 == 0 {
			q.Push(mediaMessage(0x4000, uint32(now/ms), 200), true, now)
		}
		if now/ms%250 == 0 && now < 9000*ms {
			said++
			q.Push(mediaMessage(0x4000, 23<<24|uint32(now/ms), 150), true, now)
		}
	}, func(message []byte, age int64) {
		if message[4] == 23 {
			heard++
		} else {
			sound++
		}
		if age > 500*ms {
			t.Errorf("%d ms old", age/ms)
		}
	})
	if heard != said || sound < 200 || sound > 400 {
		t.Errorf("%d of %d messages and %d of 500 packets of sound", heard, said, sound)
	}
}

// TestBurstIsNotLate has a key frame of 60 KB come at once on a line that takes it in
// 80 ms, again and again: nothing of it is dropped.
func TestBurstIsNotLate(t *testing.T) {
	q := &Queue{Age: AgeFor(0), Waited: new(Waited)}
	playLine(q, 750, 10, func(now int64) {
		if now/ms%500 == 1 {
			for range 50 {
				q.Push(mediaMessage(0x4000, uint32(now/ms), 1200), true, now)
			}
		}
	}, func([]byte, int64) {})
	if q.Waited.Late > 0 {
		t.Errorf("%d packets of bursts were dropped", q.Waited.Late)
	}
}

// TestFloodDelaysNobodyElse has one peer flood while another speaks: the sound of the
// other arrives whole and at once.
func TestFloodDelaysNobodyElse(t *testing.T) {
	q := &Queue{Age: AgeFor(0), Waited: new(Waited)}
	spoken, heard, worst := 0, 0, int64(0)
	playLine(q, 60, 20, func(now int64) {
		q.Push(mediaMessage(0x4000, uint32(now/ms), 1200), true, now)
		if now/ms%20 == 0 {
			q.Push(mediaMessage(0x4001, uint32(now/ms), 100), true, now)
			spoken++
		}
	}, func(b []byte, age int64) {
		if len(b) == 100 {
			heard++
			worst = max(worst, age)
		}
	})
	if heard < spoken-1 || worst > 45*ms {
		t.Errorf("%d of %d heard, the latest after %d ms", heard, spoken, worst/ms)
	}
}

// TestFullBacklog fills the queue: the longest flow pays, answers stay, and a client
// that takes nothing but answers is given up at the bound.
func TestFullBacklog(t *testing.T) {
	q := &Queue{Age: AgeFor(0), Waited: new(Waited)}
	for i := range uint32(10) {
		q.Push(mediaMessage(0x4001, i, 1200), true, 1)
	}
	dropped := 0
	for i := range uint32(300) {
		d, ok := q.Push(mediaMessage(0x4000, i, 1200), true, 1)
		dropped += d
		if !ok || q.bytes > streamQueue {
			t.Fatalf("%d bytes, %v", q.bytes, ok)
		}
	}
	if dropped == 0 || len(q.of(flowOf(mediaMessage(0x4001, 0, 1200)))) != 10 {
		t.Errorf("%d dropped, %d of the other peer left", dropped, len(q.of(flowOf(mediaMessage(0x4001, 0, 1200)))))
	}
	for i := range uint32(1000) {
		if _, ok := q.Push(mediaMessage(0, i, 600), false, 1); !ok {
			if n := len(q.answers); n < 400 {
				t.Errorf("given up with %d answers", n)
			}
			return
		}
	}
	t.Error("a queue of answers without end")
}
