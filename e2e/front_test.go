package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// front is Debian's nginx in front of a server, set up as docs/front.md says on one
// port, and on another with proxy_pass alone, which passes on what clients write.
type front struct {
	*server
	good, bare int // ports: TLS as documented, plain HTTP with nothing set
}

// behindNginx starts both. trusted is listen.trusted_proxies.
func behindNginx(t *testing.T, trusted []string) front {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx = "/usr/sbin/nginx"; !exists(nginx) {
			t.Skip("SKIPPED: nginx is not installed (apt-get install nginx-light)")
		}
	}
	f := front{server: start(t, map[string]map[string]any{"listen": {"trusted_proxies": trusted}}), good: freePort(t), bare: freePort(t)}
	own := f.directory(t)
	dir := t.TempDir()
	documented := recipe(t, "### nginx", "443", fmt.Sprint(f.good), "/etc/ssl/calls.pem", filepath.Join(own, "cert.pem"),
		"/etc/ssl/calls.key", filepath.Join(own, "key.pem"), "8080", fmt.Sprint(f.port))
	config := fmt.Sprintf(`
worker_processes 1; pid %[1]s/pid; error_log stderr; daemon off; master_process off;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	%[2]s
	server { listen 127.0.0.1:%[3]d; location / {
		proxy_pass http://127.0.0.1:%[4]d; proxy_http_version 1.1;
		proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
	} }
}`, dir, documented, f.bare, f.port)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	command := exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", file)
	command.Stdout, command.Stderr = &log, &log
	if err := startBound(command); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Signal(syscall.SIGTERM); _ = command.Wait() })
	for _, port := range []int{f.good, f.bare} {
		until(t, "nginx listens", func() bool {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return f
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// as makes a dialer of connections from an address of this host.
func as(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
}

// asked is what /config says about whoever asks.
type asked struct{ Client, Signaling string }

// ask gets /config through one of nginx's ports.
func (f front) ask(t *testing.T, from string, port int, path string, headers ...string) (a asked) {
	t.Helper()
	scheme := "http"
	if port == f.good {
		scheme = "https"
	}
	client := &http.Client{Transport: &http.Transport{DialContext: as(from).DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: f.roots}}}
	r, err := http.NewRequest("GET", fmt.Sprintf("%s://localhost:%d%s", scheme, port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Host = fmt.Sprintf("127.0.0.1:%d", port)
	r.Host = fmt.Sprintf("localhost:%d", port)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(body, &a) != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return a
}

// socket opens the signaling socket through nginx; it says hello.
func (f front) socket(t *testing.T, from string, headers http.Header) (*websocket.Conn, error) {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: as(from).DialContext, TLSClientConfig: &tls.Config{RootCAs: f.roots}, HandshakeTimeout: 10 * time.Second}
	ws, _, err := dialer.Dial(fmt.Sprintf("wss://127.0.0.1:%d/ws", f.good), headers)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`)); err != nil {
		return nil, err
	}
	_, text, err := ws.ReadMessage()
	if err == nil && !strings.Contains(string(text), `"welcome"`) {
		err = fmt.Errorf("answered %s", text)
	}
	return ws, err
}

// forgeries are headers by which somebody claims to be 8.8.8.8, over TLS, elsewhere.
var forgeries = []string{"X-Forwarded-For: 8.8.8.8", "Forwarded: for=8.8.8.8;proto=http;host=evil.example", "X-Real-IP: 8.8.8.8",
	"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http"}

// TestBehindNamedNginx is the documented way: every client is who it is, however it
// lies, and nginx itself is no visitor.
func TestBehindNamedNginx(t *testing.T) {
	t.Parallel()
	f := behindNginx(t, []string{"127.0.0.1/32", "::1/128"})
	socket := fmt.Sprintf("wss://localhost:%d/ws", f.good)
	for _, headers := range [][]string{nil, forgeries, forgeries[:1], forgeries[1:2]} {
		if got := f.ask(t, "127.0.0.9", f.good, "/config", headers...); got.Client != "127.0.0.9" || got.Signaling != socket {
			t.Errorf("%q: %+v", headers, got)
		}
	}
	// proxy_pass alone: nginx is the accomplice of whoever lies.
	if got := f.ask(t, "127.0.0.9", f.bare, "/config", forgeries[:1]...); got.Client != "8.8.8.8" {
		t.Errorf("nginx does not pass the header on: %+v", got)
	}
	if strings.Contains(f.log.String(), "not believed") {
		t.Errorf("a named proxy is warned of:\n%s", f.log)
	}

	// One person with all the sockets that one may have, and another one.
	for i := range 64 {
		if _, err := f.socket(t, "127.0.0.9", nil); err != nil {
			t.Fatalf("socket %d: %v\n%s", i+1, err, f.log)
		}
	}
	if _, err := f.socket(t, "127.0.0.9", http.Header{"X-Forwarded-For": {"8.8.8.8"}}); err == nil {
		t.Error("a forged header is worth a 65th socket")
	}
	if _, err := f.socket(t, "127.0.0.10", nil); err != nil {
		t.Errorf("one stranger shuts everybody out: %v", err)
	}

	trust := []string{"SSL_CERT_FILE=" + f.caFile, "SSL_CERT_DIR=/nonexistent"}
	output, _ := runTurnhub(t, trust, "check", fmt.Sprintf("https://localhost:%d", f.good))
	wantLines(t, output, "ok a forged X-Forwarded-For", "ok a forged Forwarded", "not believed: you are 127.0.0.1")
	output, status := runTurnhub(t, trust, "check", fmt.Sprintf("http://127.0.0.1:%d", f.bare))
	if status != 1 {
		t.Errorf("a proxy that passes headers on: exit status %d", status)
	}
	wantLines(t, output, "FAIL a forged X-Forwarded-For the server believes that this machine is 192.0.2.254", "FAIL a forged Forwarded",
		"proxy_set_header X-Forwarded-For $remote_addr", "docs/front.md")
}

// TestBehindUnnamedNginx leaves the proxy out of listen.trusted_proxies: nothing
// that it passes on is believed, and the log says what to write.
func TestBehindUnnamedNginx(t *testing.T) {
	t.Parallel()
	f := behindNginx(t, nil)
	for _, port := range []int{f.good, f.bare} {
		for _, headers := range [][]string{nil, forgeries} {
			if got := f.ask(t, "127.0.0.9", port, "/config", headers...); got.Client != "127.0.0.1" || !strings.HasPrefix(got.Signaling, "ws://") || strings.Contains(got.Signaling, "evil") {
				t.Errorf("port %d, %q: %+v", port, headers, got)
			}
		}
	}
	const disbelieved = "forwarding headers are not believed"
	until(t, "a line about the proxy", func() bool { return strings.Contains(f.log.String(), disbelieved) })
	if n := strings.Count(f.log.String(), disbelieved); n != 1 || !strings.Contains(f.log.String(), `listen.trusted_proxies: [127.0.0.1/32, ::1/128]`) {
		t.Errorf("%d lines about the proxy:\n%s", n, f.log)
	}
	trust := []string{"SSL_CERT_FILE=" + f.caFile, "SSL_CERT_DIR=/nonexistent"}
	output, status := runTurnhub(t, trust, "check", fmt.Sprintf("https://localhost:%d", f.good))
	if status != 1 {
		t.Errorf("exit status %d", status)
	}
	wantLines(t, output, "a page from https may not open it", "the reverse proxy must be named in listen.trusted_proxies", "ok a forged X-Forwarded-For")
}
