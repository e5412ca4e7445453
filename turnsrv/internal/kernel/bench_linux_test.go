//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkFlows is what the program itself takes for a packet, by the kernel's count, of a
// few flows or of many among many more allocations, and where others have used the
// processor's caches in between, as a machine with so many sockets does.
func BenchmarkFlows(b *testing.B) {
	const allocations = 10_000
	k, err := Open(Config{Allocations: allocations})
	if err != nil {
		b.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
	}
	defer k.Close()
	k.clock = monotonic
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Skip(err)
	}
	defer stats.Close()
	frames := make([][]byte, allocations)
	lab := &bench{Kernel: k, t: b, now: monotonic()}
	for i := range frames {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 4000)
		r := rule{client, ap("198.51.100.1:3478"), ap("198.51.100.1:50000"), ap("203.0.113.7:6000"), 0x4001, 0, 1500}
		lab.from = uint32(i)
		lab.put(r, 1<<62)
		frames[i] = r.packet(counting(172), 0)
	}
	others := make([]byte, 4<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for _, cold := range []bool{false, true} {
		for _, flows := range []int{10, 2000} {
			b.Run(fmt.Sprintf("flows=%d cold=%v", flows, cold), func(b *testing.B) {
				chosen := r.Perm(allocations)[:flows]
				lab.now = monotonic()
				lab.live()
				stop, ended := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(ended)
					for {
						select {
						case <-stop:
							return
						case <-time.After(beatEvery):
							k.settings.beat.Store(monotonic())
						}
					}
				}()
				round := func(n int) {
					for i := range n {
						if cold {
							for at := 0; at < len(others); at += 64 {
								others[at]++
							}
						}
						if verdict, err := k.program.Run(&ebpf.RunOptions{Data: frames[chosen[i%flows]]}); err != nil || verdict != redirect {
							b.Fatal(verdict, err)
						}
					}
				}
				round(flows)
				before, err := k.program.Stats()
				if err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				round(b.N)
				b.StopTimer()
				after, err := k.program.Stats()
				if err != nil {
					b.Fatal(err)
				}
				close(stop)
				<-ended
				b.ReportMetric(float64(after.Runtime-before.Runtime)/float64(after.RunCount-before.RunCount), "ns/packet")
			})
		}
	}
}
