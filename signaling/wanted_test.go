package signaling

import (
	"testing"
	"time"
)

// TestWantedOfTheLiving: a client that asks for the session of a node which lives is sent on for
// resumeWait, counted anew from when that node was not known to live: it stood still, the client
// has come to another one, and finds its session where it was.
func TestWantedOfTheLiving(t *testing.T) {
	var w wanted
	start := time.Unix(1_000_000, 0)
	asks := func(session string, after time.Duration, lives bool) bool {
		most := lostWait
		if lives {
			most = resumeWait
		}
		return w.waits(session, "b~run", start.Add(after), most, lives)
	}
	if !asks("one", 0, true) || !asks("one", resumeWait-1, true) || asks("one", resumeWait, true) {
		t.Error("of one that has lived all the time")
	}
	const still = 5 * time.Second
	for after := time.Duration(0); after <= still; after += time.Second {
		if !asks("other", after, false) {
			t.Errorf("it has stood still for %v", after)
		}
	}
	if !asks("other", still+resumeWait-1, true) || asks("other", still+resumeWait, true) {
		t.Error("of one that has stood still")
	}
}
