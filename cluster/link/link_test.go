package link

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// end is one end of the model and what its owner knows.
type end struct {
	*Link
	way  [][]byte // packets to the other end
	said []string // in this generation
	got  []string
}

// model is two ends over a network that loses, repeats and overtakes.
type model struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Duration
	ends  [2]*end
	said  int
	trace []string
}

func (m *model) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	for i := range m.ends {
		m.ends[i] = &end{Link: New(1+m.rng.Uint64N(3), 0)}
	}
	m.log("seed %d", seed)
	return m
}

// forget voids what was said and heard before a generation.
func (e *end) forget() { e.said, e.got = nil, nil }

func (m *model) say(i int) {
	e := m.ends[i]
	m.said++
	text := fmt.Sprint(m.said)
	if m.rng.IntN(20) == 0 {
		text += strings.Repeat("x", m.rng.IntN(3*pieceSize))
	}
	if !e.Add([]byte(text)) {
		m.fail("a frame does not fit")
	}
	e.said = append(e.said, text)
}

func (m *model) send(i int) {
	e := m.ends[i]
	for {
		b := e.Next(nil, m.now)
		if len(b) == 0 {
			if e.Wait(m.now) == 0 {
				m.fail("end %d waits for nothing", i)
			}
			return
		}
		if len(b) > packetSize+64 {
			m.fail("a packet of %d bytes", len(b))
		}
		e.way = append(e.way, b)
	}
}

// arrive lets one packet arrive at the other end of i.
func (m *model) arrive(i, at int, again bool) {
	from, to := m.ends[i], m.ends[1-i]
	packet := from.way[at]
	if !again {
		from.way = slices.Delete(from.way, at, at+1)
	}
	frames, anew, err := to.Take(slices.Clone(packet), m.now)
	if err != nil {
		m.fail("end %d: %v", 1-i, err)
	}
	if anew {
		m.log("end %d follows to %d", 1-i, to.Generation())
		to.forget()
	}
	for _, f := range frames {
		to.got = append(to.got, string(f))
	}
	m.compare()
}

// compare sees that each end has heard the beginning of what the other has said, where
// both are of one generation.
func (m *model) compare() {
	for i, e := range m.ends {
		o := m.ends[1-i]
		if e.Generation() != o.Generation() {
			continue
		}
		if len(e.got) > len(o.said) || !slices.Equal(e.got, o.said[:len(e.got)]) {
			m.fail("end %d has heard %.200q, said was %.200q", i, e.got, o.said)
		}
		if done := len(o.said) - o.frames(); done > len(e.got) {
			m.fail("%d frames count as taken, and end %d has %d", done, i, len(e.got))
		}
	}
}

// frames is how many frames wait, the one that is half taken with them.
func (l *Link) frames() (n int) {
	for _, p := range l.pieces {
		if p.last {
			n++
		}
	}
	return n
}

func (m *model) act() {
	i := m.rng.IntN(2)
	e := m.ends[i]
	switch x := m.rng.IntN(100); {
	case x < 30:
		m.say(i)
	case x < 55:
		m.send(i)
	case x < 85:
		if n := len(e.way); n > 0 {
			at := 0
			if m.rng.IntN(8) == 0 {
				at = m.rng.IntN(n)
			}
			m.arrive(i, at, m.rng.IntN(8) == 0)
		}
	case x < 90:
		if n := len(e.way); n > 0 {
			at := m.rng.IntN(n)
			e.way = slices.Delete(e.way, at, at+1)
		}
	case x < 92:
		m.log("all packets of end %d are lost", i)
		e.way = nil
	case x < 93:
		m.log("end %d gives up", i)
		e.Reset(0, m.now)
		e.forget()
	default:
		m.now += time.Duration(m.rng.IntN(1500)) * time.Millisecond
	}
}

// settle lets everything arrive.
func (m *model) settle() {
	for round := 0; ; round++ {
		if round > 10000 {
			m.fail("it does not settle: %+v and %+v", m.ends[0].Link, m.ends[1].Link)
		}
		for i := range m.ends {
			m.send(i)
			for len(m.ends[i].way) > 0 {
				m.arrive(i, 0, false)
			}
		}
		a, b := m.ends[0], m.ends[1]
		if a.Generation() == b.Generation() && a.Waiting() == 0 && b.Waiting() == 0 && a.Wait(m.now) < 0 && b.Wait(m.now) < 0 {
			break
		}
		m.now += 50 * time.Millisecond
	}
	for i, e := range m.ends {
		if o := m.ends[1-i]; !slices.Equal(e.got, o.said) || o.bytes != 0 || o.onWay != 0 {
			m.fail("end %d has %d of %d; %d bytes are kept, %d on their way", i, len(e.got), len(o.said), o.bytes, o.onWay)
		}
	}
}

// TestStream plays random schedules, each of which it can repeat from its seed.
func TestStream(t *testing.T) {
	schedules := 5_000
	if os.Getenv("E2E_LONG") != "" {
		schedules = 400_000
	}
	first := uint64(time.Now().UnixNano())
	t.Logf("seeds from %d", first)
	for i := range schedules {
		m := newModel(t, first+uint64(i))
		for range 50 + m.rng.IntN(100) {
			m.act()
		}
		m.settle()
	}
}

// FuzzTake: no packet harms an end.
func FuzzTake(f *testing.F) {
	l := New(3, 0)
	l.Add([]byte("hello"))
	f.Add(l.Next(nil, 0))
	f.Add(binary.AppendUvarint([]byte{version, 0}, 1<<62))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := New(3, 0)
		l.Add(make([]byte, 2*pieceSize))
		l.Next(nil, 0)
		_, _, _ = l.Take(b, 1)
		if l.bytes < 0 || l.onWay < 0 || l.sent < l.base {
			t.Fatalf("%+v", l)
		}
	})
}
