package signaling

import "slices"

// taken is what a node has of the messages of one session on another node. Its client numbers
// them, and they come in that order: so the highest number says which of them have come
// before. The zero value is ready.
type taken struct {
	highest uint64
	refused []uint64 // the last of those that were not taken all the same, the newest last
}

// mostRefused is how many refused messages are remembered: a client has no more on their way
// that are not answered, or few more.
const mostRefused = 16

// add takes a message; 0: its client gave it no number. again says that it has come before,
// and bad that it was refused then.
func (t *taken) add(seq uint64) (again, bad bool) {
	if seq == 0 {
		return false, false
	}
	if seq <= t.highest {
		return true, slices.Contains(t.refused, seq)
	}
	t.highest = seq
	return false, false
}

// refuse says that a message which was added is not taken.
func (t *taken) refuse(seq uint64) {
	if seq == 0 {
		return
	}
	if len(t.refused) == mostRefused {
		t.refused = slices.Delete(t.refused, 0, 1)
	}
	t.refused = append(t.refused, seq)
}
