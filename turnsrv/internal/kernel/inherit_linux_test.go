//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
)

func openFor(t *testing.T, cfg Config) *Kernel {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Attachment == "" {
		cfg.Attachment = wanted()
	}
	k, err := Open(cfg)
	if err != nil {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
	}
	k.clock = monotonic
	return k
}

func (k *Kernel) has(f *core.Flow) bool {
	kk := keyOf(f.FlowKey)
	var v flow
	return k.flows.Lookup(unsafe.Pointer(&kk), unsafe.Pointer(&v)) == nil
}

// TestInherit has three processes share tables: each has its own counters and flows, and
// what one leaves when it ends is gone, while that of the others stays.
func TestInherit(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for _, a := range attachments(t) {
		t.Run(string(a), func(t *testing.T) { inherit(t, a) })
	}
}

func inherit(t *testing.T, a Attachment) {
	const n = 20
	first := openFor(t, Config{Allocations: n, Attachment: a})
	all := []*Kernel{first}
	for range 2 {
		in, err := all[len(all)-1].Bequeath()
		if err != nil {
			t.Fatal(err)
		}
		k := openFor(t, Config{Allocations: n, Attachment: a, Inherited: in})
		if !strings.HasPrefix(k.why, "taken over") {
			t.Fatal(k.why)
		}
		all = append(all, k)
	}
	seen := make(map[uint32]bool)
	for i := range n {
		share, number, ok := all[i%3].Share()
		if !ok || seen[number] {
			t.Fatalf("counters %d: number %d, %v", i, number, ok)
		}
		seen[number] = true
		share.ToPeer.Last.Store(int64(i))
	}
	for i, k := range all {
		if _, _, ok := k.Share(); ok {
			t.Errorf("process %d has counters when there are no more", i)
		}
		for j := range 5 {
			if why := k.Enter(flowOf(10000 + 10*i + j)); why != "" {
				t.Fatal(why)
			}
		}
	}

	// A link is the first one's alone, a filter everybody's.
	if first.attached[loopback] == nil || all[2].borrowed[loopback] != (a == TCX) || attachedTo(t, a) != 1 {
		t.Errorf("the program is not attached once, but %d times", attachedTo(t, a))
	}
	all[1].Close()
	for i, k := range []*Kernel{first, all[2]} {
		for j := range 5 {
			if k.has(flowOf(10010 + j)) {
				t.Errorf("flow %d of a process that has ended is there", j)
			}
			if !first.has(flowOf(10000+20*i+j)) || !k.has(flowOf(10000+20*i+j)) {
				t.Errorf("flow %d of process %d is gone", j, 2*i)
			}
		}
		if _, _, ok := k.Share(); !ok {
			t.Error("the counters of a process that has ended are not given out")
		}
	}
	// One that is killed leaves its place behind.
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	all[2].settings.process.Store(int32(dead.Process.Pid))
	term := all[2].settings.term.Load()
	first.sweep()
	if first.has(flowOf(10020)) || !first.has(flowOf(10000)) || all[2].settings.process.Load() != 0 || all[2].settings.term.Load() == term {
		t.Error("what a killed process has left is still there")
	}
	// When the one ends that has attached the program, another one does it.
	first.Close()
	if a == Clsact && attachedTo(t, a) != 1 {
		t.Error("a filter is gone while somebody who shares it goes on")
	}
	all[2].watch(loopback)
	if all[2].attached[loopback] == nil || len(all[2].borrowed) != 0 || attachedTo(t, a) != 1 {
		t.Error("the program is not attached any more")
	}
	all[2].Close()
	for deadline := time.Now().Add(10 * time.Second); attachedTo(t, a) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the program is there after all have ended")
		}
	}
}

// TestInheritOther loads its own program where that of the process before is another one,
// or has too little room, and takes it over where it may not load one.
func TestInheritOther(t *testing.T) {
	first := openFor(t, Config{Allocations: 20})
	defer first.Close()
	for _, x := range []struct {
		identity string
		n        int
		taken    bool
	}{{identity(), 20, true}, {identity(), 100, false}, {fmt.Sprintf("%d:0", layout), 20, false}, {fmt.Sprintf("%d:0", layout+1), 20, false}, {"", 20, false}} {
		in, err := first.Bequeath()
		if err != nil {
			t.Fatal(err)
		}
		in.Identity = x.identity
		k := openFor(t, Config{Allocations: x.n, Inherited: in})
		if taken := k.program.FD() >= 0 && k.inherited != ""; taken != x.taken {
			t.Errorf("%+v: %s", x, k.why)
		}
		k.Close()
		for _, f := range in.Files {
			if f.Close() == nil {
				t.Errorf("%s is still open", f.Name())
			}
		}
	}
}

// describe writes down what a type looks like in memory.
func describe(w *strings.Builder, t btf.Type) {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		fmt.Fprintf(w, "%s %d{", t.Name, t.Size)
		for _, m := range t.Members {
			fmt.Fprintf(w, "%s@%d:", m.Name, m.Offset)
			describe(w, m.Type)
		}
		w.WriteString("}")
	case *btf.Array:
		fmt.Fprintf(w, "[%d]", t.Nelems)
		describe(w, t.Type)
	default:
		size, _ := btf.Sizeof(t)
		fmt.Fprintf(w, "%d;", size)
	}
}

// TestLayout holds that the layout's number is another one when the tables are: a process
// takes over tables by it.
func TestLayout(t *testing.T) {
	const known = "65f790ac9fe93731" // of the number below
	const number = 5
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(spec.Maps))
	if want := slices.Sorted(slices.Values(tables)); !slices.Equal(names, want) {
		t.Fatalf("the program has the tables %v, and %v are handed over", names, want)
	}
	for name, size := range map[string]uintptr{
		"flows": unsafe.Sizeof(flow{}), "settings": unsafe.Sizeof(settings{}), "slots": unsafe.Sizeof(core.Share{}),
		"users": unsafe.Sizeof(core.Usage{}), "claims": unsafe.Sizeof(atomic.Uint64{}),
	} {
		if uintptr(spec.Maps[name].ValueSize) != size {
			t.Errorf("%s: %d bytes in the program, %d here", name, spec.Maps[name].ValueSize, size)
		}
	}
	var w strings.Builder
	for _, name := range names {
		m := spec.Maps[name]
		fmt.Fprintf(&w, "%s %v:", name, m.Type)
		describe(&w, m.Key)
		describe(&w, m.Value)
	}
	if now := fmt.Sprintf("%x", sha256.Sum256([]byte(w.String())))[:16]; now != known || layout != number {
		t.Errorf("layout %d is %s, and %d was %s: where the tables have changed, raise the number, and write both down here\n%s", layout, now, number, known, &w)
	}
}

// TestPolicies refuses routes as soon as the host has an IPsec policy, also where the
// process may not ask which there are and has only inherited the socket that hears of them.
func TestPolicies(t *testing.T) {
	const inside = "KERNEL_POLICIES"
	if os.Getenv(inside) == "" {
		openFor(t, Config{}).Close()
		name := fmt.Sprintf("policies-%d", os.Getpid())
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: no network namespaces: %v: %s ########", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		run := exec.Command("ip", "netns", "exec", name, os.Args[0], "-test.run=^TestPolicies$", "-test.v")
		run.Env = append(os.Environ(), inside+"=1")
		if out, err := run.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	asks, err := newRoutes(-1)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := netlink(unix.NETLINK_XFRM, policyGroup, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Skipf("######## NOT TESTED: IPSEC: %v ########", err)
	}
	hears, err := newRoutes(-1)
	if err != nil {
		t.Fatal(err)
	}
	hears.policies.Close()
	hears.policies, hears.asks = os.NewFile(uintptr(fd), "xfrm"), false
	f := flowOf(10000)
	for _, r := range []*routes{asks, hears} {
		if _, why := r.to(f.Target, f.Source); why != "" {
			t.Fatal(why)
		}
		changed := make(chan struct{}, 10)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.watchPolicies(func() { changed <- struct{}{} })
		}()
		t.Cleanup(func() {
			r.close()
			<-ended
		})
		if r == asks {
			out, err := exec.Command("ip", "xfrm", "policy", "add", "src", "10.0.0.0/8", "dst", "10.9.0.0/16", "dir", "out", "action", "block").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was heard of a policy")
		}
		if _, why := r.to(f.Target, f.Source); why != "ipsec" {
			t.Errorf("with a policy: %q, want ipsec", why)
		}
	}
	// Who comes later and may not ask is told by what waits in the socket, or knows nothing.
	late, err := netlink(unix.NETLINK_XFRM, policyGroup, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(late)
	if !ipsec() {
		t.Error("a policy is not seen")
	}
}

// TestCloseUnderUsers closes while somebody beside the relay still counts in what a user has
// used: the memory is there until that ends, and nothing of it is lent any more.
func TestCloseUnderUsers(t *testing.T) {
	k := openFor(t, Config{Allocations: 4})
	usage, number, ok := k.User()
	_, other, also := k.User()
	if !ok || !also {
		t.Fatal("nothing is lent")
	}
	k.Close()
	usage.Volume.Add(1)
	if _, _, ok := k.User(); ok {
		t.Error("a user's counters are lent after the end")
	}
	if _, _, ok := k.Share(); ok {
		t.Error("an allocation's counters are lent after the end")
	}
	k.SetRates(core.OffloadRates{Bytes: 1})
	k.ReleaseUser(other)
	usage.Volume.Add(1)
	if len(k.memory) == 0 {
		t.Error("the memory is given back while somebody counts there")
	}
	k.ReleaseUser(number)
	if len(k.memory) > 0 {
		t.Error("the memory is never given back")
	}
}
