package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// image is the file system of the container image, as the Dockerfile has it made.
func image(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o755) // the image's user has to come in
	build := exec.Command("../deploy/image", runtime.GOARCH, "0.0.0-test", dir)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("deploy/image: %v: %s", err, output)
	}
	if err := os.Chown(filepath.Join(dir, "state"), 65532, 65532); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newContainer is a container on the bridge network of a Docker host: three ports of
// 203.0.113.7 lead to 10.77.0.5, and what it sends out is masqueraded.
func newContainer(t *testing.T) hosts {
	h := newHosts(t, true)
	inside(t, h.router, "nft", "flush", "ruleset")
	inside(t, h.router, "ip", "addr", "flush", "dev", "out0")
	inside(t, h.router, "ip", "addr", "add", "203.0.113.7/24", "dev", "out0") // its only one
	rules(t, h.router, `table ip nat {
		chain pre { type nat hook prerouting priority dstnat;
			ip daddr 203.0.113.7 tcp dport { 80, 443 } dnat to 10.77.0.5
			ip daddr 203.0.113.7 udp dport 443 dnat to 10.77.0.5
		}
		chain post { type nat hook postrouting priority srcnat; ip saddr 10.77.0.0/24 oifname != "in0" masquerade; }
	}
	table ip filter {
		chain forward { type filter hook forward priority filter; policy drop;
			ct state established,related accept
			ct status dnat accept
			iifname "in0" accept
		}
	}`)
	// As Docker and Kubernetes set it in each container.
	inside(t, h.server, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
	return h
}

// contained is how a command runs in the container: in the image's root and no other
// file but /proc and /dev/null, as the image's user, without a capability and without a
// way to one (--cap-drop ALL, no-new-privileges, --read-only but for the volume).
func (h hosts) contained(root string, environ []string, args ...string) *exec.Cmd {
	script := `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount --bind "$0/../volume" "$0/state" &&
		exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all chroot --userspec=65532:65532 --groups=65532 "$0" "$@"`
	command := exec.Command("ip", append([]string{"netns", "exec", h.server, "sh", "-c", script, root}, args...)...)
	command.Env = append([]string{"STATE_DIRECTORY=/state", "PATH=" + os.Getenv("PATH")}, environ...)
	return command
}

// TestImage runs the image as Docker would on a bridge network with three published
// ports, without a single privilege, and calls through it from outside.
func TestImage(t *testing.T) {
	t.Parallel()
	h := newContainer(t)
	dir := image(t)
	root := filepath.Join(dir, "root")
	// The image's root beside the volume.
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"turnhub", "etc", "usr", "state"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	volume := filepath.Join(dir, "volume")
	if err := os.Mkdir(volume, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(volume, 65532, 65532); err != nil {
		t.Fatal(err)
	}

	// Without a name there can be no certificate: that is said, and how to give one.
	config := []string{"--config", "/etc/turnhub/config.yaml"}
	output, err := h.contained(root, nil, append([]string{"/turnhub", "serve"}, config...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "public_host") {
		t.Errorf("without public_host: %v: %s", err, output)
	}

	environ := []string{"TURNHUB_PUBLIC_HOST=203.0.113.7", "TURNHUB_TLS_MODE=self-signed"}
	server := h.contained(root, environ, append([]string{"/turnhub", "serve"}, config...)...)
	serving(t, server)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Uid:\t65532\t65532", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !bytes.Contains(status, []byte(line)) {
			t.Errorf("the process is not so: %s", line)
		}
	}

	// HEALTHCHECK, word for word.
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	health := []string{"/turnhub", "check", "--self", "--config", "/etc/turnhub/config.yaml"}
	if !bytes.Contains(dockerfile, []byte(`CMD ["`+strings.Join(health, `", "`)+`"]`)) {
		t.Error("the Dockerfile's HEALTHCHECK is not what is tried here")
	}
	if output, err := h.contained(root, environ, health...).CombinedOutput(); err != nil || strings.TrimSpace(string(output)) != "ok" {
		t.Errorf("health: %v: %s", err, output)
	}

	// From outside: all that /config names, and a call whose both ends are relayed.
	check := exec.Command("ip", "netns", "exec", h.client, binary, "check", "https://203.0.113.7")
	check.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(volume, "tls", "ca.pem"))
	text, err := check.CombinedOutput()
	if err != nil { // relay ports are not published, and that is no fault
		t.Errorf("turnhub check: %v:\n%s", err, text)
	}
	wantLines(t, string(text), "ok https://203.0.113.7/config", "ok turn:203.0.113.7:443?transport=udp", "ok turns:203.0.113.7:443?transport=tcp", "ok wss://203.0.113.7/ws")

	// It keeps what it has made for the next container.
	for _, file := range []string{"turn-secrets", "tls/ca.pem"} {
		if _, err := os.Stat(filepath.Join(volume, file)); err != nil {
			t.Error(err)
		}
	}
}
