package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"turnhub/internal/freeport"
)

// output is a log that can be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// try runs a command line.
func try(environ []string, args ...string) (status int, stdout, stderr string) {
	var out, errs output
	status = run(context.Background(), args, invocation{stdout: &out, stderr: &errs, environ: environ})
	return status, out.String(), errs.String()
}

func TestStatus(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	good := filepath.Join(dir, "good.yaml")
	reached := filepath.Join(dir, "reached.yaml")
	secret := filepath.Join(dir, "token-secret")
	for file, text := range map[string]string{
		bad:     "relay:\n  port_min: x\nnonsense: 1\n",
		good:    "credentials: {secrets: [a-good-secret]}\nrelay: {external_ip: 127.0.0.1}\naccess: {token_secret_file: " + secret + "}\n",
		reached: "public_host: calls.example.org\nlisten: {tcp: [':8443']}\ntls: {mode: self-signed}\naccess: {mode: token, token_secret_file: " + secret + "}\n",
		secret:  strings.Repeat("s", 40),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args   string
		status int
		out    string
		err    string
	}{
		{"version", 0, "turnhub ", ""},
		{"--version", 0, "turnhub ", ""},
		{"help", 0, "turnhub credentials", ""},
		{"-h", 0, "turnhub serve", ""},
		{"dance", 2, "", `there is no command "dance"`},
		{"version now", 2, "", "one argument too many"},
		{"serve --confg x", 2, "", "write: turnhub serve [--config FILE]"},
		{"config --config " + bad, 1, "", bad + `:2: relay.port_min: "x" is not a port`},
		{"serve --config " + bad, 1, "", bad + ":3: nonsense: this option does not exist"},
		{"config --config " + dir + "/none", 1, "", "give --config a readable file"},
		{"config --config " + good, 0, `secrets: ["********"]`, ""},
		{"credentials --config " + good, 2, "", "--user needs 1 to 64"},
		{"credentials --config " + good + " --user s_x", 2, "", "--user needs 1 to 64"},
		{"credentials --config " + good + " --user bob --ttl 10m", 0, `"ttl": 600`, ""},
		{"token --config " + good + " --user bob --room blue", 0, "eyJ", ""},
		{"token --config " + reached + " --user bob --room blue", 0, "eyJ", "to open: https://calls.example.org:8443/?token=eyJ"},
		{"token --config " + good + " --user bob --ttl -1h", 2, "", "--ttl must be positive"},
		{"token --user bob", 1, "", "openssl rand"},
		{"config --config " + good, 0, "", "warning: " + good + ":3: access.token_secret_file: nobody is asked for a token"},
	} {
		status, out, errs := try([]string{"STATE_DIRECTORY=" + dir}, strings.Fields(tc.args)...)
		if status != tc.status || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) {
			t.Errorf("turnhub %s: status %d\nstdout: %s\nstderr: %s", tc.args, status, out, errs)
		}
	}
	if status, _, errs := try([]string{"TURNHUB_RELAY_PORT=5"}, "config"); status != 0 || !strings.Contains(errs, "warning: environment: TURNHUB_RELAY_PORT: this variable does not exist") {
		t.Error(status, errs)
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	status, _, errs := try([]string{
		"STATE_DIRECTORY=" + t.TempDir(), "TURNHUB_LISTEN_TCP=" + ln.Addr().String(), "TURNHUB_LISTEN_UDP=" + pc.LocalAddr().String(),
		"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1",
	}, "serve")
	for _, want := range []string{
		"tcp " + ln.Addr().String() + ": another program uses this port; stop it (`ss -lntp",
		"udp " + pc.LocalAddr().String() + ": another program uses this port; stop it (`ss -lnup",
		"listen.tcp", "listen.udp",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not in %q", want, errs)
		}
	}
	if status != 1 {
		t.Errorf("status %d", status)
	}
}

// TestOnceFree has a port that is let go of a little after its process has ended.
func TestOnceFree(t *testing.T) {
	taken := 3
	err := onceFree(func() error {
		if taken--; taken > 0 {
			return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		}
		return nil
	})
	if err != nil || taken != 0 {
		t.Error(err, taken)
	}
	tries := 0
	if err := onceFree(func() error { tries++; return syscall.EACCES }); err != syscall.EACCES || tries != 1 {
		t.Error("what no patience mends is tried again:", err, tries)
	}
}

func freePort(t *testing.T) int { return freeport.Any(t) }

// until polls for a condition that comes true in its own time.
func until(t *testing.T, what string, log *output, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: it did not come\n%s", what, log)
		case <-tick.C:
		}
	}
}

// TestServe starts the whole server on loopback with TLS, reloads it, and ends
// it; nothing may stay behind.
func TestServe(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	port, admin := freePort(t), freePort(t)
	file := filepath.Join(dir, "config.yaml")
	write := func(more string) {
		text := fmt.Sprintf(`
public_host: localhost
listen: {tcp: ["127.0.0.1:%d"], udp: ["127.0.0.1:%d"], admin: "127.0.0.1:%d"}
tls: {mode: self-signed}
relay: {external_ip: 127.0.0.1}
state_dir: %s
%s`, port, port, admin, filepath.Join(dir, "state"), more)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	var log output
	status := make(chan int, 1)
	go func() {
		status <- run(context.Background(), []string{"serve", "--config", file}, invocation{stdout: &log, stderr: &log})
	}()
	get := func(client *http.Client, url string) (int, string) {
		res, err := client.Get(url)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	until(t, "ready", &log, func() bool {
		code, _ := get(plain, fmt.Sprintf("http://127.0.0.1:%d/readyz", admin))
		return code == 200
	})

	ca, err := os.ReadFile(filepath.Join(dir, "state", "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	secure := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	var c struct {
		ICEServers []struct{ URLs []string }
		TTL        int
		Signaling  string
	}
	config := func() string {
		_, body := get(secure, fmt.Sprintf("https://localhost:%d/config", port))
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatal(err, body)
		}
		return body
	}
	until(t, "all URLs", &log, func() bool {
		return strings.Contains(config(), "turns:localhost")
	})
	if urls := c.ICEServers[0].URLs; !strings.Contains(urls[0], "transport=udp") || c.Signaling != fmt.Sprintf("wss://localhost:%d/ws", port) || c.TTL != 43200 {
		t.Errorf("%+v", c)
	}
	if code, body := get(plain, fmt.Sprintf("http://127.0.0.1:%d/metrics", admin)); code != 200 || !strings.Contains(body, "turnhub_") {
		t.Error(code, body)
	}
	for path, want := range map[string]int{"/ws": 426, "/ws/k3x9": 426, "/ws/": 404, "/ws/k3x9/more": 404} {
		if code, body := get(secure, fmt.Sprintf("https://localhost:%d%s", port, path)); code != want {
			t.Error(path, code, body)
		}
	}
	request, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/metrics", admin), nil)
	request.Host = "evil.example"
	if res, err := plain.Do(request); err != nil || res.StatusCode != 403 {
		t.Error("a rebound name reaches the admin listener", res, err)
	} else {
		res.Body.Close()
	}

	write("credentials: {ttl: 1h}\nrelay2: 5\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	until(t, "bad reload", &log, func() bool { return strings.Contains(log.String(), "the old one stays") })
	if config(); c.TTL != 43200 {
		t.Error("a bad configuration was taken")
	}
	write("credentials: {ttl: 1h}\nsignaling: {relay_at_root: true}\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	until(t, "reload", &log, func() bool {
		return strings.Contains(log.String(), "changed=[credentials.ttl] needs_restart=[signaling.relay_at_root]")
	})
	if config(); c.TTL != 3600 {
		t.Error("the reload changed nothing")
	}

	// A client that says nothing must not delay the end.
	silent, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	if code := <-status; code != 0 {
		t.Errorf("status %d\n%s", code, &log)
	}
	silent.Close()
	defer func() {
		if t.Failed() {
			stacks := make([]byte, 1<<20)
			t.Logf("%s", stacks[:runtime.Stack(stacks, true)])
		}
	}()
	until(t, "the end of every goroutine", &log, func() bool { return runtime.NumGoroutine() <= before+2 })
	if strings.Contains(log.String(), "level=ERROR msg=\"the self check") {
		t.Error(log.String())
	}
	second := filepath.Join(dir, "state", "turn-secrets")
	if info, err := os.Stat(second); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}

// TestSelfCheckWithTokens runs the self check where every socket needs a token: it
// signs its own where it can, and expects to be refused where others sign.
func TestSelfCheckWithTokens(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token-secret")
	keys := filepath.Join(t.TempDir(), "keys.json")
	for file, text := range map[string]string{
		secret: "0123456789abcdef0123456789abcdef",
		keys:   `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, // RFC 8037 appendix A.2
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"TURNHUB_ACCESS_TOKEN_SECRET_FILE=" + secret, "TURNHUB_ACCESS_TOKEN_JWKS_FILE=" + keys} {
		var log output
		ctx, cancel := context.WithCancel(context.Background())
		port := freePort(t)
		n := startNode(t, ctx, []string{
			"STATE_DIRECTORY=" + t.TempDir(), fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port),
			"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_ACCESS_MODE=token", key,
		}, &log)
		var served sync.WaitGroup
		served.Go(func() { n.serve(ctx) })
		<-n.prober.First()
		if err := n.selfCheck(ctx, 10*time.Second); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		n.hub.Close()
		if err := n.selfCheck(ctx, 10*time.Second); err == nil && strings.Contains(key, "SECRET") {
			t.Errorf("%s: a closed hub passes", key)
		}
		cancel()
		served.Wait()
	}
}

func TestSelfCheck(t *testing.T) {
	dir := t.TempDir()
	port := freePort(t)
	var log output
	ctx, cancel := context.WithCancel(context.Background())
	environ := []string{
		"STATE_DIRECTORY=" + dir, fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port),
		"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1",
	}
	n := startNode(t, ctx, environ, &log)
	var served sync.WaitGroup
	served.Go(func() { n.serve(ctx) })
	<-n.prober.First()
	if err := n.selfCheck(ctx, 10*time.Second); err != nil {
		t.Error(err)
	}
	healthz := func() (int, string) {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", port))
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	if code, body := healthz(); code != http.StatusOK || !strings.Contains(body, `"ok"`) {
		t.Error(code, body)
	}
	n.hub.Close()
	if err := n.selfCheck(ctx, 10*time.Second); !errors.Is(err, errNoHub) {
		t.Errorf("a closed hub passes: %v", err)
	}
	until(t, "/healthz says that the hub does not answer", &log, func() bool {
		code, body := healthz()
		return code == http.StatusServiceUnavailable && strings.Contains(body, errNoHub.Error())
	})
	cancel()
	served.Wait()
	n.pulse.at = time.Time{}
	if reasons := n.health(); !slices.Equal(reasons, []string{errNoSTUN.Error()}) {
		t.Errorf("a server that has ended is healthy but for %q", reasons)
	}
	if err := n.selfCheck(context.Background(), 10*time.Second); err == nil {
		t.Error("a server that has ended passes")
	}
}
