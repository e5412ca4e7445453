//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"os"
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
		if was != 0 && alive(was) || !k.all[i].process.CompareAndSwap(was, int64(os.Getpid())) {
			continue
		}
		k.owner, k.settings = uint32(i), &k.all[i]
		k.settings.beat.Store(0)
		k.settings.bytes.Store(0)
		k.settings.pkts.Store(0)
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
		if was == 0 || was == int64(os.Getpid()) || alive(was) || !k.all[i].process.CompareAndSwap(was, int64(os.Getpid())) {
			continue
		}
		k.all[i].term.Add(1)
		k.clear(uint32(i))
		k.all[i].process.Store(0)
	}
}

// alive reports whether there is a process of that id.
func alive(process int64) bool { return !errors.Is(unix.Kill(int(process), 0), unix.ESRCH) }

// clear takes the flows of an owner out whose term is over, and gives its shares back. It
// does no more than make room: they count for nothing.
func (k *Kernel) clear(owner uint32) {
	for i := range k.claims {
		k.claims[i].CompareAndSwap(uint64(owner)+1, 0)
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

// Share gives out a place for counters.
func (k *Kernel) Share() (share *core.Share, number uint32, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.giveBack()
	for range k.claims {
		number = k.cursor
		if k.cursor++; int(k.cursor) == len(k.claims) {
			k.cursor = 0
		}
		if k.claims[number].CompareAndSwap(0, uint64(k.owner)+1) {
			share = &k.shares[number]
			share.Reset()
			return share, number, true
		}
	}
	return nil, 0, false
}

// Release takes it back.
func (k *Kernel) Release(number uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.released = append(k.released, released{number, k.clock()})
	k.giveBack()
}

// giveBack gives back what nobody counts in any more. mu is held.
func (k *Kernel) giveBack() {
	for len(k.released) > 0 && k.clock()-k.released[0].when > quarantine {
		k.claims[k.released[0].number].Store(0)
		k.released = k.released[1:]
	}
}
