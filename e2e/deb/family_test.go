package deb

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// talker is a relayed conversation inside the host.
type talker struct {
	cmd  *exec.Cmd
	lost atomic.Bool
	said atomic.Uint64
}

// talk begins one, which every lost packet ends.
func (h *host) talk(program, secretFile string) *talker {
	h.t.Helper()
	c := &talker{cmd: exec.Command("nsenter", "--target", h.init, "--all", "--", program, secretFile)}
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "talking") {
				c.said.Add(1)
			} else {
				c.lost.Store(true)
			}
		}
	}()
	h.t.Cleanup(c.end)
	c.goesOn(h.t)
	return c
}

func (c *talker) end() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() }

// goesOn waits until some more has been said without a loss.
func (c *talker) goesOn(t *testing.T) {
	t.Helper()
	goal := c.said.Load() + 2
	until(t, "the conversation goes on", func() bool {
		if c.lost.Load() {
			t.Fatal("the conversation has lost a packet")
		}
		return c.said.Load() >= goal
	})
}

// twoProcesses kills, reloads and stops the service while the old process of an
// upgrade carries a call.
func twoProcesses(h *host, pid, journal func() string, check func(), secretFile string) {
	h.t.Helper()
	t := h.t
	program := filepath.Join(t.TempDir(), "talk")
	build := exec.Command("go", "build", "-o", program, "turnhub/e2e/deb/talk")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	inside := h.copyIn(program)
	h.run("chmod", "755", inside)
	processes := func() int { out, _ := h.try("pgrep", "-x", "turnhub"); return len(strings.Fields(out)) }
	restarts := func() string { return strings.TrimSpace(h.run("systemctl", "show", "-P", "NRestarts", "turnhub")) }
	// The policy lets one user reach itself, and the file systems are apart.
	upgrade := func() (before string) {
		before = pid()
		const taken = "a new process has taken over"
		seen := strings.Count(journal(), taken)
		h.run("systemctl", "kill", "--kill-who=main", "--signal=USR2", "turnhub")
		until(t, taken, func() bool { return pid() != before && strings.Count(journal(), taken) > seen })
		until(t, "calls work", func() bool { _, err := h.try("turnhub", "check", "http://127.0.0.1:8080"); return err == nil })
		return before
	}
	active := func(when string) {
		t.Helper()
		if out, _ := h.try("systemctl", "is-active", "turnhub"); strings.TrimSpace(out) != "active" {
			t.Errorf("%s: the unit is %s\n%s", when, out, journal())
		}
	}
	begun := restarts()

	// The main process dies: the old one serves again, and its call has not noticed.
	call := h.talk(inside, secretFile)
	old := upgrade()
	call.goesOn(t)
	if n := processes(); n != 2 {
		t.Fatalf("%d processes while the old one carries a call\n%s", n, journal())
	}
	h.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "turnhub")
	until(t, "the old process is the main one again", func() bool { return pid() == old })
	call.goesOn(t)
	active("after the death of the main process")
	check()

	// A reload reaches both.
	upgrade()
	call.goesOn(t)
	reloads := strings.Count(journal(), "msg=reloaded")
	h.run("systemctl", "reload", "turnhub")
	until(t, "both have reloaded", func() bool { return strings.Count(journal(), "msg=reloaded") == reloads+2 })
	call.goesOn(t)

	// The old process dies: its call with it, nothing else.
	serving := pid()
	h.run("kill", "-KILL", old)
	until(t, "one process is left", func() bool { return processes() == 1 })
	until(t, "the call of the killed process ends", call.lost.Load)
	active("after the death of the old process")
	check()
	if now := pid(); now != serving {
		t.Errorf("the main process was %s and is %s", serving, now)
	}
	if now := restarts(); now != begun {
		t.Errorf("systemd has restarted the service: %s times before, %s now\n%s", begun, now, journal())
	}

	// Both die: systemd brings the service back.
	call = h.talk(inside, secretFile)
	upgrade()
	call.goesOn(t)
	h.run("systemctl", "kill", "--signal=KILL", "turnhub")
	until(t, "it is back when both were killed", func() bool {
		_, err := h.try("turnhub", "check", "http://127.0.0.1:8080")
		return err == nil
	})

	// A stop ends both, in order.
	call = h.talk(inside, secretFile)
	upgrade()
	call.goesOn(t)
	h.run("systemctl", "stop", "turnhub")
	if n := processes(); n != 0 {
		t.Errorf("%d processes are left after a stop", n)
	}
	if out := strings.TrimSpace(h.run("systemctl", "show", "-P", "Result", "turnhub")); out != "success" {
		t.Errorf("the stop ends as %s\n%s", out, journal())
	}
	h.run("systemctl", "start", "turnhub")
}
