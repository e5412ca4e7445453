package signaling

import (
	"time"

	"turnhub/signaling/internal/delivery"
)

// What a host wants holds for people on other nodes, and those may hear nothing of it where this
// one dies. While there is a second nobody is answered before that has what was done. While one
// is being filled nobody could go on with the sessions of this node, so all that is said passes;
// but a host is answered only once the second has everything, as are those whose answer the one
// before had not confirmed. What he is told after that waits behind it. That is so for
// answersWait patiences at most, and not where nobody is to be the second.

const answersWait = 2

// hostAnswer is one that waits for the second, or would if that were lost.
type hostAnswer struct {
	since time.Time
	at    uint64 // the step that the second has to have; 0: it has not been sent
	opens delivery.Openable
}

// answers is told that a session is about to be answered, as a host. It is called in a step.
func (x *second) answers(ref delivery.Ref) {
	if x == nil {
		return
	}
	now := x.h.now()
	x.mu.Lock()
	if x.over || x.lonely || x.state == alone {
		x.mu.Unlock()
		return
	}
	a, waits := x.hostly[ref]
	if !waits || x.shut { // all wait there, for as long as looked says
		a.since = now
	}
	a.at = 0
	x.hostly[ref] = a
	opened := !x.shut
	if opened && !waits {
		x.ticked = now
		x.h.timers.Set(&x.late, now.Add(x.patience/2))
	}
	x.mu.Unlock()
	if opened {
		x.h.node.Shut(ref)
	}
}

// answered notes with which step the second has what hosts were answered. mu is held.
func (x *second) answered(at uint64, opens []delivery.Openable) {
	if len(x.hostly) == 0 {
		return
	}
	for _, o := range opens {
		if a, is := x.hostly[o.Ref]; is {
			a.at, a.opens = at, o
			x.hostly[o.Ref] = a
		}
	}
}

// unanswered returns what opens when the image is whole. mu is held.
func (x *second) unanswered() (opens []delivery.Openable) {
	for _, a := range x.hostly {
		if a.at != 0 { // else it is about to end
			opens = append(opens, a.opens)
		}
	}
	return opens
}

// confirmed is told up to which step the second has everything. mu is held.
func (x *second) confirmed(at uint64) {
	for ref, a := range x.hostly {
		if a.at != 0 && a.at <= at && x.wholeAt <= at {
			delete(x.hostly, ref)
		}
	}
}

// anew has all answers wait for another second, but where one has waited for too long. It
// reports whether none does. mu is held.
func (x *second) anew() (none bool) {
	if x.overdue(x.h.now()) {
		return true
	}
	for ref, a := range x.hostly {
		a.at = 0
		x.hostly[ref] = a
	}
	return false
}

// overdue reports whether a host has waited for too long. mu is held.
func (x *second) overdue(now time.Time) bool {
	for _, a := range x.hostly {
		if now.Sub(a.since) >= answersWait*x.patience {
			return true
		}
	}
	return false
}

// waitsFor reports whether a session waits for another second. It is called in a step.
func (x *second) waitsFor(ref delivery.Ref) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, is := x.hostly[ref]
	return is
}
