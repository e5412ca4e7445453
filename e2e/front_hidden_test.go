package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProxyHidesClients has real proxies on a router, from whose private address they
// connect, and that do not say who came: turnhub check sees it by what the server says of
// this machine over UDP, where no proxy is, and names the line.
func TestProxyHidesClients(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		long        bool // E2E_LONG=1 alone
		proxy, text string
		named       string // listen.trusted_proxies
		site        string
		want        []string
	}{
		"nginx, not named": {false, "nginx", hidingNginx, "", "http://203.0.113.1:8000", []string{
			"warn your address the server takes this machine for 10.77.0.1 over HTTP and for 203.0.113.20 over UDP",
			"write listen.trusted_proxies: [10.77.0.1/32] and let the proxy set it: nginx: proxy_set_header X-Forwarded-For $remote_addr;"}},
		"nginx, named": {true, "nginx", hidingNginx, "10.77.0.1/32", "http://203.0.113.1:8000", []string{
			"warn your address the server takes this machine for 10.77.0.1 over HTTP",
			"let the proxy set it: nginx: proxy_set_header X-Forwarded-For $remote_addr;"}},
		"HAProxy, not named": {true, "haproxy", "listen http\n\tmode http\n\tbind 203.0.113.1:8000\n\thttp-request del-header X-Forwarded-For\n\tserver turnhub 10.77.0.5:8080\n", "", "http://203.0.113.1:8000", []string{
			"warn your address the server takes this machine for 10.77.0.1 over HTTP",
			"let the proxy set it: HAProxy: http-request set-header X-Forwarded-For %[src]"}},
		"HAProxy for TCP": {false, "haproxy", "listen tcp\n\tmode tcp\n\tbind 203.0.113.7:8080\n\tserver turnhub 10.77.0.5:8080\n", "", "http://203.0.113.7:8080", []string{
			"warn turn:203.0.113.7:8080?transport=tcp", "over UDP you are 203.0.113.20: that is a proxy", "HAProxy: send-proxy-v2 on the server line",
			"warn your address the server takes this machine for 10.77.0.1 over HTTP"}},
		"HAProxy for TCP, as it should be": {true, "haproxy", "listen tcp\n\tmode tcp\n\tbind 203.0.113.7:8080\n\tserver turnhub 10.77.0.5:8080 send-proxy-v2\n", "10.77.0.1/32", "http://203.0.113.7:8080", []string{
			"ok turn:203.0.113.7:8080?transport=tcp", "ok a forged PROXY header"}},
	} {
		t.Run(name, func(t *testing.T) {
			if x.long && os.Getenv("E2E_LONG") == "" {
				t.Skip("E2E_LONG=1 (make soak) runs this")
			}
			t.Parallel()
			path, h := program(t, x.proxy, map[string]string{"nginx": "nginx-light", "haproxy": "haproxy"}[x.proxy]), newHosts(t, true)
			// What comes over UDP alone goes straight to the server.
			inside(t, h.router, "nft", "flush", "chain", "ip", "nat", "pre")
			inside(t, h.router, "nft", "add", "rule", "ip", "nat", "pre", "iifname", "out0", "ip", "daddr", "203.0.113.7", "udp", "dport", "1-65535", "dnat", "to", "10.77.0.5")
			h.serve(t, "", "10.77.0.5=203.0.113.7", "TURNHUB_LISTEN_TRUSTED_PROXIES="+x.named)
			h.front(t, path, x.text)
			output, status := h.check(t, x.site)
			// What hides people is a warning; TURN over TCP, which nginx does not pass on, is none of this.
			if failed := strings.Count(output, "\nFAIL"); strings.Contains(x.site, ":8080") && (status != 0 || failed > 0) {
				t.Errorf("exit status %d, %d lines that fail", status, failed)
			}
			wantLines(t, output, x.want...)
			if !strings.Contains(fmt.Sprint(x.want), "warn") && strings.Contains(output, "your address") {
				t.Errorf("a proxy that says who came is warned of:\n%s", output)
			}
		})
	}
}

// hidingNginx passes on nothing of who came.
const hidingNginx = `http { access_log off; server { listen 203.0.113.1:8000; location / {
	proxy_pass http://10.77.0.5:8080; proxy_http_version 1.1; proxy_buffering off;
	proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For ""; proxy_set_header Forwarded "";
	proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
} } }`

// front runs nginx or HAProxy on the router until the test's end.
func (h hosts) front(t *testing.T, program, text string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	args := []string{"-db", "-f", file}
	if filepath.Base(program) == "nginx" {
		text = fmt.Sprintf("user root; worker_processes 1; pid %s/pid; error_log stderr; daemon off; master_process off;\nevents { worker_connections 512; }\n%s\n", dir, text)
		args = []string{"-p", dir, "-e", "stderr", "-c", file}
	} else {
		text = "defaults\n\ttimeout connect 5s\n\ttimeout client 50s\n\ttimeout server 50s\n" + text
	}
	write(t, file, text)
	var log lockedBuffer
	command := exec.Command("ip", append([]string{"netns", "exec", h.router, program}, args...)...)
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() { _ = command.Process.Kill(); <-ended })
	until(t, "the proxy listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", program, &log)
		default:
		}
		text, err := exec.Command("ip", "netns", "exec", h.router, "ss", "-Hlnt").Output()
		return err == nil && (strings.Contains(string(text), ":8000") || strings.Contains(string(text), ":8080"))
	})
}
