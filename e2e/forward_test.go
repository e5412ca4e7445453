package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestForwardToNginx has turnhub in front of Debian's nginx: TLS for its names is its
// own, with the client's address by the PROXY protocol, and so are the challenges of
// its certificate authority by plain HTTP; turnhub's own name is turnhub's.
func TestForwardToNginx(t *testing.T) {
	t.Parallel()
	path := program(t, "nginx", "nginx-light")
	secure, plain := freePort(t), freePort(t)
	s := start(t, map[string]map[string]any{"listen": {"forward": []map[string]any{
		{"host": "*.example.org", "to": fmt.Sprint("127.0.0.1:", secure), "http": fmt.Sprint("127.0.0.1:", plain), "proxy_protocol": "v2"},
	}}})
	own, dir := s.directory(t), t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf(`
worker_processes 1; pid %[1]s/pid; error_log stderr; daemon off; master_process off;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen 127.0.0.1:%[2]d ssl proxy_protocol; ssl_certificate %[4]s/cert.pem; ssl_certificate_key %[4]s/key.pem;
		location / { return 200 "nginx; $host; $proxy_protocol_addr"; } }
	server { listen 127.0.0.1:%[3]d;
		location / { return 200 "nginx; $host; $http_x_forwarded_for"; } }
}`, dir, secure, plain, own))
	run(t, []int{secure, plain}, path, "-p", dir, "-e", "stderr", "-c", file)

	if got, err := get(t, s, "127.0.0.9", "www.example.org", s.port, "/"); err != nil || got != "nginx; www.example.org; 127.0.0.9" {
		t.Errorf("TLS by name: %q, %v", got, err)
	}
	if got, err := get(t, s, "127.0.0.9", "localhost", s.port, "/config"); err != nil || !strings.Contains(got, `"client":"127.0.0.9"`) {
		t.Errorf("our own name: %q, %v", got, err)
	}
	if got := mapped(t, s, "127.0.0.9", s.port); got != "127.0.0.9" {
		t.Errorf("without a name STUN says %q", got)
	}
	challenge := func() string {
		client := &http.Client{Transport: &http.Transport{DialContext: as("127.0.0.9").DialContext, DisableKeepAlives: true}}
		r, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/.well-known/acme-challenge/x", s.port), nil)
		r.Host = "shop.example.org"
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	if got := challenge(); got != "nginx; shop.example.org; 127.0.0.9" {
		t.Errorf("plain HTTP by name: %q", got)
	}

	// A stranger's PROXY header is no way to be somebody else there either.
	raw, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	fmt.Fprint(raw, "PROXY TCP4 8.8.8.8 127.0.0.1 5000 443\r\n")
	if n, err := raw.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a stranger's header is answered")
	}
}

// TestPassedOnOutlivesUpgrade has connections that are passed on go on, both ways, in the
// old process of an upgrade, which ends when they have; new ones come by the new process.
func TestPassedOnOutlivesUpgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	new(server).certificate(t, dir)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); io.Copy(conn, conn) }()
		}
	}()
	f := startFamily(t, "relay: {external_ip: 127.0.0.1}\n")
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(strings.Replace(string(text), "listen: {", fmt.Sprintf(`listen: {forward: [{host: www.example.org, to: %q}], `, other.Addr()), 1))
	f.signal(f.serving(), syscall.SIGHUP)
	var conns []*tls.Conn
	dial := func() bool {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", fmt.Sprint("127.0.0.1:", f.port), &tls.Config{ServerName: "www.example.org", InsecureSkipVerify: true})
		if err == nil {
			conns = append(conns, conn)
			t.Cleanup(func() { conn.Close() })
		}
		return err == nil
	}
	speak := func(when string) {
		for i, conn := range conns {
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			got := make([]byte, len(when))
			if _, err := io.WriteString(conn, when); err != nil {
				t.Errorf("connection %d, %s: %v", i, when, err)
			} else if _, err := io.ReadFull(conn, got); err != nil || string(got) != when {
				t.Errorf("connection %d, %s: %q, %v", i, when, got, err)
			}
		}
	}
	until(t, "the list is read again", dial)
	speak("before the upgrade")
	old, young := f.upgrade()
	if !dial() {
		t.Error("the new process passes nothing on")
	}
	speak("after it")
	if !running(old) {
		t.Error("the old process has left a connection behind")
	}
	conns[0].Close()
	conns = conns[1:]
	until(t, "the old process has ended", func() bool { return !running(old) })
	speak("when the old one has ended")
	if !running(young) {
		t.Error("the new process does not run")
	}
}

// TestBelowAPath has nginx serve turnhub below a path, by the text of docs/front.md,
// and by a location that takes the path off: page, files, /config and socket are there.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	path := program(t, "nginx", "nginx-light")
	s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}}, "public_path", "/calls")
	own, dir, port := s.directory(t), t.TempDir(), freePort(t)
	location := recipe(t, "### Below a path", "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port))
	_, admin, _ := strings.Cut(s.admin, "//")
	write(t, filepath.Join(dir, "operators"), "operator:{PLAIN}secret\n")
	office := recipe(t, "### The console", "127.0.0.1:9478", admin, "/etc/nginx/operators", filepath.Join(dir, "operators"))
	stripped := strings.NewReplacer("location /calls/", "location /calls/", fmt.Sprint(s.port, ";"), fmt.Sprint(s.port, "/;")).Replace(location)
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf(`
worker_processes 1; pid %[1]s/pid; error_log stderr; daemon off; master_process off;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	ssl_certificate %[3]s/cert.pem; ssl_certificate_key %[3]s/key.pem;
	server { listen 127.0.0.1:%[2]d ssl; server_name localhost; %[4]s %[6]s }
	server { listen 127.0.0.1:%[2]d ssl; server_name taken-off.example; %[5]s }
}`, dir, port, own, location, stripped, office))
	run(t, []int{port}, path, "-p", dir, "-e", "stderr", "-c", file)
	f := front{server: s, good: port}
	f.events(t, port, "/calls/console/events", "operator", "secret")
	console, err := f.client(port).Get("https://operator:secret@localhost/calls/console/")
	if err != nil || console.StatusCode != 200 {
		t.Errorf("the console: %v, %v", console, err)
	}
	relative := regexp.MustCompile(`(?:src|href)="([^":#]+)"`)
	for _, m := range relative.FindAllStringSubmatch(all(t, console), -1) {
		if file, err := f.client(port).Get("https://operator:secret@localhost/calls/console/" + m[1]); err != nil || file.StatusCode != 200 || m[1][0] == '/' {
			t.Errorf("the console leads to %s: %v, %v", m[1], file, err)
		}
	}
	if stranger, err := f.client(port).Get("https://localhost/calls/console/state"); err != nil || stranger.StatusCode != http.StatusUnauthorized {
		t.Errorf("the console without a password: %v, %v", stranger, err)
	}
	order, err := http.NewRequest("POST", "https://operator:secret@localhost/calls/console/revoke", strings.NewReader(`{"user":"nobody"}`))
	if err != nil {
		t.Fatal(err)
	}
	order.Header = http.Header{"Content-Type": {"application/json"}, "Origin": {"https://localhost"}, "Sec-Fetch-Site": {"same-origin"}}
	if done, err := f.client(port).Do(order); err != nil || done.StatusCode != 200 {
		t.Errorf("an order of the console: %v, %v", done, err)
	}
	order.Body = io.NopCloser(strings.NewReader(`{"user":"nobody"}`))
	order.Header.Set("Sec-Fetch-Site", "cross-site")
	if done, err := f.client(port).Do(order); err != nil || done.StatusCode != http.StatusForbidden {
		t.Errorf("an order of another site's page: %v, %v", done, err)
	}
	trust := []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}
	report, _ := runTurnhub(t, trust, "check", "--config", filepath.Join(own, "config.yaml"))
	wantLines(t, report, fmt.Sprintf("ok https://localhost:%d/calls/config", s.port), fmt.Sprintf("ok wss://localhost:%d/calls/ws", s.port))

	link := regexp.MustCompile(`(?:src|href)="(/[^"#]+)`)
	for _, name := range []string{"localhost", "taken-off.example"} {
		if got, err := get(t, s, "127.0.0.9", name, port, "/calls/config"); err != nil || !strings.Contains(got, `"client":"127.0.0.9"`) || !strings.Contains(got, `"signaling":"wss://`+name+`/calls/ws"`) {
			t.Errorf("%s: /calls/config says %s, %v", name, got, err)
		}
		page, err := get(t, s, "127.0.0.9", name, port, "/calls/")
		links := link.FindAllStringSubmatch(page, -1)
		if err != nil || len(links) < 3 {
			t.Errorf("%s: the page has %d links, %v", name, len(links), err)
		}
		for _, m := range links {
			if file, err := get(t, s, "127.0.0.9", name, port, m[1]); err != nil || !strings.HasPrefix(m[1], "/calls/") || strings.Contains(file, "not-found") || strings.Contains(file, "404 Not Found") {
				t.Errorf("%s: the page leads to %s, %v", name, m[1], err)
			}
		}
		dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name}, Subprotocols: []string{"turnhub.v1"},
			NetDial: func(network, _ string) (net.Conn, error) {
				return as("127.0.0.9").Dial(network, fmt.Sprint("127.0.0.1:", port))
			}}
		ws, _, err := dialer.Dial("wss://"+name+"/calls/ws", nil)
		if err != nil {
			t.Errorf("%s: the socket: %v", name, err)
			continue
		}
		if kind := hello(t, ws); kind != "welcome" {
			t.Errorf("%s: hello is answered by %q", name, kind)
		}
		ws.Close()
	}
}
