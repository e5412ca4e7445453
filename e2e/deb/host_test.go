package deb

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// host is a Debian in a folder of its own, booted with its own systemd in a
// container without a network.
type host struct {
	t    *testing.T
	root string
	init string // process id of the container's systemd, as this machine sees it
}

// bootHost installs a minimal Debian into a temporary folder and boots it. It
// is shut down when the test ends.
func bootHost(t *testing.T) *host {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	run(t, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,procps", "bookworm", root)

	ctx, cancel := context.WithCancel(context.Background())
	boot := exec.CommandContext(ctx, "systemd-nspawn", "--directory="+root, "--register=no", "--keep-unit",
		"--private-network", "--boot", "--console=pipe", "--quiet",
		"--capability=CAP_BPF,CAP_PERFMON", "--system-call-filter=bpf") // which docs/kernel.md has the unit use
	boot.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0")
	boot.Cancel = func() error { return boot.Process.Signal(os.Interrupt) }
	boot.WaitDelay = 20 * time.Second
	var console bytes.Buffer
	boot.Stdout, boot.Stderr = &console, &console
	if err := boot.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	h := &host{t: t, root: root}
	t.Cleanup(func() {
		if h.init != "" {
			h.try("systemctl", "poweroff", "--force", "--force")
		}
		cancel()
		_ = boot.Wait()
		if t.Failed() {
			t.Logf("console:\n%s", console.String())
		}
	})

	children := fmt.Sprintf("/proc/%d/task/%d/children", boot.Process.Pid, boot.Process.Pid)
	until(t, "the container's systemd", func() bool {
		pids, _ := os.ReadFile(children)
		if fields := strings.Fields(string(pids)); len(fields) > 0 {
			h.init = fields[0]
		}
		if h.init == "" {
			return false
		}
		out, _ := h.try("systemctl", "is-system-running")
		return strings.Contains(out, "running") || strings.Contains(out, "degraded")
	})
	return h
}

// try runs a command inside and returns what it printed.
func (h *host) try(args ...string) (string, error) {
	inside := append([]string{"--target", h.init, "--all", "--", "/usr/bin/env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "DEBIAN_FRONTEND=noninteractive"}, args...)
	out, err := exec.Command("nsenter", inside...).CombinedOutput()
	return string(out), err
}

// run runs a command inside which must succeed.
func (h *host) run(args ...string) string {
	h.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		journal, _ := h.try("journalctl", "-u", "turnhub", "-n", "60", "--no-pager")
		h.t.Fatalf("inside: %s: %v\n%s\njournal:\n%s", strings.Join(args, " "), err, out, journal)
	}
	return out
}

// copyIn puts a file of this machine into the container's /root.
func (h *host) copyIn(path string) string {
	h.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	name := "/root/" + filepath.Base(path)
	if err := os.WriteFile(h.root+name, data, 0o644); err != nil {
		h.t.Fatal(err)
	}
	return name
}

func (h *host) exists(path string) bool {
	_, err := os.Stat(h.root + path)
	return err == nil
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// until waits for a condition, with a bound that only a broken system reaches.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 90 s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
