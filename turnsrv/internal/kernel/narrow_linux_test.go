//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"turnhub/turnsrv/internal/core"
)

// tooLong is what a router says of a packet that was too long for it: RFC 1191, RFC 4443.
func tooLong(of []byte, to netip.AddrPort) []byte {
	router := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.254"), 0)
	if to.Addr().Is6() {
		router = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::fe"), 0)
	}
	frame := datagram{from: router, to: to, payload: of[14 : 14+64]}.frame()
	ip, at := frame[14:], 20
	if to.Addr().Is4() {
		ip[9] = 1
		sealed(ip[:20])
		copy(ip[at:], []byte{3, 4, 0, 0, 0, 0, 0x05, 0x50})
	} else {
		ip[6], at = 58, 40
		copy(ip[at:], []byte{2, 0, 0, 0, 0, 0, 0x05, 0x50})
	}
	return frame
}

// TestProgramNarrow leaves what every way need not carry to the process once a router has
// said of the way that it is narrower, until that was looked up again.
func TestProgramNarrow(t *testing.T) {
	rules := testRules()
	b := newBench(t, rules)
	noted := func() (n int) {
		var address [16]byte
		var when uint64
		for each := b.maps["narrow"].Iterate(); each.Next(unsafe.Pointer(&address), unsafe.Pointer(&when)); {
			n++
		}
		return n
	}
	step := func(what string, r rule, n int, want uint32) {
		t.Helper()
		b.pause()
		if verdict, _ := b.run(r.packet(counting(n), 0)); verdict != want {
			t.Errorf("%s, to %v: verdict %d, want %d", what, r.target, verdict, want)
		}
	}
	for _, r := range rules {
		if r.mtu < 1400 {
			continue
		}
		step("before", r, 1300, redirect)
		sent := datagram{from: r.source, to: r.target, payload: counting(1300)}.frame()
		for what, change := range map[string]func(icmp []byte){
			"another type": func(icmp []byte) { icmp[0] = 1 },
			"of TCP": func(icmp []byte) {
				if r.target.Addr().Is4() {
					icmp[8+9] = 6
				} else {
					icmp[8+6] = 6
				}
			},
			"the error": func([]byte) {},
		} {
			frame := tooLong(sent, r.source)
			at := 14 + 20
			if r.target.Addr().Is6() {
				at = 14 + 40
			}
			change(frame[at:])
			before := noted()
			if verdict, out := b.run(frame); verdict != goesOn || !bytes.Equal(out, frame) {
				t.Errorf("%s: verdict %d", what, verdict)
			}
			if n := noted() - before; (n == 1) != (what == "the error") {
				t.Errorf("%s, to %v: %d more are noted", what, r.target, n)
			}
		}
		step("after", r, 1300, goesOn)
		step("after", r, 1200, redirect)
		b.put(r, 1<<62) // asked at 0
		step("entered anew by what was known before", r, 1300, goesOn)
		k := keyOf(core.FlowKey{Remote: endpoint(r.remote), Local: endpoint(r.local), Channel: r.channel})
		var f flow
		if err := b.flows.Lookup(unsafe.Pointer(&k), unsafe.Pointer(&f)); err != nil {
			t.Fatal(err)
		}
		f.asked = uint64(monotonic() + narrowSettles + int64(time.Second))
		if err := b.flows.Update(unsafe.Pointer(&k), unsafe.Pointer(&f), ebpf.UpdateAny); err != nil {
			t.Fatal(err)
		}
		step("asked again", r, 1300, redirect)
		for _, address := range [][16]byte{bytesOf(endpoint(r.target))} {
			if err := b.maps["narrow"].Delete(unsafe.Pointer(&address)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
