package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hosts are a server and a client in network namespaces of their own, with a
// router between them that keeps 203.0.113.0/24, the public segment.
//
//	server 10.77.0.5 ─ 10.77.0.1 router 203.0.113.1 ─ 203.0.113.20 client
type hosts struct{ server, router, client string }

// hostsMade tells the names of hosts apart.
var hostsMade atomic.Int32

// newHosts makes the namespaces. mapped puts 1:1 NAT in the router: the server is
// 203.0.113.7 outside, and cannot reach that address itself. Without it the server
// has 203.0.113.7 on its own interface.
func newHosts(t *testing.T, mapped bool) hosts {
	t.Helper()
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); os.Geteuid() != 0 || err != nil {
			t.Skip("SKIPPED: external addresses in network namespaces need root, iproute2 and nftables")
		}
	}
	suffix := fmt.Sprintf("%d-%d", os.Getpid(), hostsMade.Add(1))
	h := hosts{"th-s-" + suffix, "th-r-" + suffix, "th-c-" + suffix}
	for _, ns := range []string{h.server, h.router, h.client} {
		if output, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: this machine allows no network namespaces: %s", output)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		inside(t, ns, "ip", "link", "set", "lo", "up")
	}
	link := func(a, nameA, b, nameB string) {
		inside(t, a, "ip", "link", "add", nameA, "type", "veth", "peer", "name", nameB, "netns", b)
		inside(t, a, "ip", "link", "set", nameA, "up")
		inside(t, b, "ip", "link", "set", nameB, "up")
	}
	link(h.server, "eth0", h.router, "in0")
	link(h.client, "eth0", h.router, "out0")
	inside(t, h.client, "ip", "addr", "add", "203.0.113.20/24", "dev", "eth0")
	inside(t, h.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	if mapped {
		inside(t, h.router, "ip", "addr", "add", "203.0.113.1/24", "dev", "out0")
		inside(t, h.router, "ip", "addr", "add", "203.0.113.7/32", "dev", "out0")
		inside(t, h.router, "ip", "addr", "add", "10.77.0.1/24", "dev", "in0")
		inside(t, h.server, "ip", "addr", "add", "10.77.0.5/24", "dev", "eth0")
		inside(t, h.server, "ip", "route", "add", "default", "via", "10.77.0.1")
		rules(t, h.router, `table ip nat {
			chain pre { type nat hook prerouting priority dstnat; iifname "out0" ip daddr 203.0.113.7 dnat to 10.77.0.5; }
			chain post { type nat hook postrouting priority srcnat; oifname "out0" ip saddr 10.77.0.5 snat to 203.0.113.7; }
		}`)
		return h
	}
	inside(t, h.router, "sysctl", "-qw", "net.ipv4.conf.all.proxy_arp=1", "net.ipv4.conf.in0.proxy_arp=1", "net.ipv4.conf.out0.proxy_arp=1")
	inside(t, h.router, "ip", "route", "add", "203.0.113.7/32", "dev", "in0")
	inside(t, h.router, "ip", "addr", "add", "203.0.113.1/24", "dev", "out0")
	inside(t, h.server, "ip", "addr", "add", "203.0.113.7/24", "dev", "eth0")
	return h
}

func inside(t *testing.T, ns string, command ...string) {
	t.Helper()
	if output, err := exec.Command("ip", append([]string{"netns", "exec", ns}, command...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, output)
	}
}

func rules(t *testing.T, ns, ruleset string) {
	t.Helper()
	nft := exec.Command("ip", "netns", "exec", ns, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(ruleset)
	if output, err := nft.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, output)
	}
}

// serve runs turnhub in the server's namespace until the test ends, and waits
// until it is ready.
func (h hosts) serve(t *testing.T, publicHost, externalIP string, environ ...string) *lockedBuffer {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(map[string]any{
		"public_host": publicHost,
		"state_dir":   filepath.Join(dir, "state"),
		"listen":      map[string]any{"tcp": []string{":8080"}, "udp": []string{":3478"}, "admin": ""},
		"relay":       map[string]any{"external_ip": externalIP},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("ip", "netns", "exec", h.server, binary, "serve", "--config", file)
	command.Dir = dir
	command.Env = append(os.Environ(), environ...)
	return serving(t, command)
}

// serving starts a server, waits until it is ready, and ends it with the test. It
// returns its log. What the command runs must have become turnhub by exec.
func serving(t *testing.T, command *exec.Cmd) *lockedBuffer {
	t.Helper()
	log := &lockedBuffer{}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { command.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	until(t, "the server is ready", func() bool {
		select {
		case <-ended:
			t.Fatalf("the server ended:\n%s", log)
		default:
		}
		return strings.Contains(log.String(), "msg=ready")
	})
	return log
}

// check runs turnhub check in the client's namespace.
func (h hosts) check(t *testing.T, site string) (output string, status int) {
	t.Helper()
	command := exec.Command("ip", "netns", "exec", h.client, binary, "check", site)
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// until polls for what another process does, for at most a minute.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

const metadataEnvironment = "E2E_METADATA"

// TestMetadataService is no test: run in the server's namespace it plays AWS.
func TestMetadataService(t *testing.T) {
	public := os.Getenv(metadataEnvironment)
	if public == "" {
		t.Skip("it is the metadata service of TestExternalAddress")
	}
	listener, err := net.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		t.Fatal(err)
	}
	const token, macs = "TOKEN", "/latest/meta-data/network/interfaces/macs/"
	answers := map[string]string{
		macs: "02:00:00:00:00:01/",
		macs + "02:00:00:00:00:01/ipv4-associations/":          public,
		macs + "02:00:00:00:00:01/ipv4-associations/" + public: "10.77.0.5",
	}
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.Write([]byte(token))
			return
		}
		answer, known := answers[r.URL.Path]
		switch {
		case r.Header.Get("X-aws-ec2-metadata-token") != token:
			w.WriteHeader(http.StatusUnauthorized)
		case !known:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Write([]byte(answer))
		}
	}))
}

// TestExternalAddress looks at a server from outside, in each way in which it can
// stand in the world. The client's calls relay from one relayed address to another
// in all of them, and packets from outside reach relayed addresses.
func TestExternalAddress(t *testing.T) {
	t.Parallel()
	well := []string{
		"ok http://203.0.113.7:8080/config",
		"ok turn:203.0.113.7:3478?transport=udp",
		"ok turn:203.0.113.7:8080?transport=tcp",
		"ok ws://203.0.113.7:8080/ws",
		"packets pass both ways",
	}
	const site = "http://203.0.113.7:8080"

	t.Run("on the interface", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, false)
		h.serve(t, "", "auto")
		output, status := h.check(t, site)
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, well...)
	})
	t.Run("behind NAT, written", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, true)
		h.serve(t, "", "10.77.0.5=203.0.113.7")
		output, status := h.check(t, site)
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, well...)
	})
	t.Run("behind NAT, from the cloud", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, true)
		inside(t, h.server, "ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
		metadata := exec.Command("ip", "netns", "exec", h.server, os.Args[0], "-test.run=^TestMetadataService$")
		metadata.Env = append(os.Environ(), metadataEnvironment+"=203.0.113.7", "E2E_TURNHUB="+binary)
		if err := metadata.Start(); err != nil {
			t.Fatal(err)
		}
		defer metadata.Wait()
		defer metadata.Process.Kill()
		until(t, "the metadata service listens", func() bool {
			return exec.Command("ip", "netns", "exec", h.server, "sh", "-c", "ss -lnt | grep -q 169.254.169.254:80").Run() == nil
		})
		log := h.serve(t, "", "auto")
		// On a busy machine the answer may come after the start's 100 ms.
		until(t, "the address is known", func() bool { return strings.Contains(log.String(), `msg="URL works" url="turn:203.0.113.7:3478`) })
		output, status := h.check(t, site)
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, well...)
	})
	t.Run("a wrong address", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, false)
		h.serve(t, "", "203.0.113.7=203.0.113.99")
		output, status := h.check(t, site)
		if status != 1 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, "FAIL turn:203.0.113.99:3478?transport=udp")
	})
	t.Run("a wrong address behind a right name", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, false)
		h.serve(t, "203.0.113.7", "203.0.113.7=203.0.113.99")
		output, status := h.check(t, site)
		if status != 0 {
			t.Errorf("exit status %d: calls go relay to relay", status)
		}
		wantLines(t, output, "ok turn:203.0.113.7:3478?transport=udp", "warn relayed address",
			"relayed packets come from 203.0.113.7, but the server says 203.0.113.99", "write relay.external_ip: auto, or 203.0.113.7")
	})
	t.Run("an open port range", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, false)
		h.serve(t, "", "auto", "TURNHUB_LISTEN_UDP=auto", "TURNHUB_LISTEN_TCP=:8080,:443")
		// The first check brings the packet that shows it, the second is told so.
		for _, first := range []bool{true, false} {
			output, status := h.check(t, site)
			if status != 0 || strings.Contains(output, "though /config says that the range is closed") != first {
				t.Errorf("first check %v, exit status %d:\n%s", first, status, output)
			}
			wantLines(t, output, "ok turn:203.0.113.7:3478?transport=udp", "ok turn:203.0.113.7:443?transport=udp", "ok relayed address 203.0.113.7", "packets pass both ways")
		}
	})
	for said, want := range map[string]string{"auto": "note relayed address 203.0.113.7", "closed": "note relayed address 203.0.113.7", "open": "warn relayed address 203.0.113.7"} {
		t.Run("a closed port range, "+said, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, false)
			h.serve(t, "", "auto", "TURNHUB_RELAY_RANGE="+said, "TURNHUB_LISTEN_UDP=auto", "TURNHUB_LISTEN_TCP=:8080,:443")
			rules(t, h.server, `table inet filter {
			chain in443 { type filter hook input priority 0; iifname "eth0" udp dport 443 reject; }
			chain in { type filter hook input priority 0; iifname "eth0" udp dport 49152-65535 drop; }
			chain out { type filter hook output priority 0; oifname "eth0" udp sport 49152-65535 drop; }
		}`)
			output, status := h.check(t, site)
			if status != 0 {
				t.Errorf("exit status %d: two relayed people meet inside the server", status)
			}
			wantLines(t, output, "ok turn:203.0.113.7:3478?transport=udp", "warn turn:203.0.113.7:443?transport=udp", "calls work by the other UDP port", "ok ws:", want, "the relay's range is closed", "two relayed people meet inside the server")
		})
	}
	t.Run("from a container's gateway", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, true)
		log := h.serve(t, "", "10.77.0.5", "container=oci")
		command := exec.Command("ip", "netns", "exec", h.router, binary, "check", "http://10.77.0.5:8080")
		output, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("%v", err)
		}
		// Both sessions of the check are there, and yet nobody has been seen there.
		wantLines(t, string(output), "ok turn:10.77.0.5:3478?transport=udp", "ok ws:", "the server does not relay to 10.77.0.1, in its own network (403)")
		const gateway = "clients come from this container's own gateway"
		until(t, "it is said", func() bool { return strings.Contains(log.String(), gateway) })
		if n := strings.Count(log.String(), gateway); n != 1 || !strings.Contains(log.String(), "gateway=10.77.0.1") {
			t.Errorf("it is said %d times", n)
		}
	})
	t.Run("a closed port", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t, false)
		h.serve(t, "", "auto")
		rules(t, h.server, `table inet filter {
			chain in { type filter hook input priority 0; iifname "eth0" udp dport 3478 drop; }
		}`)
		output, status := h.check(t, site)
		if status != 1 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, "FAIL turn:203.0.113.7:3478?transport=udp", "a firewall drops UDP 3478")
	})
}
