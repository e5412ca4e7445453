//go:build linux && (amd64 || arm64)

package kernel

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
)

// flowOf is a flow between addresses of this host, over the loopback.
func flowOf(port int) *core.Flow {
	at := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	}
	return &core.Flow{
		FlowKey: core.FlowKey{Remote: endpoint(at(port)), Local: endpoint(at(3)), Channel: 0x4001},
		Source:  endpoint(at(1)), Target: endpoint(at(2)), Expires: 1 << 62,
	}
}

// TestFullTable leaves to the process what the table does not take, and says so once.
func TestFullTable(t *testing.T) {
	var log bytes.Buffer
	k, err := Open(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
	}
	t.Cleanup(k.Close)
	k.clock = monotonic
	room := int(k.flows.MaxEntries())
	for i := range room {
		if why := k.Enter(flowOf(10000 + i)); why != "" {
			t.Fatalf("flow %d of %d: %s", i, room, why)
		}
	}
	for i := range 3 {
		if why := k.Enter(flowOf(20000 + i)); why != "full" {
			t.Errorf("one more flow: %q, want full", why)
		}
	}
	if why := k.Enter(flowOf(10000)); why != "" {
		t.Errorf("one that is there is entered anew: %q", why)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines in the log, want 1: %s", n, log.String())
	}
	k.Remove([]core.FlowKey{flowOf(10000).FlowKey})
	if why := k.Enter(flowOf(20000)); why != "" {
		t.Errorf("after one has ended: %q", why)
	}
}

// attachedTo is how many programs are at the ingress of an interface.
func attachedTo(t *testing.T, index int) int {
	t.Helper()
	q, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Fatal(err)
	}
	return len(q.Programs)
}

// TestKilled holds that nothing is left in the kernel of a process that was killed.
func TestKilled(t *testing.T) {
	const child = "KERNEL_CHILD"
	open := func() *Kernel {
		k, err := Open(Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
		}
		return k
	}
	if os.Getenv(child) != "" {
		k := open()
		k.clock = monotonic
		if why := k.Enter(flowOf(10000)); why != "" {
			t.Fatal(why)
		}
		fmt.Println("entered")
		select {}
	}
	open().Close()
	const inside = "KERNEL_NAMESPACE"
	if os.Getenv(inside) == "" {
		// In a namespace of its own nothing else is attached.
		cmd := exec.Command("ip", "netns", "add", fmt.Sprintf("kernel-%d", os.Getpid()))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: no network namespaces: %v: %s ########", err, out)
		}
		name := cmd.Args[3]
		t.Cleanup(func() {
			if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		run := exec.Command("ip", "netns", "exec", name, "sh", "-c", `ip link set lo up && exec "$0" "$@"`, os.Args[0], "-test.run=^TestKilled$", "-test.v")
		run.Env = append(os.Environ(), inside+"=1")
		if out, err := run.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const loopback = 1
	if n := attachedTo(t, loopback); n != 0 {
		t.Fatalf("%d programs before", n)
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v")
	victim.Env = append(os.Environ(), child+"=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "entered" {
	}
	if n := attachedTo(t, loopback); n != 1 {
		t.Errorf("%d programs while it runs, want 1", n)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // killed
	for deadline := time.Now().Add(10 * time.Second); attachedTo(t, loopback) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the program of a killed process is still there")
		}
	}
}

// TestCapabilities holds the documents to what it needs: as nobody, three capabilities do,
// and where one is missing the error names them.
func TestCapabilities(t *testing.T) {
	const child = "KERNEL_CAPABILITIES"
	if os.Getenv(child) != "" {
		k, err := Open(Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		k.Close()
		fmt.Println("opened")
		return
	}
	k, err := Open(Config{})
	if err != nil || os.Getuid() != 0 {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v, user %d ########", err, os.Getuid())
	}
	k.Close()
	const nobody = 65534
	all := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN}
	for without := -1; without < len(all); without++ {
		caps, want := all, "opened"
		if without >= 0 {
			caps = slices.Delete(slices.Clone(all), without, without+1)
			want = "refused: it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestCapabilities$") // whose folder nobody may enter
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), child+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("with the capabilities %v: %v: %s", caps, err, out)
		}
	}
}
