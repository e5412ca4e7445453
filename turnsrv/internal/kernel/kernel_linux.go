//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

//go:generate ./program/generate.sh

//go:embed program/relay.o
var object []byte

const (
	flowsPerAllocation = 4 // a call has two, and one over several interfaces more
	maxAllocations     = 1 << 16
	beatEvery          = 500 * time.Millisecond // a quarter of STALE in relay.c
	stale              = 2e9                    // STALE in relay.c
	quarantine         = 1e9                    // nanoseconds until a place is given out again: a program may still count there
	none               = 1<<32 - 1              // NONE in relay.c
	leastMTU           = 1280                   // LEAST_MTU in relay.c
	mostMTU            = 9216                   // MOST_MTU in relay.c
	owners             = 8                      // OWNERS in relay.c
)

// settings is struct settings of relay.c.
type settings struct {
	offset      atomic.Int64
	beat        atomic.Int64
	bytes, pkts atomic.Uint64
	term        atomic.Uint32
	process     atomic.Int32
	_           uint64
	userBytes   atomic.Uint64
	userVolume  atomic.Int64
}

// Kernel is a loaded program with its maps, which other processes of this server may share.
type Kernel struct {
	cfg       Config
	program   *ebpf.Program
	maps      map[string]*ebpf.Map
	flows     *ebpf.Map
	memory    [][]byte // of the maps that are mapped
	all       *[owners]settings
	owner     uint32    // this process's place among all
	settings  *settings // its own
	term      uint32
	shares    []core.Share
	usages    []core.Usage
	clock     func() int64
	ttl       [wire.Families]uint8
	routes    *routes
	why       string
	filters   *filters            // nil: it is attached by tcx
	inherited string              // the program's identity; empty: it is this process's own
	full      atomic.Bool         // it has been said
	lost      bool                // that a filter was taken away has been said; of comeBack
	seen      map[[16]byte]uint64 // of narrow, when it was said; for the goroutine of Start alone
	missed    atomic.Bool         // a beat came late: something may have been noted that this process has not seen
	stop      chan struct{}
	ended     sync.WaitGroup

	mu           sync.Mutex // guards:
	slots, users places
	lent         int  // of users
	closed       bool // nothing is lent any more, and what was is counted nowhere
	attached     map[uint32]io.Closer
	borrowed     map[uint32]bool // interfaces at which another process has attached the same program
	wanted       map[uint32]bool // where filters are to come, see attachWanted
	failed       map[uint32]bool // and where none could, until something about the interfaces changes
}

// Open loads the program, or takes over that of the process before (see Inheritance). It
// forwards nothing before Start. An error says what the host lacks, and what to do.
func Open(cfg Config) (*Kernel, error) {
	defer cfg.Inherited.Close()
	n := uint32(min(max(cfg.Allocations, 16), maxAllocations))
	var lost error // why what the process before has is not taken over
	if cfg.Inherited.same() {
		k, err := open(cfg, n, (*Kernel).takeOver)
		if err == nil {
			k.why = "taken over from the process before"
			return k, nil
		}
		lost = err
	}
	k, err := open(cfg, n, (*Kernel).load)
	if err == nil {
		k.why = possible + k.why
		if lost != nil {
			k.why += "; that of the process before is not taken over, and packets meet both until it ends: " + lost.Error()
		}
		return k, nil
	}
	if cfg.Inherited.compatible() {
		k, failed := open(cfg, 0, (*Kernel).takeOver)
		if failed == nil {
			k.why = "taken over from the process before, because this one may not load it: " + err.Error()
			return k, nil
		}
		lost = failed
	}
	return nil, errors.Join(err, lost)
}

// Why says how it comes that packets pass inside the kernel.
func (k *Kernel) Why() string { return k.why }

// Attachment says how the program comes to interfaces.
func (k *Kernel) Attachment() Attachment {
	if k.filters != nil {
		return Clsact
	}
	return TCX
}

// Try says how packets would pass inside the kernel, or why they cannot, without a trace.
func Try(a Attachment) (how string, err error) {
	k, err := open(Config{Attachment: a, trial: true}, 16, (*Kernel).load)
	if err != nil {
		return "", err
	}
	defer k.Close()
	return possible + k.why, nil
}

const possible = "all that it needs works here"

func open(cfg Config, n uint32, get func(*Kernel, uint32) error) (_ *Kernel, err error) {
	k := &Kernel{cfg: cfg, stop: make(chan struct{}), maps: make(map[string]*ebpf.Map), attached: make(map[uint32]io.Closer), borrowed: make(map[uint32]bool), wanted: make(map[uint32]bool), failed: make(map[uint32]bool)}
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	if err := get(k, n); err != nil {
		return nil, remedy(err)
	}
	if err := k.mapAll(); err != nil {
		return nil, remedy(err)
	}
	k.ttl = [wire.Families]uint8{sysctl("ipv4/ip_default_ttl"), sysctl("ipv6/conf/default/hop_limit")}
	return k, nil
}

// load loads the program, with tables for n allocations.
func (k *Kernel) load(n uint32) error {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return err
	}
	spec.Maps["slots"].MaxEntries = n
	spec.Maps["users"].MaxEntries = n // each allocation has one user
	spec.Maps["claims"].MaxEntries = 2 * n
	spec.Maps["flows"].MaxEntries = flowsPerAllocation * n
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	k.program, k.maps = collection.Programs["relay"], collection.Maps
	if k.routes, err = newRoutes(-1); err != nil {
		return err
	}
	if err := k.try(); err != nil || k.cfg.trial {
		return err
	}
	if k.filters != nil {
		k.expect()
		k.attachWanted()
	}
	_, _ = Sweep() // where this process may not, it may not attach one either
	return nil
}

const loopback = 1

// try finds a way by which the program can be attached, on the loopback, where it is of no
// use.
func (k *Kernel) try() error {
	var tcx error
	if k.cfg.Attachment != Clsact {
		l, err := k.attach(loopback)
		if err == nil {
			return l.Close()
		}
		if tcx = err; k.cfg.Attachment == TCX || !errors.Is(err, ebpf.ErrNotSupported) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	l, err := newLife()
	if err != nil {
		return err
	}
	k.filters = &filters{l}
	if tcx != nil {
		k.why = ", by a clsact filter, because this kernel has no tcx"
	} else {
		k.why = ", by a clsact filter, as configured"
	}
	if k.cfg.trial {
		return k.filters.may(loopback)
	}
	if _, err = k.attach(loopback); err == nil {
		k.attached[loopback] = stays{}
	}
	return err
}

// mapAll maps the tables that the process reads into its memory, and takes a place in them.
func (k *Kernel) mapAll() error {
	k.flows = k.maps["flows"]
	set, err := k.mapped("settings", owners*int(unsafe.Sizeof(settings{})))
	if err != nil {
		return err
	}
	n := k.maps["slots"].MaxEntries()
	shares, err := k.mapped("slots", int(n)*int(unsafe.Sizeof(core.Share{})))
	if err != nil {
		return err
	}
	users, err := k.mapped("users", int(n)*int(unsafe.Sizeof(core.Usage{})))
	if err != nil {
		return err
	}
	claims, err := k.mapped("claims", 2*int(n)*int(unsafe.Sizeof(atomic.Uint64{})))
	if err != nil {
		return err
	}
	k.all = (*[owners]settings)(set)
	k.shares = unsafe.Slice((*core.Share)(shares), n)
	k.usages = unsafe.Slice((*core.Usage)(users), n)
	all := unsafe.Slice((*atomic.Uint64)(claims), 2*n)
	k.slots.claims, k.users.claims = all[:n], all[n:]
	return k.settle()
}

// remedy says what an operator can do.
func remedy(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (docs/kernel.md says how to give them): %w", err)
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("it needs Linux 6.1 or later with BTF, which most distributions' kernels have: %w", err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("it needs the kernel's modules sch_ingress and cls_bpf, or Linux 6.6: %w", err)
	}
	return err
}

// mapped maps an array into memory.
func (k *Kernel) mapped(name string, size int) (unsafe.Pointer, error) {
	page := os.Getpagesize()
	memory, err := unix.Mmap(k.maps[name].FD(), 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	k.memory = append(k.memory, memory)
	return unsafe.Pointer(unsafe.SliceData(memory)), nil
}

func sysctl(name string) uint8 {
	text, _ := os.ReadFile("/proc/sys/net/" + name)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 || n > 255 {
		return 64 // the system's default
	}
	return uint8(n)
}

func (k *Kernel) attach(index uint32) (io.Closer, error) {
	if k.filters != nil {
		return stays{}, k.filters.attach(k.program, index)
	}
	return link.AttachTCX(link.TCXOptions{Interface: int(index), Program: k.program, Attach: ebpf.AttachTCXIngress})
}

// Start begins: flows that are entered from now on are forwarded, until Close.
func (k *Kernel) Start(r Relay) {
	k.clock = r.Clock
	k.settings.offset.Store(r.Clock() - monotonic())
	k.settings.beat.Store(r.Clock())
	// By itself: whatever else there is to do may take longer than a beat may be late.
	k.every(beatEvery, func() {
		if k.clock()-k.settings.beat.Load() > stale {
			k.missed.Store(true)
		}
		k.settings.beat.Store(k.clock())
	})
	k.every(beatEvery, func() {
		k.narrowed(r, k.missed.Swap(false))
		k.sweep()
		k.mu.Lock()
		defer k.mu.Unlock()
		k.slots.giveBack(k.clock()) // to the other processes
		k.users.giveBack(k.clock())
		for index := range k.borrowed {
			k.watch(index) // the other one may have ended
		}
	})
	if k.filters != nil {
		k.every(beatEvery, k.attachWanted)
		k.every(comeBackEvery, k.comeBack)
	}
	changed := func() {
		k.detachGone()
		k.expect()
		r.FlushOffload()
	}
	k.ended.Go(func() { k.routes.watch(changed) })
	k.ended.Go(func() { k.routes.watchPolicies(changed) })
}

// every does something again and again until Close.
func (k *Kernel) every(d time.Duration, do func()) {
	k.ended.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for !k.over() {
			select {
			case <-k.stop:
			case <-tick.C:
				do()
			}
		}
	})
}

// over reports whether Close has been called.
func (k *Kernel) over() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

func monotonic() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// Close detaches the program, but for other processes that share it, and forgets all.
// Nothing of it may be used any more.
func (k *Kernel) Close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	close(k.stop)
	if k.routes != nil {
		k.routes.close()
	}
	k.ended.Wait()
	k.leave()
	for _, l := range k.attached {
		l.Close()
	}
	if k.filters != nil {
		k.filters.close()
	}
	if k.program != nil {
		k.program.Close()
	}
	for _, m := range k.maps {
		m.Close()
	}
	k.unmap()
}

// unmap gives the memory back once nobody has a part of it: who is beside the relay may
// count in it for longer than that runs.
func (k *Kernel) unmap() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed || k.lent > 0 {
		return
	}
	for _, m := range k.memory {
		unix.Munmap(m)
	}
	k.memory = nil
}

// detachGone lets go of interfaces that are no more; their numbers may come again.
func (k *Kernel) detachGone() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for index, l := range k.attached {
		if _, ok := k.routes.link(index); !ok {
			l.Close()
			delete(k.attached, index)
		}
	}
}

// SetRates sets the limits.
func (k *Kernel) SetRates(r core.OffloadRates) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setRates(r)
}

func (k *Kernel) setRates(r core.OffloadRates) {
	if k.closed {
		return
	}
	k.settings.bytes.Store(cost(r.Bytes))
	k.settings.pkts.Store(cost(r.Packets))
	k.settings.userBytes.Store(cost(r.UserBytes))
	k.settings.userVolume.Store(r.UserVolume)
}

// cost is what one unit costs, in nanoseconds times 65536.
func cost(perSecond float64) uint64 {
	if perSecond <= 0 {
		return 0
	}
	return max(1, uint64(min(1e9/perSecond, 1e9)*65536))
}
