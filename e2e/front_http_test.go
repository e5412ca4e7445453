package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// httpFront is a reverse proxy for HTTP that docs/front.md shows.
type httpFront struct {
	long bool // built or started too slowly for each run: E2E_LONG=1
	// begin starts it by the recipe's text in front of a port of ours, for all paths or
	// for those below one, and returns its own port. dir has cert.pem and key.pem.
	begin func(t *testing.T, dir string, to int, below string) (port int)
}

// onPath changes words of a recipe where a path is asked for.
func onPath(text, below string, from, to string) string {
	if below == "" {
		return text
	}
	return strings.Replace(text, from, to, 1)
}

var httpFronts = map[string]httpFront{
	"HAProxy": {begin: func(t *testing.T, dir string, to int, below string) int {
		path := program(t, "haproxy", "haproxy")
		work, port := t.TempDir(), freePort(t)
		both := filepath.Join(work, "calls.pem")
		write(t, both, textOf(t, filepath.Join(dir, "cert.pem"))+textOf(t, filepath.Join(dir, "key.pem")))
		text := recipe(t, "### HAProxy", ":443", fmt.Sprint("127.0.0.1:", port), "/etc/ssl/calls.pem", both, "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", to))
		text = onPath(text, below, "default_backend turnhub", "use_backend turnhub if { path_beg "+below+"/ }")
		file := filepath.Join(work, "haproxy.cfg")
		// As Debian's own file begins.
		write(t, file, "defaults\n\ttimeout connect 5000\n\ttimeout client 50000\n\ttimeout server 50000\n"+text+"\n")
		run(t, []int{port}, path, "-db", "-f", file)
		return port
	}},
	"Apache": {long: true, begin: func(t *testing.T, dir string, to int, below string) int {
		port := freePort(t)
		beginApache(t, dir, to, port, below)
		return port
	}},
	"Caddy": {long: true, begin: func(t *testing.T, dir string, to int, below string) int {
		port := freePort(t)
		beginCaddy(t, dir, to, port, below)
		return port
	}},
	"Traefik": {long: true, begin: func(t *testing.T, dir string, to int, below string) int {
		port := freePort(t)
		beginTraefik(t, traefikHTTP(t, dir, to, below), port)
		return port
	}},
}

// beginApache starts Apache on a port of its own. edits change the recipe.
func beginApache(t *testing.T, dir string, to, port int, below string, edits ...func(string) string) *os.Process {
	t.Helper()
	path, work := program(t, "apache2", "apache2-bin"), t.TempDir()
	text := recipe(t, "### Apache", "*:443", fmt.Sprint("127.0.0.1:", port), "calls.example.org", "localhost",
		"/etc/ssl/calls.pem", filepath.Join(dir, "cert.pem"), "/etc/ssl/calls.key", filepath.Join(dir, "key.pem"), "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", to))
	text = onPath(text, below, "ProxyPass / ", "ProxyPass "+below+"/ ")
	text = onPath(text, below, fmt.Sprint(to, "/ "), fmt.Sprint(to, below, "/ "))
	for _, edit := range edits {
		text = edit(text)
	}
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "headers", "ssl", "socache_shmcb", "proxy", "proxy_http", "proxy_wstunnel"} {
		fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	text = recipe(t, "#### Apache's threads") + "\n" + text
	file := filepath.Join(work, "apache.conf")
	write(t, file, fmt.Sprintf("%sServerRoot %s\nServerName localhost\nPidFile %[2]s/pid\nDefaultRuntimeDir %[2]s\nErrorLog /dev/stderr\nUser nobody\nGroup nogroup\nListen 127.0.0.1:%d\n%s\n", &modules, work, port, text))
	return run(t, []int{port}, path, "-DFOREGROUND", "-f", file)
}

// beginCaddy starts Caddy on a port of its own, and returns what reloads it. edits
// change the recipe.
func beginCaddy(t *testing.T, dir string, to, port int, below string, edits ...func(string) string) (reload func()) {
	t.Helper()
	path, work := goProgram(t, "caddy"), t.TempDir()
	text := recipe(t, "### Caddy", "calls.example.org {", fmt.Sprintf("https://localhost:%d {\n    bind 127.0.0.1\n    tls %s/cert.pem %[2]s/key.pem", port, dir), "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", to))
	text = onPath(text, below, "reverse_proxy ", "reverse_proxy "+below+"/* ")
	for _, edit := range edits {
		text = edit(text)
	}
	file, admin := filepath.Join(work, "Caddyfile"), "unix/"+filepath.Join(work, "admin")
	write(t, file, "{\n\tadmin "+admin+"\n\tauto_https disable_redirects\n\tstorage file_system "+work+"\n}\n"+text+"\n")
	run(t, []int{port}, path, "run", "--config", file, "--adapter", "caddyfile")
	return func() {
		if text, err := exec.Command(path, "reload", "--force", "--config", file, "--adapter", "caddyfile", "--address", admin).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
}

func textOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// goProgram is a proxy that is written in Go, see front-program. One that cannot be had is
// a failure: nothing would say that it was not tried.
func goProgram(t *testing.T, name string) string {
	t.Helper()
	find := exec.Command("./front-program", name)
	var log lockedBuffer
	find.Stderr = &log
	path, err := find.Output()
	if err != nil {
		t.Fatalf("%s was NOT TRIED: %v (name the program in TURNHUB_%s)\n%s", name, err, strings.ToUpper(name), &log)
	}
	return strings.TrimSpace(string(path))
}

// TestBehindHTTPProxy goes through each reverse proxy that docs/front.md shows, set up by
// the very text: pages, /config, the socket, the dialects and the console's events, at the
// root and below a path; and nobody is believed to be somebody else.
func TestBehindHTTPProxy(t *testing.T) {
	t.Parallel()
	for name, proxy := range httpFronts {
		t.Run(name, func(t *testing.T) {
			if proxy.long && os.Getenv("E2E_LONG") == "" {
				t.Skip("E2E_LONG=1 (make soak) runs this")
			}
			t.Parallel()
			for _, path := range []string{"", "/calls"} {
				s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}}, "public_path", path)
				f := front{server: s, good: proxy.begin(t, s.directory(t), s.port, path)}
				f.throughHTTP(t, path)
				if path != "" {
					continue
				}
				_, admin, _ := strings.Cut(s.admin, "127.0.0.1:")
				var port int
				fmt.Sscan(admin, &port)
				f.events(t, proxy.begin(t, s.directory(t), port, ""), "/events")
				trust := []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}
				output, _ := runTurnhub(t, trust, "check", fmt.Sprintf("https://localhost:%d", f.good))
				wantLines(t, output, "ok a forged X-Forwarded-For", "ok a forged Forwarded", "ok a forged PROXY header", "ok wss://localhost:")
			}
		})
	}
}

// TestCaddyOfCompose has Caddy run deploy/Caddyfile, as in deploy/compose.caddy.yaml: all
// comes through, and nobody is believed to be somebody else.
func TestCaddyOfCompose(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 (make soak) runs this")
	}
	t.Parallel()
	s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}})
	work, own := t.TempDir(), s.directory(t)
	f := front{server: s, good: freePort(t)}
	const to, head = "turnhub:8080", "{$TURNHUB_PUBLIC_HOST} {"
	text := textOf(t, "../deploy/Caddyfile")
	if !strings.Contains(text, to) || !strings.Contains(text, head) {
		t.Fatalf("deploy/Caddyfile is another:\n%s", text)
	}
	// Its certificate is this test's own, as no authority gives one to localhost.
	text = strings.Replace(strings.Replace(text, to, fmt.Sprint("127.0.0.1:", s.port), 1), head, fmt.Sprintf("%s\n    tls %s/cert.pem %[2]s/key.pem", head, own), 1)
	file := filepath.Join(work, "Caddyfile")
	write(t, file, "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system "+work+"\n}\n"+text)
	run(t, []int{f.good}, "env", fmt.Sprintf("TURNHUB_PUBLIC_HOST=https://localhost:%d", f.good), goProgram(t, "caddy"), "run", "--config", file, "--adapter", "caddyfile")
	f.throughHTTP(t, "")
}

// throughHTTP uses all that a reverse proxy passes on.
func (f front) throughHTTP(t *testing.T, path string) {
	t.Helper()
	host := fmt.Sprintf("localhost:%d", f.good)
	for _, from := range []string{"127.0.0.9", "127.0.0.10"} {
		for _, headers := range [][]string{nil, forgeries, forgeries[:1], forgeries[1:2], {"X-Forwarded-Port: 1"}} {
			got := f.ask(t, from, f.good, path+"/config", headers...)
			if got.Client != from || got.Signaling != "wss://"+host+path+"/ws" {
				t.Errorf("%s, %q: %+v", from, headers, got)
			}
		}
	}
	for page, want := range map[string]string{"/": "</html>", "/check": "</html>", "/client/turnhub.js": "export", "/socket.io/?EIO=4&transport=polling": `"sid":`, "/peerjs/peerjs/id": "-"} {
		if got, err := get(t, f.server, "127.0.0.9", "localhost", f.good, path+page); err != nil || !strings.Contains(got, want) || strings.HasPrefix(got, `{"error"`) {
			t.Errorf("%s: %.200s, %v", page, got, err)
		}
	}
	// One raw channel, two sockets; whoever lies in headers opens it as well.
	dial := func(url string, protocols ...string) *websocket.Conn {
		dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: f.roots}, Subprotocols: protocols, HandshakeTimeout: 10 * time.Second}
		ws, _, err := dialer.Dial(url, http.Header{"X-Forwarded-For": {"8.8.8.8"}})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		t.Cleanup(func() { ws.Close() })
		_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		return ws
	}
	a, b := dial("wss://"+host+path+"/relay/through"), dial("wss://"+host+path+"/relay/through")
	if err := a.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := b.ReadMessage(); err != nil || string(text) != "hello" {
		t.Errorf("the raw relay passes on %q, %v", text, err)
	}
	if kind := hello(t, dial("wss://"+host+path+"/ws", "turnhub.v1")); kind != "welcome" {
		t.Errorf("hello is answered by %q", kind)
	}
	mediaThrough(t, "wss://"+host+path+"/ws", dial)
}

// client asks a port of this host from an address of it.
func (f front) client(port int) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: f.roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return as("127.0.0.9").DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		},
	}}
}

// all is a body as text.
func all(t *testing.T, response *http.Response) string {
	t.Helper()
	if response == nil {
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// events reads two states of the console through a proxy, each as it is sent.
func (f front) events(t *testing.T, port int, path string, who ...string) {
	t.Helper()
	request, err := http.NewRequest("GET", "https://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(who) == 2 {
		request.SetBasicAuth(who[0], who[1])
	}
	response, err := f.client(port).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	states := 0
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for states < 2 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: {") {
			states++
		}
	}
	if states < 2 {
		t.Errorf("%d states of the console came through: %s", states, response.Status)
	}
}
