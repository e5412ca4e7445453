package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWrongProxies has `turnhub check` name the line that a real proxy's configuration
// lacks, or has too many.
func TestWrongProxies(t *testing.T) {
	t.Parallel()
	s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}})
	own, dir := s.directory(t), t.TempDir()
	trust := []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}
	good := recipe(t, "### nginx", "443", "PORT", "calls.example.org", "localhost", "/etc/ssl/calls.pem", filepath.Join(own, "cert.pem"), "/etc/ssl/calls.key", filepath.Join(own, "key.pem"), "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port))
	without := func(text string, lines ...string) string {
		for _, l := range lines {
			if !strings.Contains(text, l) {
				t.Fatalf("the recipe has no %q", l)
			}
			text = strings.ReplaceAll(text, l, "")
		}
		return text
	}
	both := filepath.Join(dir, "calls.pem")
	write(t, both, textOf(t, filepath.Join(own, "cert.pem"))+textOf(t, filepath.Join(own, "key.pem")))
	haproxy := recipe(t, "### HAProxy", ":443", "127.0.0.1:PORT", "/etc/ssl/calls.pem", both, "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port))
	for _, x := range []struct {
		name, proxy, text string
		flags             []string
		want              []string
	}{
		{"no Upgrade", "nginx", without(good, "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection $http_connection;"), nil,
			[]string{"FAIL wss://localhost:", "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;"}},
		{"another server", "nginx", strings.ReplaceAll(good, "proxy_pass http", `return 200 "welcome"; #`), nil,
			[]string{"FAIL https://localhost:", "that of another server (nginx)", "nginx: location / { proxy_pass"}},
		{"no server", "nginx", strings.ReplaceAll(good, "proxy_pass http", `return 404; #`), nil,
			[]string{"FAIL https://localhost:", "no turnhub is there", "nginx: location / { proxy_pass"}},
		{"client's own header", "nginx", without(good, "proxy_set_header X-Forwarded-For $remote_addr;"), nil,
			[]string{"FAIL a forged X-Forwarded-For", "proxy_set_header X-Forwarded-For $remote_addr;"}},
		{"quiet sockets end", "nginx", strings.ReplaceAll(good, "proxy_buffering off;", "proxy_read_timeout 1s;"), []string{"--idle"},
			[]string{"FAIL a quiet socket for 1m5s", "closed after", "nginx: proxy_read_timeout 60s;"}},
		{"a minute's silence", "nginx", good, []string{"--idle"}, // a minute, which is its default
			[]string{"ok a quiet socket for 1m5s it stays open", "ok a socket without pings stays open for 58s"}},
		{"50 s of silence end", "nginx", strings.ReplaceAll(good, "proxy_buffering off;", "proxy_buffering off; proxy_read_timeout 50s;"), []string{"--idle"},
			[]string{"warn a socket without pings closed after 50", "ok a quiet socket for 1m5s it stays open", "nginx: proxy_read_timeout 60s;"}},
		{"20 s of silence end", "nginx", strings.ReplaceAll(good, "proxy_buffering off;", "proxy_buffering off; proxy_read_timeout 20s;"), []string{"--idle"},
			[]string{"warn a socket without pings closed after 20", "ok a quiet socket for 1m5s it stays open", "nginx: proxy_read_timeout 60s;"}},
		{"40 s of silence end", "haproxy", strings.ReplaceAll(haproxy, "timeout tunnel 1h", "timeout tunnel 40s"), []string{"--idle"},
			[]string{"warn a socket without pings closed after 40", "ok a quiet socket for 1m5s it stays open", "HAProxy: timeout tunnel 1h"}},
		{"answers are kept back", "nginx", strings.ReplaceAll(good, "proxy_buffering off;", "proxy_buffering on;"), nil,
			[]string{"warn a streamed answer", "keeps bodies back (nginx)", "nginx: proxy_buffering off;"}},
		{"no Upgrade", "haproxy", strings.Replace(haproxy, "    default_backend", "    http-request del-header Upgrade\n    default_backend", 1), nil,
			[]string{"FAIL wss://localhost:", "take away what removes them, such as http-request del-header Upgrade"}},
		{"HTTP/2 alone", "haproxy", strings.Replace(haproxy, both, both+" alpn h2 proto h2", 1), nil,
			[]string{"FAIL https://localhost:", "HTTP/2 alone is spoken there", "alpn h2,http/1.1"}},
		{"another server", "haproxy", strings.Replace(haproxy, "    default_backend", "    http-request return status 200 content-type text/plain string hello\n    default_backend", 1), nil,
			[]string{"FAIL https://localhost:", "that of another server", "default_backend turnhub (HAProxy)"}},
	} {
		t.Run(x.proxy+", "+x.name, func(t *testing.T) {
			if slices.Contains(x.flags, "--idle") && !strings.HasPrefix(x.want[0], "FAIL") && os.Getenv("E2E_LONG") == "" {
				t.Skip("E2E_LONG=1 (make soak) runs this: it takes a minute")
			}
			t.Parallel()
			port, work := freePort(t), t.TempDir()
			text := strings.ReplaceAll(x.text, "PORT", fmt.Sprint(port))
			file := filepath.Join(work, "conf")
			if x.proxy == "haproxy" {
				write(t, file, "defaults\n\ttimeout connect 5000\n\ttimeout client 50000\n\ttimeout server 50000\n"+text+"\n")
				run(t, []int{port}, program(t, "haproxy", "haproxy"), "-db", "-f", file)
			} else {
				write(t, file, fmt.Sprintf("worker_processes 1; pid %[1]s/pid; error_log stderr; daemon off; master_process off;\nevents { worker_connections 512; }\nhttp { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s\n}", work, text))
				run(t, []int{port}, program(t, "nginx", "nginx-light"), "-p", work, "-e", "stderr", "-c", file)
			}
			output, status := runTurnhub(t, trust, append(append([]string{"check"}, x.flags...), fmt.Sprintf("https://localhost:%d", port))...)
			want := 1
			if !strings.HasPrefix(x.want[0], "FAIL") {
				want = 0
			}
			if status != want {
				t.Errorf("exit status %d", status)
			}
			wantLines(t, output, x.want...)
		})
	}
}

// TestWrongProxiesToo is TestWrongProxies with those that are built or started slowly.
func TestWrongProxiesToo(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 (make soak) runs this")
	}
	t.Parallel()
	s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}})
	own := s.directory(t)
	trust := []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}
	instead := func(from, to string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, from) {
				t.Fatalf("the recipe has no %q", from)
			}
			return strings.Replace(text, from, to, 1)
		}
	}
	apache := func(from, to string) func(*testing.T, int) {
		return func(t *testing.T, port int) { beginApache(t, own, s.port, port, "", instead(from, to)) }
	}
	caddy := func(from, to string) func(*testing.T, int) {
		return func(t *testing.T, port int) { beginCaddy(t, own, s.port, port, "", instead(from, to)) }
	}
	traefik := func(from, to string, entry ...string) func(*testing.T, int) {
		return func(t *testing.T, port int) {
			beginTraefik(t, instead(from, to)(traefikHTTP(t, own, s.port, "")), port, entry...)
		}
	}
	for _, x := range []struct {
		name  string
		begin func(t *testing.T, port int)
		fails bool
		want  []string
	}{
		{"Apache, no Upgrade", apache(" upgrade=websocket", ""), true, []string{"FAIL wss://localhost:", "Apache: ProxyPass / http://127.0.0.1:8080/ upgrade=websocket"}},
		{"Apache, another server", apache("ProxyPass / ", "# ProxyPass / "), true, []string{"FAIL https://localhost:", "no turnhub is there", "Apache: ProxyPass /"}},
		{"Apache, not by TLS", apache("RequestHeader set X-Forwarded-Proto https", ""), true, []string{"a page from https may not open it", "RequestHeader set X-Forwarded-Proto https"}},
		{"Caddy, no Upgrade", caddy("header_up -Forwarded", "header_up -Forwarded\n\t\theader_up -Upgrade"), true, []string{"FAIL wss://localhost:", "Caddy: reverse_proxy passes them on by itself"}},
		{"Caddy, another server", caddy("reverse_proxy ", "respond \"welcome\"\n\treverse_proxy /never "), true, []string{"FAIL https://localhost:", "that of another server (Caddy)", "Caddy: reverse_proxy 127.0.0.1:8080"}},
		{"Caddy, client's own header", caddy("header_up -Forwarded", "header_up -Forwarded\n\t\ttrusted_proxies 127.0.0.0/8\n\t\theader_up X-Forwarded-For {header.X-Forwarded-For}"), true,
			[]string{"FAIL a forged X-Forwarded-For", "Caddy: header_up -Forwarded in the reverse_proxy block, and no trusted_proxies"}},
		{"Traefik, another server", traefik("Host(`localhost`)", "Host(`elsewhere.example`)"), true, []string{"FAIL https://localhost:", "no turnhub is there", "a router whose rule fits the name (Traefik)"}},
		{"Traefik, client's own header", traefik("turnhub", "turnhub", "forwardedHeaders: {insecure: true}"), true,
			[]string{"FAIL a forged X-Forwarded-For", "Traefik: no forwardedHeaders.insecure"}},
		{"Traefik, answers are kept back", traefik("{headers: {customRequestHeaders: {Forwarded: \"\"}}}", "{buffering: {maxResponseBodyBytes: 1000000}}"), false,
			[]string{"warn a streamed answer", "Traefik: take the buffering middleware away"}},
		{"Traefik, no Upgrade", traefik("{Forwarded: \"\"}", "{Forwarded: \"\", Upgrade: \"\"}"), true, []string{"FAIL wss://localhost:", "pass the headers Upgrade and Connection on"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			x.begin(t, port)
			output, status := runTurnhub(t, trust, "check", fmt.Sprintf("https://localhost:%d", port))
			if (status == 1) != x.fails {
				t.Errorf("exit status %d", status)
			}
			wantLines(t, output, x.want...)
		})
	}
}
