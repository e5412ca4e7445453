package signaling

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTaken adds numbers that rise, with gaps, and says some again, beside a list of all.
func TestTaken(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	var x taken
	var all, refused []uint64
	next := uint64(0)
	for range 10_000 {
		if again, _ := x.add(0); again {
			t.Fatal("a message without a number has come before")
		}
		if len(all) > 0 && rng.IntN(3) == 0 {
			seq := all[rng.IntN(len(all))]
			again, bad := x.add(seq)
			recent := slices.Index(refused, seq) >= max(0, len(refused)-mostRefused)
			if !again || bad != recent {
				t.Fatalf("%d: again %v, refused %v, not %v", seq, again, bad, recent)
			}
			continue
		}
		next += 1 + uint64(rng.IntN(3))
		if again, _ := x.add(next); again {
			t.Fatalf("%d has come before", next)
		}
		all = append(all, next)
		if rng.IntN(4) == 0 {
			x.refuse(next)
			refused = append(refused, next)
		}
	}
	if len(x.refused) > mostRefused {
		t.Errorf("%d refused ones are remembered", len(x.refused))
	}
}

// TestSaidAgain: what a node has heard of a session before, under whatever number of its
// stream, comes to nobody once more, and counts as handled.
func TestSaidAgain(t *testing.T) {
	m := newNodesModel(t, 1)
	m.tight = false
	one, two := m.clients[0], m.clients[1]
	one.begin(m.nodes[0])
	two.begin(m.nodes[1])
	for i, c := range []*modelClient{one, two} {
		c.say(fmt.Sprintf(`"type":"join","room":"blue","id":%d`, i+1))
	}
	for range 20 {
		m.step(200 * time.Millisecond)
		for _, n := range m.nodes {
			m.settleHomes(n)
			for _, o := range m.nodes {
				m.deliver(n, o, 1000)
			}
		}
	}
	one.read(100)
	two.read(100)
	a, b := m.nodes[0], m.nodes[1]
	b.queues[0] = nil
	sender, receiver := a.hub.directory.members.Get(one.id), b.hub.directory.members.Get(two.id)
	text := fmt.Sprintf(`{"type":"message","from":%q,"data":"x`, one.id)
	frame := func(kind byte, number, seq uint64) []byte {
		f := binary.AppendUvarint([]byte{kind}, number)
		f = binary.AppendUvarint(f, uint64(sender.ref))
		f = binary.AppendUvarint(f, seq)
		if kind == kindOne {
			f = binary.AppendUvarint(f, uint64(receiver.ref))
			return append(f, text+fmt.Sprint(seq)+`"`...)
		}
		f = append(binary.AppendUvarint(f, 4), "blue"...)
		return append(f, text+fmt.Sprint(seq)+`","room":"blue"`...)
	}
	var heard []string
	for i, f := range [][]byte{
		frame(kindOne, 1, 5), frame(kindOne, 2, 5), frame(kindAll, 3, 5), frame(kindAll, 4, 7), frame(kindAll, 5, 7), frame(kindOne, 6, 6), frame(kindOne, 7, 0), frame(kindOne, 8, 0),
	} {
		b.hub.FromNode("a", [][]byte{f})
		for _, f := range pullFrames(t, two.socket) {
			heard = append(heard, f.str("data"))
		}
		done := b.queues[0][len(b.queues[0])-1].text
		if want := binary.AppendUvarint([]byte{kindDone}, uint64(i+1)); !slices.Equal(done, want) {
			t.Errorf("message %d is answered with %q", i+1, done)
		}
	}
	if want := []string{"x5", "x7", "x0", "x0"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, not %q", heard, want)
	}
}
