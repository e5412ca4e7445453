package differential

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv"
	turncred "turnhub/turnsrv/credentials"
	"turnhub/turnsrv/policy"
)

var (
	seed      = flag.Uint64("seed", 0, "of the first sequence; 0: 1")
	sequences = flag.Int("sequences", 200, "how many")
	length    = flag.Int("length", 60, "operations of one sequence")
)

func TestSameAsCoturn(t *testing.T) {
	if _, err := exec.LookPath("turnserver"); err != nil {
		t.Skip("coturn is not installed: apt-get install coturn")
	}
	theirs := startCoturn(t)
	server, ours := startTurnhub(t)
	first := max(*seed, 1)
	ourPorts, theirPorts := &ports{10000}, &ports{10000}
	met, failures := make(map[string]int), make(map[string]failure)
	for n := range *sequences {
		a, b := newSide(t, "turnhub", ours, ourPorts), newSide(t, "coturn", theirs, theirPorts)
		f := sequence(first+uint64(n), a, b, met)
		a.close()
		b.close()
		if f.text != "" {
			f.times = failures[f.kind].times + 1
			failures[f.kind] = f
		}
		if len(failures) > 40 {
			break
		}
	}
	inside := server.Stats().Kernel.Packets
	t.Logf("%d operations, %d packets relayed alike, %d of ours inside the kernel", met[operations], met[relayed], inside)
	if inKernel() && inside < uint64(met[relayed]/10) {
		t.Error("too few of the packets have passed inside the kernel")
	}
	delete(met, operations)
	delete(met, relayed)
	for _, why := range slices.Sorted(maps.Keys(met)) {
		t.Logf("%5d times: %s", met[why], why)
	}
	for _, kind := range slices.Sorted(maps.Keys(failures)) {
		t.Errorf("%d times, the last with %s", failures[kind].times, failures[kind].text)
	}
}

// Keys of what is counted beside the known differences.
const operations, relayed = "operations", "relayed"

// A failure is an unknown difference. Those of one kind are shown once.
type failure struct {
	kind, text string
	times      int
}

// sequence runs one random sequence until its end or the first difference.
func sequence(seed uint64, a, b *side, met map[string]int) failure {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), number: seed << 16}
	var history []string
	for range *length {
		op := g.next()
		a.forget()
		b.forget()
		op.run(a)
		op.run(b)
		if op.media && inKernel() {
			// Of packets without a pause none would pass there: see docs/kernel.md.
			time.Sleep(20 * time.Millisecond)
			op.run(a)
			op.run(b)
		}
		x, y := outcome(a, b, op)
		met[operations]++
		if x == y {
			met[relayed] += len(a.delivered)
		}
		history = append(history, fmt.Sprintf("%s\n    turnhub: %s\n    coturn:  %s", op.name, x, y))
		if x == y {
			continue
		}
		if d, ok := known(op.name, x, y); ok {
			met[d.why]++
			if diverged(x, y) {
				return failure{}
			}
			continue
		}
		return failure{
			kind: op.kind + ": " + x + " | " + y,
			text: fmt.Sprintf("seed %d:\n%s", seed, strings.Join(history[max(0, len(history)-*shown):], "\n")),
		}
	}
	return failure{}
}

var shown = flag.Int("history", 12, "operations shown of a sequence that failed")

// outcome tells what came of an operation. Where one side has answered or
// delivered more, the other is waited for: coturn authenticates in another
// thread.
func outcome(a, b *side, op operation) (x, y string) {
	for begin := time.Now(); ; {
		x, y = a.outcome(), b.outcome()
		if _, ok := known(op.name, x, y); ok || x == y || time.Since(begin) > 5*time.Second {
			return x, y
		}
		a.settle()
		b.settle()
	}
}

func (s *side) outcome() string {
	var text strings.Builder
	text.WriteString(s.answers())
	for _, what := range slices.Sorted(maps.Keys(s.delivered)) {
		fmt.Fprintf(&text, " [%s ×%d]", what, s.delivered[what])
	}
	return text.String()
}

// The relay's driver and its path inside the kernel are those that these ask for, as for the
// program: make drivers runs all of them.
var (
	wantedDriver = turnsrv.Driver(os.Getenv("TURNHUB_RELAY_DRIVER"))
	wantedKernel = turnsrv.Kernel(os.Getenv("TURNHUB_RELAY_KERNEL"))
)

func inKernel() bool { return wantedKernel == turnsrv.KernelOn || wantedKernel == turnsrv.KernelClsact }

func startTurnhub(t *testing.T) (*turnsrv.Server, netip.AddrPort) {
	credentials, err := turncred.New([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	relay := netip.MustParseAddr("127.12.10.2")
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	server, err := turnsrv.New(turnsrv.Config{
		Realm: realm, Credentials: credentials, PortMin: 10000, PortMax: 60000,
		Driver: wantedDriver, Kernel: wantedKernel,
		Relay: []netaddr.RelayAddress{
			{Bind: relay, Advertise: relay},
			{Bind: netip.IPv6Loopback(), Advertise: netip.IPv6Loopback()},
		},
		Policy: policy.New(policy.Config{Mode: policy.ModeAny, Allow: loopback}),
	})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := server.ListenUDP(netip.AddrPortFrom(relay, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("turnsrv: %v", err)
		}
	})
	return server, addr
}

func startCoturn(t *testing.T) netip.AddrPort {
	ip := netip.MustParseAddr("127.12.10.1")
	addr := freePort(t, ip)
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("turnserver", "-n", "-L", ip.String(), "-E", ip.String(), "-E", "::1", "-p", fmt.Sprint(addr.Port()),
		"--use-auth-secret", "--static-auth-secret", secret, "-r", realm, "--allow-loopback-peers", "--keep-address-family",
		"-m", "1", "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780", "--simple-log", "--log-file", "stdout",
		"--min-port", "10000", "--max-port", "60000",
		"--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("coturn's last words:\n%s", text[max(0, len(text)-1000):])
		}
	})
	waitForAnswer(t, addr)
	return addr
}
