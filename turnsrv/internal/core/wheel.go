package core

// wheel is a timer wheel of one-second slots. It holds each allocation once, at
// the time at which something of it may end; an allocation that was refreshed in
// the meantime is put back when its slot comes round. So a refresh costs nothing.
type wheel struct {
	slots [wheelSlots]*allocation
	next  int64 // the first second that has not been gone through yet
	count int
}

// wheelSlots is more than the longest lifetime in seconds.
const wheelSlots = 4096

// add has an allocation come due in that second, or earlier where that is further away than the
// wheel reaches. Called of advance, it does not put it into the slot that is being gone through.
func (w *wheel) add(a *allocation, second int64) {
	second = min(max(second, w.next), w.next+wheelSlots-2)
	a.slot = int32(second % wheelSlots)
	a.wheelPrev = nil
	a.wheelNext = w.slots[a.slot]
	if a.wheelNext != nil {
		a.wheelNext.wheelPrev = a
	}
	w.slots[a.slot] = a
	w.count++
}

func (w *wheel) remove(a *allocation) {
	if a.slot < 0 {
		return
	}
	if a.wheelPrev != nil {
		a.wheelPrev.wheelNext = a.wheelNext
	} else {
		w.slots[a.slot] = a.wheelNext
	}
	if a.wheelNext != nil {
		a.wheelNext.wheelPrev = a.wheelPrev
	}
	a.wheelPrev, a.wheelNext, a.slot = nil, nil, -1
	w.count--
}

// advance calls due for each allocation whose second is over; now is in seconds. due
// may add allocations again.
func (w *wheel) advance(now int64, due func(*allocation)) {
	if now-w.next > wheelSlots {
		w.next = now - wheelSlots
	}
	for w.next <= now {
		slot := w.next % wheelSlots
		w.next++
		for a := w.slots[slot]; a != nil; a = w.slots[slot] {
			w.remove(a)
			due(a)
		}
	}
}
