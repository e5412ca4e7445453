package backlog

import "time"

// Waited counts the media that had to wait for clients on slow lines; those that a
// line took at once are not among them.
type Waited struct {
	Sent         uint64                    // messages that left the queue for the client
	Microseconds uint64                    // that they had waited, in all
	Within       [len(WaitedBounds)]uint64 // how many of them within each bound
	Late         uint64                    // dropped since they had waited too long
}

// WaitedBounds are the upper bounds by which waiting is counted.
var WaitedBounds = [...]time.Duration{
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// sent counts a message that goes after so many nanoseconds.
func (w *Waited) sent(age int64) {
	w.Sent++
	w.Microseconds += uint64(max(age, 0)) / 1000
	for i := len(WaitedBounds) - 1; i >= 0 && age <= int64(WaitedBounds[i]); i-- {
		w.Within[i]++
	}
}

// Add adds another count to this one.
func (w *Waited) Add(other *Waited) {
	w.Sent += other.Sent
	w.Microseconds += other.Microseconds
	w.Late += other.Late
	for i, n := range other.Within {
		w.Within[i] += n
	}
}
