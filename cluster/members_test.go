package cluster

import (
	"testing"
	"time"
)

// TestBook: who counts as the node of a name, whatever is said by whom and when.
func TestBook(t *testing.T) {
	const gone = 3 * time.Second
	record := func(run string, since int64, seq uint64) Record {
		return Record{Node: "a", Run: run, Since: since, Seq: seq, URL: run}
	}
	leaving := record("old", 10, 3)
	leaving.Leaving = true
	b := newBook(gone)
	for i, x := range []struct {
		r    Record
		at   time.Duration
		off  int64
		want string
		is   string // whose run speaks
		gone bool
	}{
		{record("old", 10, 1), 1 * time.Second, 0, "", "old", false},
		{record("old", 10, 1), 2 * time.Second, 0, badReplay, "old", false},
		{record("old", 10, 2), 2 * time.Second, 0, "", "old", false},
		{record("old", 10, 3), 3 * time.Second, int64(time.Hour / time.Millisecond), badClock, "old", false},
		{record("old", 10, 3), 6 * time.Second, 0, "", "old", false}, // it was frozen
		{record("young", 20, 1), 7 * time.Second, 0, "", "young", false},
		{record("old", 10, 4), 8 * time.Second, 0, badOld, "young", false},
		{record("old", 10, 5), 12 * time.Second, 0, "", "old", false}, // the young one has been silent
		{leaving, 13 * time.Second, 0, badReplay, "old", false},
		{Record{Node: "a", Run: "old", Since: 10, Seq: 6, Leaving: true, URL: "old"}, 14 * time.Second, 0, "", "old", true},
		{record("young", 20, 2), 15 * time.Second, 0, "", "young", false},
		{record("last", 5, 1), 30 * time.Second, 0, "", "last", false}, // a clock that was set back
	} {
		if _, got := b.hear(x.r, x.at, x.off); got != x.want {
			t.Errorf("%d: %q, want %q", i, got, x.want)
		}
		b.tick(x.at)
		if m := b.list(x.at)[0]; m.Run != x.is || m.Gone != x.gone {
			t.Errorf("%d: %s speaks, gone: %v; want %s, %v", i, m.Run, m.Gone, x.is, x.gone)
		}
	}
	if m := b.list(30*time.Second + gone + 1)[0]; m.Gone {
		t.Error("a node that was frozen takes another for dead")
	}
	for at := 30 * time.Second; at < 35*time.Second; at += time.Second {
		b.tick(at)
	}
	if m := b.list(34*time.Second + 1)[0]; !m.Gone {
		t.Error("who is silent lives for ever")
	}
	b.tick(40 * time.Second)
	if m := b.list(40*time.Second + gone)[0]; m.Gone {
		t.Error("who has just come back takes another for dead")
	}
	b.bury("a", "young")
	if b.list(30 * time.Second)[0].Gone {
		t.Error("the death of an older process is the node's")
	}
	b.bury("a", "last")
	if !b.list(30 * time.Second)[0].Gone {
		t.Error("a node that has ended lives")
	}
	if len(b.list(30*time.Second+forgetAfter+1)) != 0 {
		t.Error("nobody is forgotten")
	}
	for i := range maxNodes {
		b.hear(Record{Node: "n" + string(rune('a'+i%26)) + time.Duration(i).String(), Run: "x", Seq: 1}, 0, 0)
	}
	if _, got := b.hear(Record{Node: "one-more", Run: "x", Seq: 1}, 0, 0); got != badTooMany {
		t.Errorf("node %d: %q", maxNodes+1, got)
	}
}
