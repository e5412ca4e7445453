package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
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
// way to one (--cap-drop ALL, no-new-privileges, --read-only but for the volume). Mounts
// are FILE:PLACE, read-only.
func (h hosts) contained(root string, mounts, environ []string, args ...string) *exec.Cmd {
	script := `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount --bind "$0/../volume" "$0/state" && `
	for _, m := range mounts {
		file, place, _ := strings.Cut(m, ":")
		script += fmt.Sprintf("mount --bind %q %q && mount -o remount,bind,ro %[2]q && ", file, root+place)
	}
	script += `exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all chroot --userspec=65532:65532 --groups=65532 "$0" "$@"`
	command := exec.Command("ip", append([]string{"netns", "exec", h.server, "sh", "-c", script, root}, args...)...)
	command.Env = append([]string{"STATE_DIRECTORY=/state", "PATH=" + os.Getenv("PATH")}, environ...)
	return command
}

// imageRoot is the image's root, and beside it an empty volume, as an engine makes one of
// the image's /state.
func imageRoot(t *testing.T) (root, volume string) {
	t.Helper()
	dir := image(t)
	root = filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"turnhub", "etc", "usr", "state"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	volume = filepath.Join(dir, "volume")
	if err := os.Mkdir(volume, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(volume, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	return root, volume
}

// TestImage runs the image as Docker would on a bridge network with three published
// ports, without a single privilege, and calls through it from outside.
func TestImage(t *testing.T) {
	t.Parallel()
	h := newContainer(t)
	root, volume := imageRoot(t)

	// Without a name there can be no certificate: that is said, and how to give one.
	config := []string{"--config", "/etc/turnhub/config.yaml"}
	output, err := h.contained(root, nil, nil, append([]string{"/turnhub", "serve"}, config...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "public_host") {
		t.Errorf("without public_host: %v: %s", err, output)
	}

	environ := []string{"TURNHUB_PUBLIC_HOST=203.0.113.7", "TURNHUB_TLS_MODE=self-signed"}
	server := h.contained(root, nil, environ, append([]string{"/turnhub", "serve"}, config...)...)
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

	// HEALTHCHECK, word for word; the labels, with the version of the build argument.
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(dockerfile), "\nFROM scratch\n")
	if begin := "ARG VERSION\nLABEL org.opencontainers.image.title=\"turnhub\""; !strings.HasPrefix(last, begin) || !strings.Contains(last, `org.opencontainers.image.version="$VERSION"`) ||
		!strings.Contains(last, "\nUSER 65532:65532\n") || !strings.Contains(last, "\nSTOPSIGNAL SIGTERM\n") {
		t.Errorf("the image's labels, user and signal:\n%s", last)
	}
	if output, err := h.contained(root, nil, nil, "/turnhub", "version").CombinedOutput(); err != nil || !strings.Contains(string(output), "0.0.0-test") {
		t.Errorf("the version that deploy/image was told: %q, %v", output, err)
	}
	health := []string{"/turnhub", "check", "--self", "--config", "/etc/turnhub/config.yaml"}
	if !bytes.Contains(dockerfile, []byte(`CMD ["`+strings.Join(health, `", "`)+`"]`)) {
		t.Error("the Dockerfile's HEALTHCHECK is not what is tried here")
	}
	if output, err := h.contained(root, nil, environ, health...).CombinedOutput(); err != nil || strings.TrimSpace(string(output)) != "ok" {
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

	h.stops(t, server)

	// It keeps what it has made for the next container.
	for _, file := range []string{"turn-secrets", "tls/ca.pem"} {
		if _, err := os.Stat(filepath.Join(volume, file)); err != nil {
			t.Error(err)
		}
	}
	if os.Getenv("E2E_LONG") != "" { // make soak
		h.next(t, root, volume)
	}
}

// next is the container after that, by a configuration that is mounted over the image's
// own and a secret that is mounted as a file, on ports that any user may open wherever
// ports under 1024 are closed, published as they are.
func (h hosts) next(t *testing.T, root, volume string) {
	t.Helper()
	dir := t.TempDir()
	file, secrets := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "secrets")
	write(t, file, "public_host: 203.0.113.7\ntls: {mode: self-signed}\nrelay: {realm: mounted}\n")
	write(t, secrets, "a-secret-that-is-mounted-0123456789\n")
	for _, f := range []string{file, secrets} {
		if err := os.Chmod(f, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	place := filepath.Join(root, "run/secrets/turn") // which the engine makes
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, place, "")
	mounts := []string{file + ":/etc/turnhub/config.yaml", secrets + ":/run/secrets/turn"}
	environ := []string{"TURNHUB_CREDENTIALS_SECRETS_FILE=/run/secrets/turn", "TURNHUB_LISTEN_TCP=:8443", "TURNHUB_LISTEN_UDP=:8443"}
	config := []string{"--config", "/etc/turnhub/config.yaml"}

	output, err := h.contained(root, mounts, []string{"TURNHUB_CREDENTIALS_SECRETS_FILE=/run/secrets/none"}, append([]string{"/turnhub", "serve"}, config...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "/run/secrets/none") {
		t.Errorf("with a secret's file that is not there: %v: %s", err, output)
	}
	inside(t, h.server, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=1024")
	output, err = h.contained(root, mounts, []string{"TURNHUB_LISTEN_TCP=:443"}, append([]string{"/turnhub", "serve"}, config...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "may not use ports below 1024") || !strings.Contains(string(output), "ip_unprivileged_port_start=0") {
		t.Errorf("a port under 1024 where they are closed: %v: %s", err, output)
	}
	rules(t, h.router, `table ip nat { chain pre {
		ip daddr 203.0.113.7 tcp dport 8443 dnat to 10.77.0.5
		ip daddr 203.0.113.7 udp dport 8443 dnat to 10.77.0.5
	}
	}`)
	log := serving(t, h.contained(root, mounts, environ, append([]string{"/turnhub", "serve"}, config...)...))
	site := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return h.dial(network, address)
	}}}
	response, err := site.Get("https://203.0.113.7:8443/config")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		ICEServers []struct{ Username, Credential string } `json:"iceServers"`
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || len(got.ICEServers) == 0 {
		t.Fatalf("/config: %+v, %v", got, err)
	}
	mac := hmac.New(sha1.New, []byte("a-secret-that-is-mounted-0123456789"))
	mac.Write([]byte(got.ICEServers[0].Username))
	if got.ICEServers[0].Credential != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		t.Errorf("the credential is not by the secret that is mounted: %+v", got)
	}
	if strings.Contains(log.String(), "a-secret-that") {
		t.Errorf("the log tells the secret:\n%s", log)
	}
	check := exec.Command("ip", "netns", "exec", h.client, binary, "check", "https://203.0.113.7:8443")
	check.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(volume, "tls", "ca.pem"))
	text, err := check.CombinedOutput()
	if err != nil {
		t.Errorf("turnhub check: %v:\n%s", err, text)
	}
	wantLines(t, string(text), "ok turn:203.0.113.7:8443?transport=udp", "ok turns:203.0.113.7:8443?transport=tcp", "ok wss://203.0.113.7:8443/ws")
}

// dial connects from the client's place.
func (h hosts) dial(network, address string) (conn net.Conn, err error) {
	err = errors.Join(inNamespace(h.client, func() { conn, err = net.Dial(network, address) }), err)
	return conn, err
}

// stops has the container end on its stop signal before Docker would kill it, and tell
// those who are connected when to come back.
func (h hosts) stops(t *testing.T, server *exec.Cmd) {
	t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"turnhub.v1"},
		NetDial: h.dial}
	socket, _, err := dialer.Dial("wss://203.0.113.7/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if kind := hello(t, socket); kind != "welcome" {
		t.Errorf("hello is answered by %q", kind)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	socket.SetReadDeadline(time.Now().Add(30 * time.Second)) // stop_grace_period
	for {
		var told struct {
			Type  string `json:"type"`
			After int    `json:"after"`
		}
		if err := socket.ReadJSON(&told); err != nil {
			t.Errorf("nobody was told to come back: %v", err)
			return
		}
		if told.Type == "restart" {
			break
		}
	}
	if _, _, err = socket.ReadMessage(); !websocket.IsCloseError(err, 4005) {
		t.Errorf("after that: %v", err)
	}
}
