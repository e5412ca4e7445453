package cluster

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/cluster/placement"
)

// A Member is one node as another one knows it.
type Member struct {
	Record
	Self bool
	// Gone says that it has not been heard for so long that it counts as dead.
	Gone   bool
	Silent time.Duration // since when it was last heard
	// ClockOff is how far its clock is ahead of ours, or behind: below zero.
	ClockOff time.Duration
	// Differs names what must be the same on all nodes and is not: secrets, token-keys, …
	Differs []string
	// Twice is the URL of another process that says it is this node; empty: there is none.
	Twice string
}

// book is who has been heard. Safe for concurrent use. Its times are of a clock that
// setting the machine's does not move.
type book struct {
	gone time.Duration // silence after which a node counts as dead
	mu   sync.Mutex
	all  map[string]*entry
	// ticked is when this node was last seen to run itself, and awake since when without a
	// pause: one that was frozen has heard nobody, and judges nobody by that.
	ticked, awake time.Duration
}

type entry struct {
	Record
	heard   time.Duration
	off     time.Duration
	dead    bool // for certain, until it is heard again
	twice   string
	twiceAt time.Duration
	past    []run // of the same name, the last ones
}

// run is a process that spoke for a node, and the number of its last beat.
type run struct {
	name string
	seq  uint64
}

// maxRuns bounds how many of them are known.
const maxRuns = 8

func newBook(gone time.Duration) *book { return &book{gone: gone, all: make(map[string]*entry)} }

// tick says that this node runs.
func (b *book) tick(now time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now-b.ticked > b.gone {
		b.awake = now
	}
	b.ticked = now
}

// maxApart is how far the clock of a node may be off for it to be heard: what comes
// from further away was taken down and sent again.
const maxApart = 10 * time.Minute

// forgetAfter is after which silence a node is no longer shown.
const forgetAfter = 10 * time.Minute

// hear takes in a beat. It returns whether it is the first of a process, or why it is
// not heard.
func (b *book) hear(r Record, now time.Duration, wall int64) (isNew bool, wrong string) {
	if apart(r.At, wall) > maxApart {
		return false, badClock
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.all[r.Node]
	switch {
	case e == nil:
		if len(b.all) >= maxNodes {
			return false, badTooMany
		}
		e = &entry{}
		b.all[r.Node] = e
	case e.Run == r.Run && r.Seq <= e.Seq, slices.ContainsFunc(e.past, func(x run) bool { return x.name == r.Run && r.Seq <= x.seq }):
		return false, badReplay
	case e.Run != r.Run && r.Since <= e.Since && !e.dead && now-e.heard < b.gone:
		// Two processes with one name: the younger is the node. One that was frozen, or
		// carries its calls to the end after an upgrade, is so for a moment.
		e.twice, e.twiceAt = r.URL, now
		return false, badOld
	case e.Run != r.Run && e.Run != "":
		e.past = append(slices.DeleteFunc(e.past, func(x run) bool { return x.name == r.Run }), run{e.Run, e.Seq})
		e.past = e.past[max(0, len(e.past)-maxRuns):]
	}
	isNew = e.Run != r.Run
	e.Record, e.heard, e.off, e.dead = r, now, time.Duration(r.At-wall)*time.Millisecond, r.Leaving
	return isNew, ""
}

// bury says that a node is dead for certain, as long as it is not heard again. run names
// the process that was asked.
func (b *book) bury(name, run string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[name]; e != nil && e.Run == run {
		e.dead = true
	}
}

// buried reports whether a process of a node is dead for certain, by bury or by its own word.
func (b *book) buried(name, run string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.all[name]
	return e != nil && e.Run == run && e.dead
}

// ahead is how far a node's clock is ahead of this one's, as far as is known.
func (b *book) ahead(node string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[node]; e != nil {
		return e.off
	}
	return 0
}

// process returns what is known of the process that speaks for a node: how far its clock is
// ahead, and how much it had said on topics a beat ago.
func (b *book) process(node string) (run string, off time.Duration, said uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[node]; e != nil && !e.dead {
		return e.Run, e.off, e.Said
	}
	return "", 0, 0
}

// lives returns the process that speaks for a node; empty: none that lives.
func (b *book) lives(node string, now time.Duration) (run string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[node]; e != nil && !e.dead && now-max(e.heard, b.awake) <= b.gone {
		return e.Run
	}
	return ""
}

// list returns everybody, by name; those long silent are forgotten.
func (b *book) list(now time.Duration) (all []Member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	awake := b.awake
	if now-b.ticked > b.gone {
		awake = now // it has just come back, and not ticked yet
	}
	for name, e := range b.all {
		silent := now - e.heard
		if silent > forgetAfter {
			delete(b.all, name)
			continue
		}
		m := Member{Record: e.Record, Silent: silent, Gone: e.dead || now-max(e.heard, awake) > b.gone, ClockOff: e.off}
		if e.twice != "" && now-e.twiceAt < b.gone {
			m.Twice = e.twice
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	return all
}

// candidates are those who may get rooms, for placement.
func candidates(all []Member) (list []placement.Node) {
	for _, m := range all {
		if !m.Gone && !m.Draining && len(m.URLs) > 0 {
			list = append(list, placement.Node{Name: m.Node, Region: m.Region, Load: m.Load.PerProcessor(), Full: m.Load.full()})
		}
	}
	return list
}

// find returns the member of that name.
func find(all []Member, name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(all, name, func(m Member, name string) int { return cmp.Compare(m.Node, name) })
	if !ok {
		return Member{}, false
	}
	return all[i], true
}

// differs names the digests that two nodes do not share.
func differs(a, b map[string]string) (names []string) {
	for name, value := range a {
		if other, ok := b[name]; ok && other != value {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
