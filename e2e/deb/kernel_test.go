package deb

import (
	"strings"
	"testing"
)

// insideKernel enables the drop-in as docs/kernel.md says it, and disables it again: the
// confined unit can load the program, with no more than the three capabilities for it.
func insideKernel(t *testing.T, h *host, pid, journal func() string) {
	t.Helper()
	restart := func() {
		h.run("systemctl", "daemon-reload")
		h.run("systemctl", "restart", "turnhub")
	}
	h.run("install", "-D", "-m", "644", "-t", "/etc/systemd/system/turnhub.service.d", "/usr/share/turnhub/kernel.conf")
	restart()
	if out := strings.TrimSpace(h.run("systemctl", "is-active", "turnhub")); out != "active" {
		t.Errorf("with the drop-in the unit is %s:\n%s", out, journal())
	}
	if !strings.Contains(journal(), `msg="relay in the kernel" on=true`) {
		t.Errorf("the relay is not in the kernel:\n%s", journal())
	}
	// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF.
	if status := h.run("cat", "/proc/"+pid()+"/status"); !strings.Contains(status, "CapEff:\t000000c000001400") {
		t.Errorf("other capabilities than the four:\n%s", status)
	}
	h.run("systemd-analyze", "verify", "--man=no", "turnhub.service")
	h.run("systemd-analyze", "security", "--threshold=20", "turnhub.service")
	h.run("rm", "/etc/systemd/system/turnhub.service.d/kernel.conf")
	restart()
}
