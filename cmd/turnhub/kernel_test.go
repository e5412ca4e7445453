//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/pion/turn/v4"

	"turnhub/turnsrv"
	turncred "turnhub/turnsrv/credentials"
)

// ownLoopback runs a test again as another process in a network namespace of its own, where
// no other program is attached to the loopback, and reports whether this is that process.
func ownLoopback(t *testing.T) bool {
	t.Helper()
	const inside = "TEST_OWN_LOOPBACK"
	if os.Getenv(inside) != "" {
		return true
	}
	if _, err := turnsrv.TryKernel(turnsrv.KernelOn); err != nil {
		t.Skipf("######## NOT TESTED: AN UPGRADE WITH THE RELAY IN THE KERNEL: %v ########", err)
	}
	name := fmt.Sprintf("turnhub-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("######## NOT TESTED: AN UPGRADE WITH THE RELAY IN THE KERNEL: no network namespaces: %v: %s ########", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	run := exec.Command("ip", "netns", "exec", name, "sh", "-c", `ip link set lo up && exec "$0" "$@"`, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	run.Env = append(os.Environ(), inside+"=1")
	if out, err := run.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// talk is a conversation over the loopback that goes on by itself.
type talk struct {
	sent      atomic.Int64
	lost      atomic.Int64
	stop      chan struct{}
	stoppedAt chan struct{}
	speaks    sync.Mutex // held while a packet is on its way
}

func (k *talk) end() {
	close(k.stop)
	<-k.stoppedAt
}

// TestUpgradeKernel upgrades under a call that passes inside the kernel: it goes on there,
// by one program, which the new process has taken over; so it does when an upgrade fails,
// when the new process is killed, and when the next one may not load a program itself,
// whose own calls pass there nevertheless, also when the one that has loaded it is killed.
func TestUpgradeKernel(t *testing.T) {
	if !ownLoopback(t) {
		return
	}
	if how, err := turnsrv.TryKernel(turnsrv.KernelOn); err != nil || strings.Contains(how, "clsact") {
		t.Logf("######## NOT TESTED: AN UPGRADE WITH TCX: %s %v ########", how, err)
	} else {
		t.Run("tcx", func(t *testing.T) { upgradeKernel(t, turnsrv.KernelOn) })
	}
	t.Run("clsact", func(t *testing.T) { upgradeKernel(t, turnsrv.KernelClsact) })
}

func upgradeKernel(t *testing.T, kind turnsrv.Kernel) {
	p := startProgram(t, "TURNHUB_RELAY_KERNEL="+string(kind))
	program, port, admin, log, server, ended := p.path, p.port, p.admin, &p.log, p.server, p.ended
	credentials, err := turncred.New([]string{programSecret})
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string) string {
		res, err := plain.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", admin, path))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return string(body)
	}
	until(t, "ready", log, func() bool { return strings.Contains(ask("readyz"), `"ok"`) })
	metric := regexp.MustCompile(`(?m)^turnhub_relay_kernel_packets_total (\S+)`)
	// inside is how many packets of clients have passed inside the kernel.
	inside := func() (n float64) {
		t.Helper()
		text := ask("metrics")
		m := metric.FindStringSubmatch(text)
		if m == nil {
			t.Fatal(text)
		}
		n, _ = strconv.ParseFloat(m[1], 64)
		return n / 2 // it counts for both clients
	}
	programs := func() int {
		t.Helper()
		if kind == turnsrv.KernelClsact {
			out, err := exec.Command("tc", "filter", "show", "dev", "lo", "ingress").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return strings.Count(string(out), " turnhub-relay-")
		}
		q, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			t.Fatal(err)
		}
		return len(q.Programs)
	}

	// late is after what time a packet counts as lost: a busy machine may take a second or two.
	const late = 8 * time.Second
	// converse has two clients talk until the end, a packet each way at a time.
	converse := func(user string) *talk {
		t.Helper()
		k := &talk{stop: make(chan struct{}), stoppedAt: make(chan struct{})}
		var ends [2]net.PacketConn
		var clients [2]*turn.Client
		for i := range clients {
			conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			username, password := credentials.Mint(user, time.Now().Add(time.Hour))
			if clients[i], err = turn.NewClient(&turn.ClientConfig{TURNServerAddr: fmt.Sprintf("127.0.0.1:%d", port), Conn: conn, Username: username, Password: password, Realm: "turnhub"}); err != nil {
				t.Fatal(err)
			}
			if err = clients[i].Listen(); err == nil {
				ends[i], err = clients[i].Allocate()
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			t.Cleanup(func() { clients[i].Close(); conn.Close() })
		}
		for i, c := range clients {
			if err := c.CreatePermission(ends[1-i].LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			defer close(k.stoppedAt)
			buf := make([]byte, 100)
			for n := 0; ; n++ {
				select {
				case <-k.stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				k.speaks.Lock()
				payload := []byte(fmt.Sprint("packet number ", n))
				from, to := ends[n%2], ends[1-n%2]
				if _, err := from.WriteTo(payload, to.LocalAddr()); err != nil {
					k.lost.Add(1)
					k.speaks.Unlock()
					continue
				}
				to.SetReadDeadline(time.Now().Add(late))
				for size, err := 0, error(nil); !bytes.Equal(buf[:size], payload); { // one that was late may come before it
					if size, _, err = to.ReadFrom(buf); err != nil {
						k.lost.Add(1)
						break
					}
				}
				k.sent.Add(1)
				k.speaks.Unlock()
			}
		}()
		return k
	}
	enters := func(what string) {
		t.Helper()
		before := inside()
		until(t, what, log, func() bool { time.Sleep(20 * time.Millisecond); return inside() > before+10 })
	}
	// stays has something happen, and holds that not one packet is lost meanwhile, and that
	// but for a few of them all pass inside the kernel, through one program.
	stays := func(k *talk, what string, happen func()) {
		t.Helper()
		count := func() (float64, int64) {
			k.speaks.Lock() // what is counted is told a moment later
			defer k.speaks.Unlock()
			n := inside()
			for was := n - 1; was != n; {
				time.Sleep(100 * time.Millisecond)
				was, n = n, inside()
			}
			return n, k.sent.Load()
		}
		passed, sent := count()
		happen()
		passed2, sent2 := count()
		passed, sent = passed2-passed, sent2-sent
		if k.lost.Load() != 0 {
			t.Fatalf("%s: %d of %d packets were lost\n%s", what, k.lost.Load(), k.sent.Load(), log)
		}
		if passed < float64(sent)-2 {
			t.Errorf("%s: %v of %d packets passed inside the kernel\n%s", what, passed, sent, log)
		}
		if n := programs(); n != 1 {
			t.Errorf("%s: %d programs are attached", what, n)
		}
		t.Logf("%s: %v of %d packets inside the kernel", what, passed, sent)
	}
	said := func(what string) func() bool {
		n := strings.Count(log.String(), what)
		return func() bool { return strings.Count(log.String(), what) > n }
	}
	youngest := func() int {
		t.Helper()
		all := regexp.MustCompile(`taken over" pid=(\d+)`).FindAllStringSubmatch(log.String(), -1)
		if all == nil {
			t.Fatal(log)
		}
		pid, _ := strconv.Atoi(all[len(all)-1][1])
		return pid
	}

	call := converse("anna")
	enters("the first call inside the kernel")
	stays(call, "a broken binary", func() {
		if err := os.WriteFile(program+".new", []byte("#!/bin/false\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
		refused := said("the old binary goes on")
		server.Process.Signal(syscall.SIGUSR2)
		until(t, "refusal", log, refused)
	})
	stays(call, "an upgrade", func() {
		install(t, program)
		done := said("a new process has taken over")
		server.Process.Signal(syscall.SIGUSR2)
		until(t, "the new process", log, done)
		until(t, "the new process's answer", log, func() bool { return strings.Contains(ask("readyz"), `"ok"`) })
	})
	second := converse("berta")
	enters("a call of the new process inside the kernel")
	second.end()
	resumed := said("this one serves again")
	syscall.Kill(youngest(), syscall.SIGKILL)
	until(t, "the old process's return", log, resumed)
	until(t, "the old process's answer", log, func() bool { return strings.Contains(ask("readyz"), `"ok"`) })
	stays(call, "after the new process was killed", func() { time.Sleep(300 * time.Millisecond) })

	// The next one may not load a program.
	poor := filepath.Join(filepath.Dir(program), "poor")
	install(t, poor)
	putProgram(t, program, []byte("#!/bin/sh\nexec setpriv --bounding-set=-bpf,-perfmon,-net_admin,-sys_admin "+poor+" \"$@\"\n"))
	stays(call, "an upgrade to a process without capabilities", func() {
		done := said("a new process has taken over")
		server.Process.Signal(syscall.SIGUSR2)
		until(t, "the poor process", log, done)
		until(t, "the poor process's answer", log, func() bool { return strings.Contains(ask("readyz"), `"ok"`) })
	})
	third := converse("carla")
	enters("a call of the poor process inside the kernel")
	call.end()
	server.Process.Kill()
	<-ended
	stays(third, "the process that has loaded the program is killed", func() { time.Sleep(300 * time.Millisecond) })
	if kind != turnsrv.KernelClsact {
		third.end()
		syscall.Kill(youngest(), syscall.SIGTERM)
		until(t, "the end of the program", log, func() bool { return programs() == 0 })
		return
	}
	// A filter outlives the last process, and forwards nothing without it. The unit has it
	// taken away by the command.
	syscall.Kill(youngest(), syscall.SIGKILL)
	until(t, "the end of the call", log, func() bool { return third.lost.Load() > 0 })
	third.end()
	if n := programs(); n != 1 {
		t.Errorf("%d filters are there after the last process was killed, want 1", n)
	}
	detach := exec.Command(poor, "detach")
	detach.Env = append(os.Environ(), asProgram+"=1")
	if out, err := detach.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "1 filters ") {
		t.Errorf("%v: %s", err, out)
	}
	if n := programs(); n != 0 {
		t.Errorf("%d filters are left", n)
	}
}
