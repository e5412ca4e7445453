package delivery

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The model of delivery with an image: as TestStreams, but what happens is mirrored by a
// second node that lags, and now and then the first one dies: then the second one has the
// session by its image, and the client comes back to it. Messages may be held for a while.
// The client must not notice: both have heard of each other the same as if there were one.

// imageFrame is what goes to the second node at once.
type imageFrame struct {
	kept       Kept
	said, told int // by the floor above
	last, done uint64
}

// lagging is the Mirror: it has one session at a time.
type lagging struct {
	m       *mirrorModel
	depth   int
	changed bool
}

func (l *lagging) Enter() {
	if l.depth++; l.depth != 1 {
		l.m.fail("within each other")
	}
}

func (l *lagging) Changed(ref Ref) { l.changed = true }

func (l *lagging) Leave() {
	l.depth--
	l.flush()
}

func (l *lagging) flush() {
	m := l.m
	ref := m.above.latest
	s := m.above.sessions[ref]
	if ref != m.of { // another session: the client came too late
		m.of, m.imaged, m.image, m.way, m.held = ref, false, Kept{}, nil, nil
		l.changed = true
	}
	if !l.changed || s == nil || s.ended != "" {
		return
	}
	l.changed = false
	var k Kept
	done, is := m.node.Take(ref, false, &k)
	if !is {
		m.fail("there is nothing to take")
	}
	m.stay = m.node.Stay(ref)
	m.way = append(m.way, imageFrame{k, len(s.said), len(s.told), k.Last, done})
}

type mirrorModel struct {
	*streamModel
	mirror *lagging
	stay   Stay
	way    []imageFrame
	image  Kept
	isSaid int
	isTold int
	of     Ref // whose image it is
	imaged bool
	held   []uint64
	deaths int
}

func newMirrorModel(t *testing.T, seed uint64) *mirrorModel {
	m := &mirrorModel{streamModel: newStreamModel(t, seed)}
	m.rng = rand.New(rand.NewPCG(seed, 5))
	m.begin()
	return m
}

// begin starts a node.
func (m *mirrorModel) begin() {
	m.mirror = &lagging{m: m}
	m.node = newModelNode(m.streamModel, m.mirror)
	m.above.post, m.above.hold = m.node, m.hold
	m.node.Gate()
}

func (m *mirrorModel) hold(ref Ref) {
	if m.rng.IntN(3) == 0 {
		m.held = append(m.held, m.node.Hold(ref))
	}
}

// arrive brings some of what is on its way to the image, and the gates hear of it.
func (m *mirrorModel) arrive(n int) {
	for ; n > 0 && len(m.way) > 0; n-- {
		f := m.way[0]
		m.way = m.way[1:]
		if f.kept.Last-uint64(len(f.kept.Items)) != m.image.Last && len(f.kept.Items) > 0 {
			m.fail("%d items up to %d after %d", len(f.kept.Items), f.kept.Last, m.image.Last)
		}
		items := append(slices.Clone(m.image.Items), f.kept.Items...)
		m.image = f.kept
		m.image.Items = items[len(items)-min(len(items), int(f.kept.Last-f.kept.Base)):]
		m.isSaid, m.isTold = f.said, f.told
		m.imaged = true
		m.node.Open(Openable{m.of, f.last, f.done})
	}
}

// die ends the node; the second one opens the session.
func (m *mirrorModel) die() {
	if !m.alive || !m.imaged {
		return // it was not there yet, or is over
	}
	m.log("the node dies; the image has %+v", m.image)
	m.deaths++
	old := m.above.sessions[m.ref]
	again := &heardSession{id: old.id, said: slices.Clone(old.said[:m.isSaid]), told: slices.Clone(old.told[:m.isTold])}
	if m.acked > uint64(m.isSaid) || m.handled > uint64(m.isTold) {
		m.fail("the client has heard of %d and %d, the image of %d and %d", m.acked, m.handled, m.isSaid, m.isTold)
	}
	m.begin()
	m.held, m.way, m.old = nil, nil, nil
	m.above.sessions = map[Ref]*heardSession{}
	ref, ok := m.node.Adopt("a", m.stay, m.image, false)
	if !ok {
		m.fail("not adopted")
	}
	m.ref, m.of, m.above.latest, m.above.sessions[ref] = ref, ref, ref, again
	m.mirror.changed = false
	var k Kept
	done, _ := m.node.Take(ref, true, &k)
	m.stay = m.node.Stay(ref)
	m.image = Kept{Last: k.Last - uint64(len(k.Items))}
	m.way = append(m.way, imageFrame{k, m.isSaid, m.isTold, k.Last, done})
	m.arrive(1)
	m.connect()
	m.id, m.token = m.socket.Session()
}

// TestMirrored plays random schedules, each of which it can repeat from its seed.
func TestMirrored(t *testing.T) {
	schedules := 1_000
	if os.Getenv("E2E_LONG") != "" {
		schedules = 50_000
	}
	first := uint64(time.Now().UnixNano())
	t.Logf("seeds from %d", first)
	deaths, redone := 0, 0
	for i := range schedules {
		m := newMirrorModel(t, first+uint64(i))
		m.connect()
		for range 50 + m.rng.IntN(200) {
			switch x := m.rng.IntN(100); {
			case x < 15:
				m.arrive(1 + m.rng.IntN(3))
			case x < 20 && len(m.held) > 0:
				i := m.rng.IntN(len(m.held))
				m.node.Release(m.ref, m.held[i], nil)
				m.held = slices.Delete(m.held, i, i+1)
				m.mirror.flush()
			case x < 23:
				m.die()
			default:
				m.act()
				m.mirror.flush()
			}
		}
		m.settleMirrored()
		deaths, redone = deaths+m.deaths, redone+m.above.again
	}
	t.Logf("%d schedules, %d deaths, %d messages handled again", schedules, deaths, redone)
	if deaths < schedules || redone < schedules/4 {
		t.Errorf("only %d deaths and %d messages handled again", deaths, redone)
	}
}

// settleMirrored lets everything arrive: each has heard all that the other has said, and the
// client has it acknowledged.
func (m *mirrorModel) settleMirrored() {
	m.connect()
	for _, text := range m.up {
		m.socket.Say([]byte(text), m.now)
	}
	m.up = nil
	for _, h := range m.held {
		m.node.Release(m.ref, h, nil)
	}
	m.mirror.flush()
	m.arrive(len(m.way))
	m.step(2 * time.Second)
	for m.pull(); len(m.down) > 0; m.pull() {
		for len(m.down) > 0 {
			m.take()
		}
	}
	s := m.above.live(m.ref, "the end")
	m.compare(s)
	if len(s.said) != len(m.outbox) || len(m.got) != len(s.told) || m.acked != m.sent {
		m.fail("the hub has heard %d of %d, the client %d of %d; %d are acknowledged", len(s.said), len(m.outbox), len(m.got), len(s.told), m.acked)
	}
	for i, text := range s.said {
		if !strings.Contains(m.outbox[i], `"`+text[1:]) {
			m.fail("%s is not in %s", text, m.outbox[i])
		}
	}
}
