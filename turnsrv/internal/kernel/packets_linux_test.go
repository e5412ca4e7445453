//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"turnhub/turnsrv/internal/core"
)

// TestPackets sends packets of every kind of flow, and everything odd that may come beside
// them: that goes on to the process as it came.
func TestPackets(t *testing.T) {
	b := newBench(t, testRules())
	sent := 0
	for _, r := range b.rules {
		for _, n := range []int{1, 2, 3, 4, 5, 172, 1199, 1200, 1216, 1220, 1228, 1232, 1248, 1252, 1253, 1348, 1352, 1353, 1368, 1372, 1373, 1448, 1452, 1453, 1468, 1472, 1473, 1600, 2049, 2952, 2972, 2973} {
			for pad := range 5 {
				if f := r.packet(counting(n), pad); len(f) > 14+20 {
					if _, _, ok := expected(f, b.rules); ok {
						sent++
					}
					b.check(f)
				}
			}
		}
		four := r.remote.Addr().Is4()
		good := func() []byte { return r.packet(counting(172), 0) }
		udp := 14 + 40
		if four {
			udp = 14 + 20
		}
		odd := map[string]func() []byte{
			"cut short":            func() []byte { return good()[:len(good())-1] },
			"with something after": func() []byte { return append(good(), 0) },
			"no UDP checksum":      func() []byte { f := good(); f[udp+6], f[udp+7] = 0, 0; return f },
			"UDP length longer":    func() []byte { f := good(); f[udp+5]++; return f },
			"UDP length shorter":   func() []byte { f := good(); f[udp+5]--; return f },
			"another sender":       func() []byte { f := good(); f[udp]++; return f },
			"another port":         func() []byte { f := good(); f[udp+2]++; return f },
			"TCP": func() []byte {
				f := good()
				if four {
					f[14+9] = 6
					sealed(f[14:34])
				} else {
					f[14+6] = 6
				}
				return f
			},
			"VLAN": func() []byte {
				f := good()
				return append(append(append([]byte{}, f[:12]...), 0x81, 0, 0, 5), f[12:]...)
			},
			"QinQ": func() []byte {
				f := good()
				return append(append(append([]byte{}, f[:12]...), 0x88, 0xa8, 0, 5), f[12:]...)
			},
			"for another machine": func() []byte { f := good(); f[0] = 2; return f },
			"to all":              func() []byte { f := good(); copy(f, []byte{255, 255, 255, 255, 255, 255}); return f },
			"too short for ChannelData": func() []byte {
				return datagram{from: r.remote, to: r.local, payload: []byte{0x40, 1, 0}}.frame()
			},
			"empty": func() []byte { return datagram{from: r.remote, to: r.local}.frame() },
		}
		if r.channel != 0 {
			odd["STUN"] = func() []byte {
				m := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
				return datagram{from: r.remote, to: r.local, payload: m}.frame()
			}
			odd["another channel"] = func() []byte { f := good(); f[udp+9] += 8; return f }
			odd["a reserved channel"] = func() []byte { f := good(); f[udp+8] = 0x80; return f }
			odd["channel length longer"] = func() []byte { f := good(); f[udp+11]++; return f }
			odd["channel length shorter"] = func() []byte { f := good(); f[udp+11] -= 4; return f }
			odd["channel length 0"] = func() []byte { f := good(); f[udp+10], f[udp+11] = 0, 0; return f }
			odd["padding that says something"] = func() []byte {
				f := r.packet(counting(173), 3)
				f[len(f)-1] = 1
				return f
			}
		}
		if four {
			odd["IP options"] = func() []byte {
				f := good()
				h := append(append([]byte{}, f[14:34]...), 1, 1, 1, 0)
				h[0] = 0x46
				binary.BigEndian.PutUint16(h[2:], uint16(len(f)-14+4))
				return append(append(append([]byte{}, f[:14]...), sealed(h)...), f[34:]...)
			}
			odd["first fragment"] = func() []byte { f := good(); f[14+6] = 0x20; sealed(f[14:34]); return f }
			odd["last fragment"] = func() []byte { f := good(); f[14+6], f[14+7] = 0, 64; sealed(f[14:34]); return f }
			odd["IP checksum"] = func() []byte { f := good(); f[14+10] ^= 1; return f }
			odd["IP length"] = func() []byte { f := good(); f[14+3]++; sealed(f[14:34]); return f }
			odd["version"] = func() []byte { f := good(); f[14] = 0x55; sealed(f[14:34]); return f }
		} else {
			odd["extension header"] = func() []byte {
				f := good()
				h := append([]byte{}, f[:54]...)
				h[14+6] = 60 // destination options: UDP next, six bytes of padding
				binary.BigEndian.PutUint16(h[14+4:], uint16(len(f)-54+8))
				return append(append(h, 17, 0, 1, 4, 0, 0, 0, 0), f[54:]...)
			}
			odd["fragment header"] = func() []byte {
				f := good()
				h := append([]byte{}, f[:54]...)
				h[14+6] = 44
				binary.BigEndian.PutUint16(h[14+4:], uint16(len(f)-54+8))
				return append(append(h, 17, 0, 0, 1, 0, 0, 0, 9), f[54:]...)
			}
			odd["payload length"] = func() []byte { f := good(); f[14+5]++; return f }
			odd["version"] = func() []byte { f := good(); f[14] = 0x50; return f }
		}
		for what, make := range odd {
			frame := make()
			if verdict, out := b.run(frame); verdict != goesOn || !bytes.Equal(out, frame) {
				t.Errorf("%s, %v to %v in %x: verdict %d, want it to go on unchanged", what, r.remote, r.local, r.channel, verdict)
			}
			if what != "for another machine" && what != "to all" { // which the reference does not know
				b.check(frame)
			}
		}
		// A wrong checksum stays wrong: who gets it drops it, as this host would have.
		wrong := good()
		wrong[len(wrong)-1] ^= 0x55
		b.check(wrong)
	}
	if sent < 500 {
		t.Errorf("only %d packets passed", sent)
	}
}

// TestProgramTimes holds that a flow forwards until its permission or channel ends, by the
// kernel's clock, and nothing once the process has not said for two seconds that it lives.
func TestProgramTimes(t *testing.T) {
	r := testRules()[0]
	b := newBench(t, []rule{r})
	b.put(r, b.now+lifetime)
	frame := r.packet(counting(100), 0)
	passes := func(what string, want bool) {
		t.Helper()
		verdict, _ := b.run(frame)
		if (verdict == redirect) != want || !want && verdict != goesOn {
			t.Errorf("%s: verdict %d", what, verdict)
		}
	}
	passes("fresh", true)
	b.now += lifetime - int64(10*time.Second)
	b.live()
	passes("just before its end", true)
	b.now += int64(10 * time.Second)
	b.live()
	passes("after its end", false)
	b.put(r, b.now+lifetime)
	passes("entered again", true)
	b.settings.beat.Store(b.now - int64(3*time.Second))
	passes("the process is silent", false)
	b.live()
	passes("it lives again", true)
	b.Remove([]core.FlowKey{{Remote: endpoint(r.remote), Local: endpoint(r.local), Channel: r.channel}})
	passes("removed", false)
}

// TestProgramBegins holds that packets overtake none that the process may still have.
func TestProgramBegins(t *testing.T) {
	r := testRules()[0]
	b := newBench(t, []rule{r})
	frame := r.packet(counting(100), 0)
	k := keyOf(core.FlowKey{Remote: endpoint(r.remote), Local: endpoint(r.local), Channel: r.channel})
	enter := func() {
		var f flow
		if err := b.flows.Lookup(unsafe.Pointer(&k), unsafe.Pointer(&f)); err != nil {
			t.Fatal(err)
		}
		f.begun, f.entered, f.seen = 0, uint64(b.now), uint64(b.now)
		if err := b.flows.Update(unsafe.Pointer(&k), unsafe.Pointer(&f), ebpf.UpdateAny); err != nil {
			t.Fatal(err)
		}
	}
	b.unhurried(t, func(fail func(string, ...any)) {
		step := func(d time.Duration, want uint32) {
			b.now += int64(d)
			b.live()
			if verdict, _ := b.run(frame); verdict != want {
				fail("after %v: verdict %d, want %d", d, verdict, want)
			}
		}
		enter()
		step(0, goesOn)
		step(time.Millisecond, goesOn)
		step(100*time.Millisecond, redirect)
		step(0, redirect)
		enter()
		for range 400 { // dense ones: from one second on
			b.now += int64(2 * time.Millisecond)
			b.live()
			verdict, _ := b.run(frame)
			if verdict == redirect {
				break
			}
		}
		step(0, goesOn)
		step(400*time.Millisecond, redirect)
	})
}

// TestProgramHolds holds that what follows an odd packet does not overtake it either.
func TestProgramHolds(t *testing.T) {
	r := testRules()[0]
	b := newBench(t, []rule{r})
	good, long := r.packet(counting(100), 0), r.packet(counting(1390), 0)
	b.unhurried(t, func(fail func(string, ...any)) {
		for _, step := range []struct {
			after time.Duration
			frame []byte
			want  uint32
		}{{20 * time.Millisecond, good, redirect}, {0, long, goesOn}, {0, good, goesOn}, {time.Millisecond, good, goesOn}, {20 * time.Millisecond, good, redirect}, {0, good, redirect}} {
			b.now += int64(step.after)
			b.live()
			if verdict, _ := b.run(step.frame); verdict != step.want {
				fail("verdict %d, want %d: %+v", verdict, step.want, step)
			}
		}
	})
}

// TestProgramLimits holds the accounts to their limits, each with its own count.
func TestProgramLimits(t *testing.T) {
	r := testRules()[0]
	b := newBench(t, []rule{r})
	run := func(n int, want uint32) {
		t.Helper()
		if verdict, _ := b.run(r.packet(counting(n), 0)); verdict != want {
			t.Errorf("%d bytes: verdict %d, want %d", n, verdict, want)
		}
	}
	d, rare := &b.shares[0].ToPeer, &b.shares[0].RareToPeer
	b.SetRates(core.OffloadRates{Bytes: 0.01}) // a byte takes 100 s, and no more than a second's can be saved
	run(100, dropped)
	if rare.OverBandwidth.Load() != 1 || rare.OverPackets.Load() != 0 || d.RelayedPackets[0].Load() != 0 {
		t.Errorf("%+v", d)
	}
	b.SetRates(core.OffloadRates{Packets: 3})
	for range 3 {
		run(100, redirect)
	}
	run(100, dropped)
	if rare.OverBandwidth.Load() != 1 || rare.OverPackets.Load() != 1 || d.RelayedPackets[0].Load() != 3 || d.RelayedBytes[0].Load() != 300 {
		t.Errorf("%+v", d)
	}
	b.SetRates(core.OffloadRates{})
	run(100, redirect)

	// Those of users: without an account the process looks after them.
	for i := range 2 {
		b.shares[i].RareToPeer.User.Store(core.NoUser)
		b.shares[i].RareToClient.User.Store(core.NoUser)
	}
	b.SetRates(core.OffloadRates{UserBytes: 1000})
	run(100, goesOn)
	for i := range 2 { // two users; of this packet one sends and the other one receives
		b.shares[i].RareToPeer.User.Store(uint32(i))
		b.shares[i].RareToClient.User.Store(uint32(i))
	}
	b.now = monotonic() + int64(time.Hour)
	b.live()
	run(900, redirect)
	run(200, dropped)
	if rare.OverUserBandwidth.Load() != 1 || b.usages[1].Volume.Load() != 0 {
		t.Errorf("%+v", rare)
	}
	b.SetRates(core.OffloadRates{UserVolume: 1000})
	run(100, goesOn) // their day has not begun
	second := b.now / 1e9
	for i := range 2 {
		b.usages[i].Began.Store(second)
	}
	run(600, redirect)
	run(600, dropped)
	run(400, redirect)
	run(4, dropped)
	if rare.OverUserVolume.Load() != 2 || b.usages[0].Volume.Load() != 1000 || b.usages[1].Volume.Load() != 1000 {
		t.Errorf("%+v %+v", rare, &b.usages[0])
	}
	b.usages[0].Volume.Store(0)
	run(4, dropped) // to whom it is sent has had his
	if n := b.shares[1].RareToClient.OverUserVolume.Load(); n != 1 {
		t.Errorf("%d packets to a user who has had his volume, want 1", n)
	}
	b.usages[1].Volume.Store(0)
	b.now += 24 * int64(time.Hour)
	b.live()
	run(4, goesOn) // a new day
}

// FuzzPackets gives frames to the program and to the reference.
func FuzzPackets(f *testing.F) {
	rules := testRules()
	for _, r := range rules {
		f.Add(r.packet(counting(3), 1))
		f.Add(r.packet(counting(172), 0))
		f.Add(r.packet(counting(1250), 0))
	}
	b := newBench(f, rules)
	f.Fuzz(func(t *testing.T, frame []byte) {
		// BPF_PROG_TEST_RUN takes none without the whole header of its family.
		if len(frame) < 14+20 || len(frame) > 3200 || be(frame[12:]) == 0x86dd && len(frame) < 14+40 {
			return
		}
		b.t = t
		// What no sum of random bytes gives: so that the rest is looked at.
		frame = bytes.Clone(frame)
		clear(frame[:12])
		if be(frame[12:]) == 0x0800 && frame[14] == 0x45 && frame[10] == 0 {
			sealed(frame[14:34])
		}
		b.check(frame)
	})
}
