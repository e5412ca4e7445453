//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Where there is no tcx (before Linux 6.6) the program is a filter (tc-bpf(8), direct
// action) at the clsact qdisc of an interface. Unlike a link a filter is nobody's: it stays
// when the process that has made it is gone, and then forwards nothing (STALE in relay.c)
// until it is taken away. So its name says by whose life it is there, and whoever comes
// next and sees that this is over takes it away: a process at its end and at its start, and
// Sweep. What others have at the same interface stays as it is; a packet that the program
// leaves goes on to their filters.
//
// The qdisc is there once for all who need one. It is taken away with the last filter where
// the name of one of ours says that we have made it. Nothing holds it between seeing that it
// is empty and taking it away: a filter that somebody adds in that moment goes with it.

const (
	filterName     = "turnhub-relay-"
	filterQdisc    = "-qdisc" // and at its end, where the qdisc is ours
	filterPriority = 0x7475   // before those that say none, after those that say a low one
	attachTries    = 3        // while others take the qdisc away
	comeBackEvery  = 5 * time.Second
)

// A filters is the life by which filters are there, and what attaches them.
type filters struct{ life *life }

// A filter is one of ours at an interface.
type filter struct {
	index uint32
	id    string // of the life
	qdisc bool   // which is ours
}

func (f filter) handle() uint32 {
	n, _ := strconv.ParseUint(f.id[:8], 16, 32)
	return uint32(n)&0x7fffffff | 1
}

func (f filter) name() string {
	if f.qdisc {
		return filterName + f.id + filterQdisc
	}
	return filterName + f.id
}

// parse takes a name of a filter apart.
func (f *filter) parse(name string) (ok bool) {
	if name, ok = strings.CutPrefix(name, filterName); !ok {
		return false
	}
	f.id, f.qdisc = strings.CutSuffix(name, filterQdisc)
	_, err := strconv.ParseUint(f.id, 16, 64)
	return err == nil && len(f.id) == lifeDigits
}

// attach sees to it that the program is at an interface, by whichever of the processes that
// share the life.
func (c *filters) attach(p *ebpf.Program, index uint32) (err error) {
	for range attachTries {
		f := filter{index: index, id: c.life.id}
		if ok, err := f.there(); ok || err != nil {
			return err
		}
		made := addQdisc(index)
		switch {
		case made == nil:
			f.qdisc = true
		case !errors.Is(made, unix.EEXIST):
			return fmt.Errorf("make a clsact qdisc: %w", made)
		default:
			others, err := filtersAt(index)
			if err != nil {
				return err
			}
			for _, other := range others {
				f.qdisc = f.qdisc || other.qdisc
			}
		}
		err = f.add(p)
		if err == nil || errors.Is(err, unix.EEXIST) {
			return nil
		}
		if made == nil {
			removeQdisc(index)
		}
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // there is no qdisc any more
			break
		}
	}
	return fmt.Errorf("add a filter: %w", err)
}

// may reports whether this process may change filters, by asking to take one away that is
// not there.
func (c *filters) may(index uint32) error {
	err := filter{index: index, id: c.life.id}.del()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // or no qdisc
		return nil
	}
	return err
}

// expect has filters come to all interfaces by which packets to this host can be expected to
// come: those with addresses. Not only with the first call there, as links do, because an
// interface sends nothing while a qdisc is made or taken away, some milliseconds, and loses
// what it is given.
func (k *Kernel) expect() {
	if k.filters == nil {
		return
	}
	all := k.routes.addressed()
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.failed)
	for _, index := range all {
		if k.attached[index] == nil {
			k.wanted[index] = true
		}
	}
}

// attachWanted attaches filters, by itself: that may take long, and nobody who has a packet
// in hand is to wait for it.
func (k *Kernel) attachWanted() {
	k.mu.Lock()
	all := slices.Collect(maps.Keys(k.wanted))
	clear(k.wanted)
	k.mu.Unlock()
	for _, index := range all {
		if usable, _ := k.routes.link(index); !usable || k.over() {
			continue
		}
		err := k.filters.attach(k.program, index)
		k.mu.Lock()
		if err == nil {
			k.attached[index] = stays{}
		} else {
			k.failed[index] = true
		}
		k.mu.Unlock()
		if err != nil && !errors.Is(err, unix.ENODEV) {
			k.cfg.Logger.Warn("calls over an interface do not pass inside the kernel: the relay's filter cannot be put there", "interface", index, "error", err)
		}
	}
}

// stays is an attachment that no process ends by itself.
type stays struct{}

func (stays) Close() error { return nil }

// comeBack has the program come again where somebody has taken the filter away, as one does
// who sets up an interface anew.
func (k *Kernel) comeBack() {
	k.mu.Lock()
	all := slices.Collect(maps.Keys(k.attached))
	k.mu.Unlock()
	for _, index := range all {
		if k.over() {
			return
		}
		if ok, err := (filter{index: index, id: k.filters.life.id}).there(); ok || err != nil {
			continue
		}
		k.mu.Lock()
		delete(k.attached, index)
		k.wanted[index] = true
		k.mu.Unlock()
		if !k.lost {
			k.cfg.Logger.Warn("somebody has taken the relay's filter away from an interface: it comes again", "interface", index)
		}
		k.lost = true
	}
}

// close ends the part of this process in the life; the last one takes the filters away.
func (c *filters) close() {
	c.life.end()
	_, _ = sweep(c.life.id) // or who comes next does, as after SIGKILL
}

// Sweep takes away what ended processes have left at the interfaces of this network
// namespace, and returns from how many.
func Sweep() (interfaces int, err error) { return sweep("") }

// sweep takes away what is there by one life, or by any, if that is over.
func sweep(id string) (n int, err error) {
	all, err := allFilters()
	if err != nil {
		return 0, err
	}
	of := make(map[string][]filter)
	for _, f := range all {
		if id == "" || f.id == id {
			of[f.id] = append(of[f.id], f)
		}
	}
	var failed []error
	for id, fs := range of {
		l, err := claim(id)
		if errors.Is(err, unix.EADDRINUSE) { // it goes on
			continue
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, f := range fs {
			if err := f.remove(); err != nil {
				failed = append(failed, fmt.Errorf("interface %d: %w", f.index, err))
				continue
			}
			n++
		}
		l.end()
	}
	return n, errors.Join(failed...)
}

// remove takes a filter away, and with it the qdisc if that is ours and nobody uses it.
func (f filter) remove() error {
	if err := f.del(); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	if !f.qdisc {
		return nil
	}
	for _, parent := range [2]uint32{tcIngress, tcEgress} {
		left, err := dump(unix.RTM_GETTFILTER, tcMessage(f.index, 0, parent, 0))
		if err != nil || len(left) > 0 {
			return nil // it is gone with its interface, or others use it
		}
	}
	removeQdisc(f.index)
	return nil
}

// allFilters are ours in this network namespace, of whatever life.
func allFilters() (all []filter, err error) {
	qdiscs, err := dump(unix.RTM_GETQDISC, tcMessage(0, 0, 0, 0))
	if err != nil {
		return nil, fmt.Errorf("list qdiscs: %w", err)
	}
	for _, q := range qdiscs {
		if q.parent != tcClsact {
			continue
		}
		at, err := filtersAt(q.index)
		if err != nil {
			return nil, err
		}
		all = append(all, at...)
	}
	return all, nil
}

// filtersAt are those at an interface.
func filtersAt(index uint32) (all []filter, err error) {
	messages, err := dump(unix.RTM_GETTFILTER, tcMessage(index, 0, tcIngress, 0))
	if err != nil {
		return nil, fmt.Errorf("list filters: %w", err)
	}
	for _, m := range messages {
		f := filter{index: index}
		if f.parse(m.bpfName()) && f.handle() == m.handle && m.info == filterInfo {
			all = append(all, f)
		}
	}
	return all, nil
}
