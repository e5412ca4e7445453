//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// What the program does to single packets, by BPF_PROG_TEST_RUN: nothing is sent.

const (
	goesOn   = 1<<32 - 1 // NEXT
	dropped  = 2         // DROP
	redirect = 7         // TC_ACT_REDIRECT
)

// bench is a loaded program with flows, one for each rule, between the allocations 0 and 1.
type bench struct {
	*Kernel
	t     testing.TB
	rules []rule
	now   int64
	from  uint32 // the allocation that sends

	lived   int64         // the kernel's clock at live
	slowest time.Duration // from live until a packet had passed
}

const lifetime = int64(5 * time.Minute)

func newBench(t testing.TB, rules []rule) *bench {
	t.Helper()
	k, err := Open(Config{Attachment: wanted(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
	}
	t.Cleanup(k.Close)
	b := &bench{Kernel: k, t: t, rules: rules, now: monotonic()}
	k.clock = func() int64 { return b.now }
	b.live()
	for _, r := range rules {
		b.put(r, 1<<62)
	}
	return b
}

// live has the process say that it lives, at its clock's b.now.
func (b *bench) live() {
	b.lived = monotonic()
	b.settings.offset.Store(b.now - b.lived)
	b.settings.beat.Store(b.now)
}

// pause lets more time pass than what is odd holds those after it for, from the last packet on
// and not from live: a busy machine may have been long about it.
func (b *bench) pause() {
	b.now += monotonic() - b.lived + int64(20*time.Millisecond)
	b.live()
}

func endpoint(a netip.AddrPort) wire.Endpoint {
	e := wire.EndpointIP(a.Addr())
	e.Port = a.Port()
	return e
}

func (b *bench) put(r rule, expires int64) {
	b.t.Helper()
	remote, local, source, target := endpoint(r.remote), endpoint(r.local), endpoint(r.source), endpoint(r.target)
	k := keyOf(core.FlowKey{Remote: remote, Local: local, Channel: r.channel})
	f := flow{
		expires: uint64(expires), source: bytesOf(source), target: bytesOf(target),
		sourcePort: big(source.Port), targetPort: big(target.Port), channel: big(r.as),
		inIndex: 1, outIndex: 1, from: b.from, to: 1, sumIn: sum(local, remote), sumOut: sum(source, target), ttl: 64, begun: 1,
		owner: uint8(b.owner), term: b.term, mtu: uint16(r.mtu),
	}
	if r.target.Addr().Is6() {
		f.out6 = 1
	}
	if err := b.flows.Update(unsafe.Pointer(&k), unsafe.Pointer(&f), ebpf.UpdateAny); err != nil {
		b.t.Fatal(err)
	}
}

// run gives a frame to the program.
func (b *bench) run(frame []byte) (verdict uint32, out []byte) {
	b.t.Helper()
	o := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	verdict, err := b.program.Run(o)
	if err != nil {
		b.t.Fatalf("%d bytes: %v", len(frame), err)
	}
	b.slowest = max(b.slowest, time.Duration(monotonic()-b.lived))
	return verdict, o.DataOut
}

func (b *bench) counted() (packets, bytes uint64) {
	d := &b.shares[0].ToPeer
	return d.RelayedPackets[0].Load(), d.RelayedBytes[0].Load()
}

// check holds the program to the reference.
func (b *bench) check(frame []byte) {
	b.t.Helper()
	want, n, ok := expected(frame, b.rules)
	b.pause()
	packets, size := b.counted()
	verdict, out := b.run(frame)
	packets2, size2 := b.counted()
	if !ok {
		if verdict != goesOn || !bytes.Equal(out, frame) || packets2 != packets {
			b.t.Fatalf("verdict %d, want the frame to go on unchanged\n%x\n%x", verdict, frame, out)
		}
		return
	}
	if verdict != redirect || packets2 != packets+1 || size2 != size+uint64(n) {
		b.t.Fatalf("verdict %d and %d bytes counted, want it sent with %d\n%x", verdict, size2-size, n, frame)
	}
	// Its link header is written when it leaves.
	if copy(out[12:], []byte{0x08, 0x00}); out[14]>>4 == 6 {
		copy(out[12:], []byte{0x86, 0xdd})
	}
	got, ok := plain(out)
	if !ok || got.from != want.from || got.to != want.to || !bytes.Equal(got.payload, want.payload) {
		b.t.Fatalf("got %+v, want %+v\n%x\n%x", got, want, frame, out)
	}
	// What was right stays right, and what was wrong wrong in the same way.
	if got.sum != want.sum {
		b.t.Fatalf("the checksum was off by %x and is by %x\n%x\n%x", want.sum, got.sum, frame, out)
	}
	if head := out[14:]; head[0]>>4 == 4 && (head[1] != 0 || head[8] != 64 || be(head[6:]) != 0x4000) {
		b.t.Fatalf("header %x", head[:20])
	} else if head[0]>>4 == 6 && (binary.BigEndian.Uint32(head) != 0x60000000 || head[7] != 64) {
		b.t.Fatalf("header %x", head[:40])
	}
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// testRules are flows of each kind, over both families and between them.
func testRules() (rules []rule) {
	clients := []netip.AddrPort{ap("192.0.2.10:4000"), ap("[2001:db8::10]:4000")}
	servers := []netip.AddrPort{ap("198.51.100.1:3478"), ap("[2001:db8:1::1]:3478")}
	relays := []netip.AddrPort{ap("198.51.100.1:50000"), ap("[2001:db8:1::1]:50000")}
	peers := []netip.AddrPort{ap("203.0.113.7:6000"), ap("[2001:db8:2::7]:6000")}
	others := []netip.AddrPort{ap("192.0.2.11:4001"), ap("[2001:db8::11]:4001")}
	for c := range 2 {
		for p := range 2 {
			channel := uint16(0x4001 + 16*c + p)
			rules = append(rules,
				rule{clients[c], servers[c], relays[p], peers[p], channel, 0, 1400},
				rule{others[c], servers[c], servers[p], others[p], channel, channel + 0x100, 1500},
			)
			peer := netip.AddrPortFrom(peers[p].Addr(), uint16(7000+c))
			rules = append(rules, rule{peer, relays[p], servers[c], clients[c], 0, channel, 1280})
			wide := netip.AddrPortFrom(peers[p].Addr(), uint16(8000+c)) // as long as BPF_PROG_TEST_RUN takes
			rules = append(rules, rule{wide, relays[p], servers[c], clients[c], 0, channel + 0x200, 3000},
				rule{clients[c], servers[c], relays[p], wide, channel + 0x200, 0, 3000})
		}
	}
	return rules
}

// packet is a datagram of a flow.
func (r rule) packet(payload []byte, pad int) []byte {
	if r.channel != 0 {
		head := binary.BigEndian.AppendUint16(nil, r.channel)
		payload = append(binary.BigEndian.AppendUint16(head, uint16(len(payload))), payload...)
		payload = append(payload, make([]byte, pad)...)
	}
	return datagram{from: r.remote, to: r.local, payload: payload}.frame()
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	return b
}

// unhurried runs what depends on how soon a packet follows another one, again where the
// machine has let the program wait so long that it comes out otherwise.
func (b *bench) unhurried(t *testing.T, run func(fail func(format string, args ...any))) {
	t.Helper()
	const soon = 5 * time.Millisecond // a third of PAUSE in relay.c
	for range 100 {
		b.slowest = 0
		var failed []string
		run(func(format string, args ...any) { failed = append(failed, fmt.Sprintf(format, args...)) })
		if b.slowest > soon {
			continue
		}
		for _, f := range failed {
			t.Error(f)
		}
		return
	}
	t.Skip("######## NOT TESTED: WHEN A FLOW BEGINS: the machine is too busy ########")
}
