//go:build linux && (amd64 || arm64)

package epoll

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// TestRunsAgainstReference queues random datagrams and looks at the messages that they
// are gathered into: all are there, once, in order; a message has one destination, and
// with segmentation datagrams of one size, of which the last may be shorter; no message
// and no call is larger than the kernel takes; and what could be one message is one.
func TestRunsAgainstReference(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		gso := seed%4 != 0
		var tx sender
		var queue core.Queued
		type datagram struct {
			buf  []byte
			peer wire.Endpoint
		}
		var want []datagram
		sizes := []int{rng.IntN(1500), 1 + rng.IntN(1500), 172, 0}
		size, peer := 172, wire.EndpointIPv4(1, 1)
		for n := range 1 + rng.IntN(400) {
			if rng.IntN(20) == 0 {
				size = sizes[rng.IntN(len(sizes))]
			}
			if rng.IntN(30) == 0 {
				peer.Port++
			}
			d := datagram{make([]byte, size, size+1), peer}
			want = append(want, d)
			if first := tx.push(&queue, item{buf: d.buf, peer: d.peer}); first != (n == 0) {
				t.Fatalf("seed %d: first %v", seed, first)
			}
		}
		at, next := queue.Head, 0
		for at != 0 {
			for at != 0 && !tx.full() {
				var first *item
				before := at
				at, first = tx.add(at, gso)
				if first != &tx.items[before-1] {
					t.Fatalf("seed %d: another first", seed)
				}
			}
			if tx.nmsgs > txMessages || tx.niovs > txVectors {
				t.Fatalf("seed %d: %d messages, %d datagrams", seed, tx.nmsgs, tx.niovs)
			}
			for m := range tx.nmsgs {
				h, r := &tx.msgs[m].hdr, tx.runs[m]
				if int(h.Iovlen) != r.n || r.n == 0 || r.n > gsoSegments || r.n > 1 && !gso {
					t.Fatalf("seed %d: %d datagrams in a message", seed, r.n)
				}
				total := 0
				for i := range r.n {
					v := &tx.iovs[r.first+i]
					d := want[next]
					if v.Base != unsafe.SliceData(d.buf) || int(v.Len) != len(d.buf) || d.peer != want[next-i].peer {
						t.Fatalf("seed %d: datagram %d is another", seed, next)
					}
					if lead := len(want[next-i].buf); i > 0 && (len(d.buf) > lead || i < r.n-1 && len(d.buf) < lead) {
						t.Fatalf("seed %d: %d bytes in a run of %d", seed, len(d.buf), lead)
					}
					total += len(d.buf)
					next++
				}
				if total > gsoBytes && r.n > 1 {
					t.Fatalf("seed %d: %d bytes in a message", seed, total)
				}
				lead := want[next-r.n]
				if r.n == 1 {
					if h.Control != nil || h.Controllen != 0 {
						t.Fatalf("seed %d: a single datagram is to be cut", seed)
					}
				} else {
					c := (*unix.Cmsghdr)(unsafe.Pointer(h.Control))
					if c.Level != unix.SOL_UDP || c.Type != unix.UDP_SEGMENT || int(binary.LittleEndian.Uint16(tx.control[m][cmsgHeader:])) != len(lead.buf) {
						t.Fatalf("seed %d: control message %+v", seed, c)
					}
				}
				if next < len(want) && gso && r.n < gsoSegments && len(want[next-1].buf) == len(lead.buf) && len(lead.buf) > 0 &&
					len(want[next].buf) <= len(lead.buf) && want[next].peer == lead.peer && total+len(want[next].buf) <= gsoBytes {
					t.Fatalf("seed %d: datagram %d could have gone along", seed, next)
				}
			}
			tx.nmsgs, tx.niovs = 0, 0
		}
		if next != len(want) {
			t.Fatalf("seed %d: %d of %d", seed, next, len(want))
		}
		tx.reset()
		if len(tx.items) != 0 {
			t.Fatal("items are left")
		}
	}
}

// TestSocketAddresses writes endpoints as the kernel has them, and reads them back.
func TestSocketAddresses(t *testing.T) {
	for _, text := range []string{"192.0.2.1:1", "255.255.255.255:65535", "[2001:db8::1]:3478", "[fe80::1]:258"} {
		e := wire.EndpointFrom(netip.MustParseAddrPort(text))
		if !e.Is4() {
			e.Zone = 7
		}
		var sa sockaddr
		sa.set(e, !e.Is4())
		if got := endpointOf(&sa.raw); got != e {
			t.Errorf("%s became %v", text, got.AddrPort())
		}
		if want := map[bool]uint32{true: unix.SizeofSockaddrInet4, false: unix.SizeofSockaddrInet6}[e.Is4()]; sa.len != want {
			t.Errorf("%s has %d bytes, want %d", text, sa.len, want)
		}
		if port := (*[4]byte)(unsafe.Pointer(&sa.raw)); binary.BigEndian.Uint16(port[2:]) != e.Port {
			t.Errorf("%s: the port is not in network order", text)
		}
	}
	// An IPv4 peer of an IPv6 socket goes in its mapped form.
	var sa sockaddr
	sa.set(wire.EndpointIPv4(0xC0000201, 9), true)
	if got := netip.AddrFrom16(sa.raw.Addr); got.Unmap() != netip.MustParseAddr("192.0.2.1") || !got.Is4In6() {
		t.Errorf("mapped: %v", got)
	}
}

// TestArrivals cuts buffers apart as UDP_GRO has joined them: all bytes come, once, in
// order, and no segment says that bytes may be overwritten that belong to another.
func TestArrivals(t *testing.T) {
	r, err := newReceiver()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	rng := rand.New(rand.NewPCG(1, 9))
	for range 3000 {
		a := arrival{at: wire.Headroom, size: rng.IntN(3000)}
		if rng.IntN(3) > 0 {
			a.segment = 1 + rng.IntN(1500)
		}
		i := rng.IntN(rxBuffers)
		at, count := wire.Headroom, 0
		for g, ok := firstOf(&r.buffers[i], &a), true; ok; g, ok = following(g, &a) {
			if g.Buf != &r.buffers[i] || g.Lo != at || g.Hi > wire.Headroom+a.size {
				t.Fatalf("%+v: segment %d from %d to %d, want from %d", a, count, g.Lo, g.Hi, at)
			}
			last := g.Hi == wire.Headroom+a.size
			if !last && a.segment > 0 && g.Len() != a.segment || count == 0 && g.Free != wire.Headroom || count > 0 && g.Free != 0 {
				t.Fatalf("%+v: segment %d has %d bytes, %d free", a, count, g.Len(), g.Free)
			}
			if last && g.Spare != wire.Tailroom || !last && g.Spare != 0 {
				t.Fatalf("%+v: segment %d of %d bytes has %d to spare", a, count, g.Len(), g.Spare)
			}
			at = g.Hi
			count++
		}
		if at != wire.Headroom+a.size {
			t.Fatalf("%+v: ended at %d", a, at)
		}
	}
}

// TestPace holds when a worker calls itself loaded, at work for more than busyShare of its
// time with more than restAbove packets a second, until it learns anew, and how long it
// rests then.
func TestPace(t *testing.T) {
	p := new(pace)
	now, handled := int64(1e9), uint64(0)
	used := spent{thread: 1}
	p.gauge(now, handled, 1, func() spent { return used })
	for i, step := range []struct {
		perSecond uint64
		busy      int64 // of a hundred
		loaded    bool
		rest      time.Duration
	}{
		{restAbove / 2, 100, false, restLeast},
		{200_000, busyShare, false, 200 * time.Microsecond},
		{200_000, busyShare + 1, false, 200 * time.Microsecond},
		{200_000, busyShare + 1, false, 200 * time.Microsecond},
		{200_000, busyShare, false, 200 * time.Microsecond}, // it begins anew
		{200_000, 100, false, 200 * time.Microsecond},
		{200_000, 100, false, 200 * time.Microsecond},
		{200_000, 100, false, 200 * time.Microsecond},
		{200_000, 100, false, 200 * time.Microsecond},
		{200_000, 100, true, 200 * time.Microsecond},
		{2_000_000, 1, true, restMost},
		{restAbove - 1000, 100, false, restLeast},
		{restAbove + 1000, 100, true, restLeast},
		{0, 0, false, restLeast},
	} {
		handled += step.perSecond * gaugeFor / 1e9
		used.time += gaugeFor * step.busy / 100
		now += gaugeFor
		if p.gauge(now, handled, 0, func() spent { return used }); p.loaded != step.loaded || p.rest != step.rest {
			t.Errorf("%d: %d packets a second, %d %% busy: loaded %v, a rest of %v", i, step.perSecond, step.busy, p.loaded, p.rest)
		}
		p.gauge(now+gaugeFor/2, handled+1e6, 0, spentHere) // too early to say
		if p.loaded != step.loaded {
			t.Errorf("changed its mind after %d ns", gaugeFor/2)
		}
	}
	busy := func() bool {
		now, handled, used.time = now+gaugeFor, handled+1e6, used.time+gaugeFor
		p.gauge(now, handled, 0, func() spent { return used })
		return p.loaded
	}
	windows := 0
	for busy() {
		windows++
	}
	if windows != loadedFor/gaugeFor {
		t.Errorf("loaded for %d looks", windows)
	}
	if !busy() {
		t.Error("not loaded after a look without rests")
	}
	for busy() {
	}
	used.thread++
	if busy() {
		t.Error("loaded by what another thread has spent")
	}
	if here := spentHere(); here.thread == 0 || here.time <= 0 {
		t.Errorf("spent %+v", here)
	}
	if p.last != 1e9 {
		t.Errorf("last packets at %d, though none came since", p.last)
	}
}
