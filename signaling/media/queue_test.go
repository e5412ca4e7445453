package media

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turnhub/signaling/internal/wsock"
)

const ms = int64(time.Millisecond)

// numbered is a frame of a kind with a number in it.
func numbered(kind Kind, number, size int) []byte {
	b := make([]byte, max(size, leastFrame))
	b[0] = byte(kind)
	binary.BigEndian.PutUint64(b[1:], uint64(number))
	return b
}

// popped takes frames apart into kinds and numbers.
func popped(t *testing.T, wire []byte) (numbers []int) {
	t.Helper()
	for len(wire) > 0 {
		head, length := 2, int(wire[1])
		switch length {
		case 126:
			head, length = 4, int(binary.BigEndian.Uint16(wire[2:]))
		case 127:
			head, length = 10, int(binary.BigEndian.Uint64(wire[2:]))
		}
		if wire[0] != 0x80|wsock.OpBinary || len(wire) < head+length {
			t.Fatalf("%x is no frame", wire[:2])
		}
		numbers = append(numbers, int(binary.BigEndian.Uint64(wire[head+1:])))
		wire = wire[head+length:]
	}
	return numbers
}

// sent is what the reference knows of a frame.
type sent struct {
	kind Kind
	at   int64
	size int
	out  bool
}

// TestQueueAgainstReference plays random schedules. What comes out went in, once, whole
// and in the order of its kind; no sound and no beginning of a picture is older than it
// may be; no picture comes whose predecessors up to the last key picture did not all come;
// messages and reports all come; what waits is bounded, and nothing is left behind.
func TestQueueAgainstReference(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var c counts
		q := queue{counts: &c}
		var in []sent
		now := int64(1e18)
		lastOf := map[Kind]int{}
		chain := -1       // the last of the pictures that came
		keyAt := int64(0) // when the last key picture did
		take := func(wire []byte) {
			for _, n := range popped(t, wire) {
				m := &in[n]
				lane := m.kind
				if m.kind == Picture || m.kind == Piece {
					lane = Key
				}
				if last, ok := lastOf[lane]; m.out || ok && n < last {
					t.Fatalf("seed %d: frame %d after %d", seed, n, last)
				}
				m.out, lastOf[lane] = true, n
				age := now - m.at
				switch m.kind {
				case Sound:
					if age > soundAge {
						t.Fatalf("seed %d: sound %d ms old", seed, age/ms)
					}
				case Key, Picture, Piece:
					if limit := map[bool]int64{false: pictureAge, true: lateAge}[m.kind == Piece || m.kind != Key && now-keyAt < keyBurst]; age > limit && (m.kind != Key || now-keyAt >= keyBurst) {
						t.Fatalf("seed %d: picture %d ms old", seed, age/ms)
					}
					if m.kind != Key {
						before := n - 1
						for before >= 0 && !slices.Contains([]Kind{Key, Picture, Piece}, in[before].kind) {
							before--
						}
						if before < 0 || before != chain {
							t.Fatalf("seed %d: picture %d builds on %d, the last that came is %d", seed, n, before, chain)
						}
					}
					if chain = n; m.kind == Key {
						keyAt = now
					}
				}
			}
		}
		asked := int64(0)
		for range 50 + rng.IntN(200) {
			now += int64(rng.IntN(80)) * ms / 2
			if rng.IntN(4) > 0 {
				kind := []Kind{Sound, Sound, Picture, Picture, Piece, Key, Message, Report}[rng.IntN(8)]
				m := sent{kind: kind, at: now, size: leastFrame + rng.IntN(5_000)}
				if q.push(kind, numbered(kind, len(in), m.size), now, now) {
					t.Fatalf("seed %d: flood below the bound", seed)
				}
				in = append(in, m)
				if kind == Message || kind == Report {
					// within the bound: a test of its own goes beyond
					if q.messages.bytes+q.reports.bytes > messageBytes/2 {
						take(q.pop(nil, 1<<30, now))
					}
				}
			} else {
				limit := rng.IntN(40_000)
				b := q.pop(nil, limit, now)
				if len(popped(t, b)) > 1 && len(b) > limit {
					t.Fatalf("seed %d: %d bytes for %d", seed, len(b), limit)
				}
				take(b)
			}
			if q.ask(now) {
				if now-asked < keyEvery {
					t.Fatalf("seed %d: asked after %d ms", seed, (now-asked)/ms)
				}
				asked = now
			}
			if q.sound.bytes > soundBytes || q.pictures.bytes > pictureBytes || q.messages.bytes+q.reports.bytes > messageBytes {
				t.Fatalf("seed %d: %d, %d and %d bytes wait", seed, q.sound.bytes, q.pictures.bytes, q.messages.bytes)
			}
		}
		for {
			b := q.pop(nil, 4096, now)
			if len(b) == 0 {
				break
			}
			take(b)
		}
		fate := make(map[Kind]int)
		for i, m := range in {
			if !m.out {
				fate[m.kind]++
				if m.kind == Message || m.kind == Report {
					t.Fatalf("seed %d: message %d is lost", seed, i)
				}
			}
		}
		for kind := range Kind(kinds) {
			dropped := 0
			for _, n := range c.dropped[kind].Copy() {
				dropped += int(n)
			}
			if dropped != fate[kind] {
				t.Fatalf("seed %d: %d %s dropped, %d counted", seed, fate[kind], kindNames[kind], dropped)
			}
		}
		for _, l := range []*lane{&q.sound, &q.reports, &q.pictures, &q.messages} {
			if l.bytes != 0 || l.len() != 0 || cap(l.frames) > laneKept {
				t.Fatalf("seed %d: an empty lane holds %d bytes, room for %d", seed, l.bytes, cap(l.frames))
			}
		}
	}
}

// play has a line of so many bytes a millisecond take what waits; send is called every
// millisecond, got for what arrives.
func play(t *testing.T, q *queue, rate, seconds int, send func(now int64), got func(number int, now int64)) {
	t.Helper()
	credit := 0
	for now := int64(1e18); now < int64(1e18)+int64(seconds)*1000*ms; now += ms {
		send(now)
		credit = min(credit+rate, 2*rate)
		for credit > 0 {
			b := q.pop(nil, 1, now)
			if len(b) == 0 {
				break
			}
			credit -= len(b)
			for _, n := range popped(t, b) {
				got(n, now)
			}
		}
	}
}

// TestSoundOnANarrowLine: at 130 kbit/s, with files beside, and pictures that are too large
// for two seconds, no sound is lost or late. Pictures come again after the next key picture.
func TestSoundOnANarrowLine(t *testing.T) {
	var c counts
	q := &queue{counts: &c}
	var in []sent
	push := func(kind Kind, size int, now int64) {
		if !q.push(kind, numbered(kind, len(in), size), now, now) {
			in = append(in, sent{kind: kind, at: now, size: size})
		}
	}
	key, spoken := true, 0
	heard, worst, arrived := 0, int64(0), map[Kind]int{}
	begun, last := int64(1e18), int64(0)
	play(t, q, 16, 30, func(now int64) {
		at := (now - begun) / ms
		if at%20 == 0 {
			push(Sound, 100, now)
			spoken++
		}
		if at%66 == 0 {
			if key {
				push(Key, 1200, now)
				for range 2 {
					push(Piece, 1200, now)
				}
			} else {
				push(Picture, map[bool]int{false: 300, true: 3000}[at > 10_000 && at < 12_000], now)
				push(Piece, 200, now)
			}
			key = q.ask(now)
		}
		if at%100 == 0 && q.messages.bytes < 10_000 {
			push(Message, 1000, now)
		}
	}, func(number int, now int64) {
		m := in[number]
		arrived[m.kind]++
		if m.kind == Picture {
			last = now - begun
		}
		if m.kind == Sound {
			heard++
			worst = max(worst, now-m.at)
		}
	})
	t.Logf("heard %d of %d, the latest after %d ms; %v", heard, spoken, worst/ms, arrived)
	if heard < spoken-3 || worst > 200*ms {
		t.Errorf("%d of %d heard, the latest after %d ms", heard, spoken, worst/ms)
	}
	if arrived[Key] < 2 || arrived[Picture] < 300 || arrived[Message] < 30 || last < 29_900*ms {
		t.Errorf("arrived: %v, the last picture after %d ms", arrived, last/ms)
	}
}

// TestMessagesAreBounded: the 256 KiB that may wait are the sender's own doing.
func TestMessagesAreBounded(t *testing.T) {
	q := &queue{counts: new(counts)}
	for i := range 1000 {
		if q.push(Message, numbered(Message, i, 16<<10), 1, 1) {
			if i != 16 {
				t.Errorf("refused the %dth", i)
			}
			return
		}
	}
	t.Error("never refused")
}

// TestNothingIsReadFor holds what a receiver costs that reads nothing, however long.
func TestNothingIsReadFor(t *testing.T) {
	var c counts
	q := &queue{counts: &c}
	for i := range 10_000 {
		now := int64(1e18) + int64(i)*20*ms
		q.push(Sound, numbered(Sound, i, 200), now, now)
		q.push([]Kind{Picture, Picture, Piece, Key}[i/500%4], numbered(Picture, i, 3000), now, now)
		q.ask(now)
		if n := q.sound.bytes + q.pictures.bytes; n > soundBytes+pictureBytes {
			t.Fatalf("%d bytes wait", n)
		}
	}
	if n := q.sound.len(); n > 21 {
		t.Errorf("%d packets of sound wait", n)
	}
	q.clear()
	if q.sound.len()+q.pictures.len() != 0 {
		t.Error("not cleared")
	}
}

// TestQueueLeavesNoGarbage: the data path allocates nothing.
func TestQueueLeavesNoGarbage(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	q := &queue{counts: new(counts)}
	sound, key := numbered(Sound, 1, 100), numbered(Key, 2, 1200)
	buf := make([]byte, 0, 32<<10)
	now := int64(1e18)
	round := func() {
		now += 20 * ms
		for range 4 {
			q.push(Sound, sound, now, now)
			q.push(Key, key, now, now)
		}
		buf = q.pop(buf[:0], 32<<10, now)
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n > 0.5 { // the pools may be emptied meanwhile
		t.Errorf("%.2f allocations", n)
	}
}
