//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// attachments are the ways that work here.
func attachments(t *testing.T) (all []Attachment) {
	t.Helper()
	for _, a := range []Attachment{TCX, Clsact} {
		if _, err := Try(a); err == nil {
			all = append(all, a)
		} else {
			t.Logf("######## NOT TESTED: THE RELAY IN THE KERNEL BY %s: %v ########", strings.ToUpper(string(a)), err)
		}
	}
	if all == nil {
		t.Skip("######## NOT TESTED: THE RELAY IN THE KERNEL ########")
	}
	return all
}

// ownNamespace runs a test again in a network namespace of its own, with the loopback up,
// and reports whether this is that process.
func ownNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "KERNEL_NAMESPACE"
	if os.Getenv(inside) != "" {
		return true
	}
	name := fmt.Sprintf("kernel-%d", time.Now().UnixNano())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: no network namespaces: %v: %s ########", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	run := exec.Command("ip", "netns", "exec", name, "sh", "-c", `ip link set lo up && exec "$0" "$@"`, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	run.Env = append(os.Environ(), inside+"=1")
	out, err := run.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func sh(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

func indexOf(t *testing.T, name string) uint32 {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(i.Index)
}

// A stranger is another program's filter, which counts the packets that come to it and ends
// them as it likes.
type stranger struct {
	t       *testing.T
	counter *ebpf.Map
}

func newStranger(t *testing.T, index uint32, priority uint16, ends int32) *stranger {
	t.Helper()
	counter, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "MIT", Instructions: asm.Instructions{
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, counter.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, ends).WithSymbol("end"),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	options := appendNumber(nil, tcaBPFFD, uint32(p.FD()))
	options = appendString(options, tcaBPFName, "somebody-else")
	options = appendNumber(options, tcaBPFFlags, directAction)
	m := appendString(tcMessage(index, 1, tcIngress, uint32(priority)<<16|everything), unix.TCA_KIND, "bpf")
	if err := do(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, appendAttribute(m, unix.TCA_OPTIONS|nested, options)); err != nil {
		t.Fatal(err)
	}
	p.Close() // the filter holds it
	return &stranger{t, counter}
}

func (s *stranger) count() (n uint64) {
	s.t.Helper()
	if err := s.counter.Lookup(uint32(0), &n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// at are the names of our filters at an interface, by what another program than this one
// says of it.
func at(t *testing.T, name string) (ours []string) {
	t.Helper()
	for _, word := range strings.Fields(sh(t, "tc filter show dev "+name+" ingress")) {
		if strings.HasPrefix(word, filterName) {
			ours = append(ours, word)
		}
	}
	return ours
}

func qdisc(t *testing.T, name string) string {
	t.Helper()
	for _, line := range strings.Split(sh(t, "tc qdisc show dev "+name), "\n") {
		if f := strings.Fields(line); len(f) > 1 && (f[1] == "clsact" || f[1] == "ingress") {
			return f[1]
		}
	}
	return ""
}

// TestClsact attaches beside strangers: their qdiscs and filters stay and go on working,
// ours come and go with two servers, and come back when somebody takes them away.
func TestClsact(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	open := func() *Kernel {
		t.Helper()
		k, err := Open(Config{Attachment: Clsact, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
		}
		k.clock = monotonic
		return k
	}
	if how, err := Try(Clsact); err != nil || !strings.Contains(how, "clsact") || len(at(t, "lo")) != 0 || qdisc(t, "lo") != "" {
		t.Fatalf("%v: %q; %q and qdisc %q are left of the trial", err, how, at(t, "lo"), qdisc(t, "lo"))
	}
	first := open()
	if first.Attachment() != Clsact || !strings.Contains(first.Why(), "clsact filter, as configured") {
		t.Error(first.Why())
	}
	if len(at(t, "lo")) != 1 {
		t.Error("nothing is attached to an interface with an address before the first call")
	}
	sh(t, `for i in va vb vc; do ip link add $i type veth peer name ${i}x; ip link set $i up; ip link set ${i}x up; done
		tc qdisc add dev va clsact; tc qdisc add dev vb ingress; tc qdisc add dev vc ingress_block 7 clsact`)
	a := indexOf(t, "va")
	before, after := newStranger(t, a, 1, -1), newStranger(t, a, 0xf000, -1)
	send := func() {
		t.Helper()
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		frame := append(bytes.Repeat([]byte{0xff}, 12), 0x88, 0xb5) // for experiments (IEEE 802)
		if err := unix.Sendto(fd, append(frame, make([]byte, 50)...), 0, &unix.SockaddrLinklayer{Ifindex: int(indexOf(t, "vax"))}); err != nil {
			t.Fatal(err)
		}
	}
	both := func(what string) {
		t.Helper()
		was := [2]uint64{before.count(), after.count()}
		send()
		for deadline := time.Now().Add(10 * time.Second); before.count() == was[0] || after.count() == was[1]; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the strangers' filters have seen %d and %d packets, before %v", what, before.count(), after.count(), was)
			}
		}
	}
	both("without ours")
	watches := func(k *Kernel, name string) bool {
		index := indexOf(t, name)
		k.routes.mu.Lock()
		err := k.routes.look()
		k.routes.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if k.watches(index) {
			return true
		}
		k.attachWanted()
		return k.watches(index)
	}
	for _, name := range []string{"va", "vb", "lo"} {
		if !watches(first, name) {
			t.Errorf("nothing is attached to %s", name)
		}
	}
	if watches(first, "vc") || qdisc(t, "vc") != "clsact" {
		t.Error("a filter in a block that interfaces of others share")
	}
	both("with ours")
	second := open()
	for _, name := range []string{"va", "vb", "lo"} {
		for range 2 {
			if !watches(second, name) {
				t.Errorf("nothing of the second is attached to %s", name)
			}
		}
		if ours := at(t, name); len(ours) != 2 {
			t.Errorf("%s: %q", name, ours)
		}
	}
	if n, err := Sweep(); n != 0 || err != nil {
		t.Errorf("%d filters of living servers are taken away: %v", n, err)
	}
	first.Close()
	for _, name := range []string{"va", "vb", "lo"} {
		if ours := at(t, name); len(ours) != 1 || !strings.HasPrefix(ours[0], filterName+second.filters.life.id) {
			t.Errorf("%s, after one of two has ended: %q", name, ours)
		}
	}
	both("with those of the second")

	// Somebody sets an interface up anew, as network managers do.
	sh(t, "tc qdisc del dev lo clsact")
	second.comeBack()
	second.attachWanted()
	if ours := at(t, "lo"); len(ours) != 1 || !second.lost {
		t.Errorf("after somebody has taken the filter away: %q", ours)
	}
	// An interface goes, and one of that name comes.
	sh(t, "ip link del va; ip link add va type veth peer name vax; ip link set va up; ip link set vax up")
	second.comeBack()
	second.expect()
	again := watches(second, "va")
	second.detachGone()
	if second.attached[a] != nil || !again || len(at(t, "va")) != 1 {
		t.Errorf("after an interface has gone and come: %v, %q", second.attached, at(t, "va"))
	}
	// A stranger comes later, to the qdisc that is ours, at its egress.
	sh(t, "tc filter add dev va egress prio 1 protocol all u32 match u32 0 0 classid 1:1")
	second.Close()
	for name, want := range map[string]string{"va": "clsact", "vb": "ingress", "vc": "clsact", "lo": ""} {
		if ours := at(t, name); len(ours) != 0 || qdisc(t, name) != want {
			t.Errorf("%s, after both have ended: %q, qdisc %q, want %q", name, ours, qdisc(t, name), want)
		}
	}
}

// TestClsactWhere expects packets where an interface has an address that can be reached from
// afar, and not at those of containers; and says once where a filter cannot be.
func TestClsactWhere(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	sh(t, `ip link add near type veth peer name nearx; ip link set near up; ip link set nearx up
		ip link add far type veth peer name farx; ip addr add 10.1.1.1/24 dev far; ip link set far up; ip link set farx up`)
	var log bytes.Buffer
	k, err := Open(Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Attachment: Clsact})
	if err != nil {
		t.Skipf("######## NOT TESTED: WHERE THE RELAY'S FILTERS ARE: %v ########", err)
	}
	defer k.Close()
	for name, want := range map[string]bool{"far": true, "lo": true, "near": false, "nearx": false} {
		if got := k.attached[indexOf(t, name)] != nil; got != want {
			t.Errorf("%s has a filter: %v, want %v", name, got, want)
		}
	}
	// An older qdisc with a block, which takes no filters at an interface.
	sh(t, "tc qdisc add dev near ingress_block 7 clsact")
	near := indexOf(t, "near")
	for range 3 {
		if k.watches(near) {
			t.Error("it is said to be at an interface where it cannot be")
		}
		k.attachWanted()
	}
	if n := strings.Count(log.String(), "cannot be put there"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
	sh(t, "tc qdisc del dev near clsact")
	k.expect() // as after a change
	k.watches(near)
	k.attachWanted()
	if k.attached[near] == nil {
		t.Errorf("it does not come where it can be again: %s", &log)
	}
}

// TestClsactNames reads only names that it writes.
func TestClsactNames(t *testing.T) {
	for _, f := range []filter{{id: "0123456789abcdef"}, {id: "ffffffffffffffff", qdisc: true}} {
		var got filter
		if !got.parse(f.name()) || got != f {
			t.Errorf("%s: %+v", f.name(), got)
		}
		if h := f.handle(); h == 0 || h >= 1<<31 {
			t.Errorf("handle %x", h)
		}
	}
	for _, name := range []string{"", "somebody", filterName, filterName + "0123", filterName + "0123456789abcdeg", filterName + "+123456789abcdef", filterName + "0123456789abcdef-qdisc-qdisc"} {
		if f := (&filter{}); f.parse(name) {
			t.Errorf("%q is taken for ours: %+v", name, f)
		}
	}
}

// TestLife holds that a name is taken as long as anybody has a part in it.
func TestLife(t *testing.T) {
	l, err := newLife()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := duplicate(l.fd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := share(fd)
	if err != nil || other.id != l.id {
		t.Fatal(other, err)
	}
	l.end()
	if _, err := claim(l.id); err == nil {
		t.Error("a name is free that another process has")
	}
	other.end()
	again, err := claim(l.id)
	if err != nil {
		t.Fatal(err)
	}
	again.end()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if fd, err = duplicate(int(r.Fd())); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := share(fd); err == nil {
		t.Error("a pipe is a life")
	}
}
