//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// Each direction of a call that passes inside the kernel is a flow there.

// key and flow are those of relay.c.
type key struct {
	remote, local         [16]byte
	remotePort, localPort [2]byte
	channel               [2]byte
	_                     [2]byte
}

type flow struct {
	expires                       uint64
	term                          uint32
	inIndex                       uint32
	from, to                      uint32
	channel                       [2]byte
	mtu                           uint16
	owner, begun, out6, inProcess uint8

	outIndex               uint32
	sumIn, sumOut          uint16
	sourcePort, targetPort [2]byte
	fromFamily, toFamily   uint8
	ttl, nextFamily        uint8
	source, target, next   [16]byte

	entered, seen, asked uint64
}

// Enter enters a flow.
func (k *Kernel) Enter(f *core.Flow) (refused string) {
	out, why := k.routes.to(f.Target, f.Source)
	if why != "" {
		return why
	}
	in, why := k.routes.to(f.Remote, f.Local)
	if why != "" {
		return why
	}
	chosen(&f.Source, out.source)
	chosen(&f.Local, in.source)
	if f.Source.Is4() != f.Target.Is4() || f.Local.Is4() != f.Remote.Is4() {
		return "route"
	}
	// That by which it leaves too: there come the errors of those on the way.
	if !k.watches(in.index) || !k.watches(out.index) {
		return "interface"
	}
	v := flow{
		expires: uint64(f.Expires), source: bytesOf(f.Source), target: bytesOf(f.Target),
		sourcePort: big(f.Source.Port), targetPort: big(f.Target.Port), channel: big(f.As),
		inIndex: in.index, outIndex: out.index, from: none, to: none,
		sumIn: sum(f.Local, f.Remote), sumOut: sum(f.Source, f.Target), ttl: k.ttl[f.Target.Family()], mtu: out.mtu, asked: uint64(out.asked),
	}
	if !f.Target.Is4() {
		v.out6 = 1
	}
	switch next := bytesOf(out.next); {
	case out.next == (wire.Endpoint{}):
	case out.next.Is4():
		v.nextFamily = unix.AF_INET
		copy(v.next[:], next[12:])
	default:
		v.nextFamily, v.next = unix.AF_INET6, next
	}
	if f.From != nil {
		v.from, v.fromFamily = f.From.Share, uint8(f.From.Family)
	}
	if f.To != nil {
		v.to, v.toFamily = f.To.Share, uint8(f.To.Family)
	}
	if f.From != nil && f.To != nil {
		v.inProcess = 1
	}
	v.entered = uint64(k.clock())
	v.seen, v.owner, v.term = v.entered, uint8(k.owner), k.term
	kk := keyOf(f.FlowKey)
	if err := k.flows.Update(unsafe.Pointer(&kk), unsafe.Pointer(&v), ebpf.UpdateAny); err != nil {
		if !k.full.Swap(true) {
			k.cfg.Logger.Warn("no more calls pass inside the kernel: its table takes no more, the others go through the process", "error", err)
		}
		return "full"
	}
	return ""
}

// watches sees to it that the program is at an interface.
func (k *Kernel) watches(index uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.attached[index] != nil || k.borrowed[index] {
		return true
	}
	if k.filters != nil {
		if !k.failed[index] {
			k.wanted[index] = true
		}
		return false
	}
	return k.watch(index)
}

// watch attaches the program. Where it is attached already, by a process with which this
// one shares it, that is as good until it ends. mu is held.
func (k *Kernel) watch(index uint32) bool {
	l, err := k.attach(index)
	switch {
	case err == nil:
		k.attached[index] = l
		delete(k.borrowed, index)
	case errors.Is(err, unix.EEXIST):
		k.borrowed[index] = true
	default:
		delete(k.borrowed, index)
		return false
	}
	return true
}

// Remove takes flows out.
func (k *Kernel) Remove(keys []core.FlowKey) {
	for _, f := range keys {
		kk := keyOf(f)
		if err := k.flows.Delete(unsafe.Pointer(&kk)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			// It must not stay: without a beat nothing is forwarded.
			k.cfg.Logger.Error("a call could not be taken out of the kernel", "error", err)
			k.settings.offset.Store(1 << 62)
		}
	}
}

// chosen fills in the address that the system sends from.
func chosen(e *wire.Endpoint, source wire.Endpoint) {
	if *e == (wire.Endpoint{Port: e.Port}) {
		source.Port = e.Port
		*e = source
	}
}

func keyOf(f core.FlowKey) key {
	return key{
		remote: bytesOf(f.Remote), local: bytesOf(f.Local),
		remotePort: big(f.Remote.Port), localPort: big(f.Local.Port), channel: big(f.Channel),
	}
}

func big(n uint16) [2]byte { return [2]byte{byte(n >> 8), byte(n)} }

func bytesOf(e wire.Endpoint) [16]byte { return e.Bytes16() }

// sum is the sum of the addresses and the protocol in the pseudo header (RFC 768).
func sum(a, b wire.Endpoint) uint16 {
	n := uint32(unix.IPPROTO_UDP)
	for _, e := range [2]wire.Endpoint{a, b} {
		from := 0
		if e.Is4() {
			from = 12
		}
		for raw, i := bytesOf(e), from; i < 16; i += 2 {
			n += uint32(raw[i])<<8 | uint32(raw[i+1])
		}
	}
	for n > 0xffff {
		n = n&0xffff + n>>16
	}
	return uint16(n)
}
