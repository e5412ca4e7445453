//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
)

// The tables may have several owners: the processes of this server of which each carries
// its own calls after an upgrade. Each has a place of its own in the settings, with its
// clock and its limits, and says for itself that it lives. What is entered carries the
// place and the term of whoever entered it, so that nothing of one that has ended is taken
// for the next one's, and the counters of an allocation are claimed one by one.

var errOwners = errors.New("too many processes share the tables of the kernel")

// settle takes a place among the owners.
func (k *Kernel) settle() error {
	for i := range k.all {
		was := k.all[i].process.Load()
		if was != 0 && alive(was) || !k.all[i].process.CompareAndSwap(was, int32(os.Getpid())) {
			continue
		}
		k.owner, k.settings = uint32(i), &k.all[i]
		k.settings.beat.Store(0)
		k.setRates(core.OffloadRates{})
		k.term = k.settings.term.Add(1)
		k.clear(k.owner)
		return nil
	}
	return errOwners
}

// leave gives the place up, with all that was entered.
func (k *Kernel) leave() {
	if k.settings == nil {
		return
	}
	k.settings.term.Add(1)
	k.clear(k.owner)
	k.settings.process.Store(0)
}

// sweep clears what processes have left that were killed.
func (k *Kernel) sweep() {
	for i := range k.all {
		was := k.all[i].process.Load()
		if was == 0 || was == int32(os.Getpid()) || alive(was) || !k.all[i].process.CompareAndSwap(was, int32(os.Getpid())) {
			continue
		}
		k.all[i].term.Add(1)
		k.clear(uint32(i))
		k.all[i].process.Store(0)
	}
}

// alive reports whether there is a process of that id.
func alive(process int32) bool { return !errors.Is(unix.Kill(int(process), 0), unix.ESRCH) }

// clear takes the flows of an owner out whose term is over, and gives its shares back. It
// does no more than make room: they count for nothing.
func (k *Kernel) clear(owner uint32) {
	for _, p := range [2]*places{&k.slots, &k.users} {
		for i := range p.claims {
			p.claims[i].CompareAndSwap(uint64(owner)+1, 0)
		}
	}
	var old []key
	term := k.all[owner].term.Load()
	var kk key
	var v flow
	// What is entered and removed meanwhile may end this early.
	for each := k.flows.Iterate(); each.Next(unsafe.Pointer(&kk), unsafe.Pointer(&v)); {
		if uint32(v.owner) == owner && v.term != term {
			old = append(old, kk)
		}
	}
	for i := range old {
		if k.flows.Lookup(unsafe.Pointer(&old[i]), unsafe.Pointer(&v)) == nil && uint32(v.owner) == owner && v.term != term {
			_ = k.flows.Delete(unsafe.Pointer(&old[i])) // or it is gone
		}
	}
}

// places are those of one table that its owners share.
type places struct {
	claims   []atomic.Uint64
	cursor   uint32 // where the next free one is looked for
	released []released
}

type released struct {
	number uint32
	when   int64
}

// take claims a place.
func (p *places) take(owner uint32, now int64) (number uint32, ok bool) {
	p.giveBack(now)
	for range p.claims {
		number = p.cursor
		if p.cursor++; int(p.cursor) == len(p.claims) {
			p.cursor = 0
		}
		if p.claims[number].CompareAndSwap(0, uint64(owner)+1) {
			return number, true
		}
	}
	return 0, false
}

// release gives it back, when nobody counts there any more.
func (p *places) release(number uint32, now int64) {
	p.released = append(p.released, released{number, now})
	p.giveBack(now)
}

func (p *places) giveBack(now int64) {
	for len(p.released) > 0 && now-p.released[0].when > quarantine {
		p.claims[p.released[0].number].Store(0)
		p.released = p.released[1:]
	}
}

// Share gives out a place for counters.
func (k *Kernel) Share() (share *core.Share, number uint32, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, 0, false
	}
	if number, ok = k.slots.take(k.owner, k.clock()); !ok {
		return nil, 0, false
	}
	share = &k.shares[number]
	share.Reset()
	return share, number, true
}

// Release takes it back.
func (k *Kernel) Release(number uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed { // else all of them have been given back
		k.slots.release(number, k.clock())
	}
}

// User gives out a place for what a user has used.
func (k *Kernel) User() (usage *core.Usage, number uint32, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, 0, false
	}
	if number, ok = k.users.take(k.owner, k.clock()); !ok {
		return nil, 0, false
	}
	k.lent++
	return &k.usages[number], number, true
}

// ReleaseUser takes it back.
func (k *Kernel) ReleaseUser(number uint32) {
	k.mu.Lock()
	k.lent--
	if !k.closed { // else all of them have been given back
		k.users.release(number, k.clock())
	}
	k.mu.Unlock()
	k.unmap()
}
