// Package deb installs the Debian package on a Debian of its own, booted with a
// real systemd in a container, and lives through what an operator does with it.
package deb

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestDebianPackage(t *testing.T) {
	if os.Getenv("TURNHUB_DEB_TEST") == "" {
		t.Skip("run by `make deb-test`: boots a Debian with systemd, needs root, debootstrap and systemd-nspawn")
	}
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	build := func(version string) string {
		cmd := exec.Command("systemd/package", "deb", version)
		cmd.Dir = top
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the package: %v\n%s", err, out)
		}
		return filepath.Join(top, "dist", "turnhub_"+version+"_"+runtime.GOARCH+".deb")
	}
	first := build("0.0.1")
	sum := strings.Fields(run(t, "sha256sum", first))[0]
	if again := strings.Fields(run(t, "sha256sum", build("0.0.1")))[0]; again != sum {
		t.Errorf("built twice, two packages: %s and %s", sum, again)
	}
	second := build("0.0.2")

	h := bootHost(t)
	one, two := h.copyIn(first), h.copyIn(second)
	pid := func() string { return strings.TrimSpace(h.run("systemctl", "show", "-P", "MainPID", "turnhub")) }
	journal := func() string { return h.run("journalctl", "-u", "turnhub", "--no-pager", "-o", "cat") }
	check := func() { h.run("turnhub", "check", "http://127.0.0.1:8080") }

	// Installed: it runs, confined, under its own user, and calls would work.
	h.run("dpkg", "-i", one)
	until(t, "the unit is active", func() bool {
		out, _ := h.try("systemctl", "is-active", "turnhub")
		return strings.TrimSpace(out) == "active"
	})
	h.run("systemd-analyze", "verify", "--man=no", "turnhub.service")
	check()
	if out := h.run("turnhub", "version"); !strings.Contains(out, "0.0.1") {
		t.Errorf("version says %q", out)
	}
	if user := strings.TrimSpace(h.run("ps", "-o", "user=", "-p", pid())); user != "turnhub" {
		t.Errorf("runs as %q", user)
	}
	status := h.run("cat", "/proc/"+pid()+"/status")
	if !strings.Contains(status, "CapEff:\t0000000000000400") {
		t.Errorf("has other capabilities than CAP_NET_BIND_SERVICE:\n%s", status)
	}
	for _, file := range []string{"/usr/share/man/man1/turnhub.1.gz", "/usr/share/bash-completion/completions/turnhub", "/etc/turnhub/config.yaml"} {
		if !h.exists(file) {
			t.Errorf("%s is missing", file)
		}
	}
	secretFile := "/var/lib/turnhub/" + filepath.Base(strings.TrimSpace(h.run("sh", "-c", "ls /var/lib/turnhub/*secret*")))
	secret := h.run("cat", secretFile)
	if mode := strings.TrimSpace(h.run("stat", "-c", "%a", secretFile)); mode != "600" {
		t.Errorf("%s has mode %s", secretFile, mode)
	}

	// Reloaded: the process stays; a bad file is refused and the old one stays.
	before := pid()
	h.run("sh", "-c", "printf 'log: {level: debug}\n' > /etc/turnhub/config.yaml")
	h.run("systemctl", "reload", "turnhub")
	until(t, "the reload is in the journal", func() bool { return strings.Contains(journal(), "log.level") })
	h.run("sh", "-c", "printf 'rellay: {}\n' > /etc/turnhub/config.yaml")
	h.run("systemctl", "reload", "turnhub")
	until(t, "the refusal is in the journal", func() bool { return strings.Contains(journal(), "rellay") })
	if pid() != before {
		t.Error("a reload restarted the process")
	}
	check()

	// A TURN secret that root alone can read is handed over by systemd.
	h.run("sh", "-c", "printf 'log: {level: info}\n' > /etc/turnhub/config.yaml; umask 077; echo from-systemd > /etc/turnhub/credentials/turn-secrets")
	h.run("systemctl", "restart", "turnhub")
	check()
	handed := h.run("sh", "-c", "systemctl show -P Environment turnhub; ls /run/credentials/turnhub.service")
	if !strings.Contains(handed, "turn-secrets") {
		t.Errorf("no credential was handed over: %s", handed)
	}
	h.run("rm", "/etc/turnhub/credentials/turn-secrets")

	// Upgraded over the running one: a new process takes the sockets over,
	// configuration and secret stay.
	before = pid()
	h.run("dpkg", "--force-confold", "-i", two)
	until(t, "the new process has taken over", func() bool {
		return strings.Contains(journal(), "a new process has taken over") && pid() != before
	})
	if out := strings.TrimSpace(h.run("systemctl", "is-active", "turnhub")); out != "active" {
		t.Errorf("after the upgrade the unit is %s", out)
	}
	check()
	if out := h.run("turnhub", "version"); !strings.Contains(out, "0.0.2") {
		t.Errorf("after the upgrade: %q", out)
	}
	if h.run("cat", secretFile) != secret {
		t.Error("the upgrade changed the secret")
	}
	if out := h.run("cat", "/etc/turnhub/config.yaml"); !strings.Contains(out, "level: info") {
		t.Errorf("the upgrade changed the configuration: %q", out)
	}

	// The same by hand, as docs/operations.md says it; stopped and seen in the status.
	before = pid()
	h.run("systemctl", "kill", "--kill-who=main", "--signal=USR2", "turnhub")
	until(t, "another process has taken over", func() bool { return pid() != before })
	if out := h.run("systemctl", "status", "turnhub"); !strings.Contains(out, "allocations and") {
		t.Errorf("the status does not say what it serves:\n%s", out)
	}
	h.run("systemctl", "stop", "turnhub")
	h.run("systemctl", "start", "turnhub")

	twoProcesses(h, pid, journal, check, secretFile)
	insideKernel(t, h, pid, journal)

	// Killed: systemd brings it back.
	before = pid()
	h.run("systemctl", "kill", "--signal=KILL", "turnhub")
	until(t, "it is back after SIGKILL", func() bool {
		out, _ := h.try("systemctl", "is-active", "turnhub")
		return strings.TrimSpace(out) == "active" && pid() != before
	})

	// Removed: configuration and secret stay. Purged: nothing does.
	h.run("dpkg", "--remove", "turnhub")
	if out, _ := h.try("systemctl", "is-active", "turnhub"); strings.TrimSpace(out) == "active" {
		t.Error("runs after its removal")
	}
	if !h.exists("/etc/turnhub/config.yaml") {
		t.Error("removing took the configuration")
	}
	if h.run("cat", secretFile) != secret {
		t.Error("removing took the secret")
	}
	h.run("dpkg", "--purge", "turnhub")
	for _, path := range []string{"/etc/turnhub", "/var/lib/turnhub", "/var/lib/private/turnhub", "/usr/bin/turnhub"} {
		if out, err := h.try("ls", "-d", path); err == nil {
			t.Errorf("purging left %s", out)
		}
	}
}
