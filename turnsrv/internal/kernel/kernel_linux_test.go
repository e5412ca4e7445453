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

// wanted is how a test attaches the program that does not say it: TURNSRV_KERNEL=clsact go
// test ./turnsrv/internal/kernel
func wanted() Attachment {
	if a := Attachment(os.Getenv("TURNSRV_KERNEL")); a == Clsact {
		return a
	}
	return ""
}

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
	k, err := Open(Config{Attachment: wanted(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
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

// attachedTo is how many programs are at the ingress of the loopback.
func attachedTo(t *testing.T, a Attachment) int {
	t.Helper()
	if a == Clsact {
		return len(at(t, "lo"))
	}
	q, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Fatal(err)
	}
	return len(q.Programs)
}

// TestKilled holds that nothing is left in the kernel of a process that was killed, or, of a
// filter, that it stays until somebody takes it away: the next one as it starts, or Sweep.
func TestKilled(t *testing.T) {
	const child = "KERNEL_CHILD"
	if a := os.Getenv(child); a != "" {
		k := openFor(t, Config{Attachment: Attachment(a)})
		if why := k.Enter(flowOf(10000)); why != "" {
			t.Fatal(why)
		}
		fmt.Println("entered")
		select {}
	}
	if !ownNamespace(t) {
		return
	}
	for _, a := range attachments(t) {
		if n := attachedTo(t, a); n != 0 {
			t.Fatalf("%s: %d programs before", a, n)
		}
		kill := func() {
			t.Helper()
			victim := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v")
			victim.Env = append(os.Environ(), child+"="+string(a))
			out, err := victim.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			said := ""
			for lines.Scan() && lines.Text() != "entered" {
				said += lines.Text() + "\n"
			}
			if lines.Text() != "entered" {
				t.Fatal(said)
			}
			if n, err := Sweep(); attachedTo(t, a) != 1 || n != 0 || err != nil {
				t.Errorf("%s: %d programs while it runs, want 1, and %d were swept: %v", a, attachedTo(t, a), n, err)
			}
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = victim.Wait() // killed
		}
		kill()
		if a == Clsact {
			if attachedTo(t, a) != 1 {
				t.Error("a filter does not outlive its process: that is what Sweep is for")
			}
			if n, err := Sweep(); n != 1 || err != nil {
				t.Errorf("%d filters are taken away, %v", n, err)
			}
			if attachedTo(t, a) != 0 || qdisc(t, "lo") != "" {
				t.Errorf("%q and a qdisc %q are left", at(t, "lo"), qdisc(t, "lo"))
			}
			kill()
			next := openFor(t, Config{Attachment: a})
			if ours := at(t, "lo"); len(ours) != 1 || !strings.HasPrefix(ours[0], filterName+next.filters.life.id) {
				t.Errorf("the filter of a killed process is there after the next one's start: %q", ours)
			}
			next.Close()
		}
		for deadline := time.Now().Add(10 * time.Second); attachedTo(t, a) != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the program of a killed process is still there")
			}
		}
	}
}

// TestCapabilities holds the documents to what it needs: as nobody, three capabilities do,
// and where one is missing the error names them.
func TestCapabilities(t *testing.T) {
	const child = "KERNEL_CAPABILITIES"
	if a := os.Getenv(child); a != "" {
		k, err := Open(Config{Attachment: Attachment(a), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		k.Close()
		fmt.Println("opened")
		return
	}
	if os.Getuid() != 0 {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: user %d ########", os.Getuid())
	}
	// An interface that gets or loses a filter is silent for a moment: that of the machine is
	// used by others.
	if !ownNamespace(t) {
		return
	}
	const nobody = 65534
	all := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN}
	for _, a := range attachments(t) {
		for without := -1; without < len(all); without++ {
			caps, want := all, "opened"
			if without >= 0 {
				caps = slices.Delete(slices.Clone(all), without, without+1)
				want = "refused: it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
			}
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestCapabilities$") // whose folder nobody may enter
			cmd.Dir = "/"
			cmd.Env = append(os.Environ(), child+"="+string(a))
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s, with the capabilities %v: %v: %s", a, caps, err, out)
			}
		}
	}
}
