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
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/turn/v4"
)

// recipe returns the proxy's configuration in docs/front.md under a heading, with words
// replaced, each of which must be there.
func recipe(t *testing.T, heading string, changes ...string) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/front.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "\n"+heading+"\n")
	rest, _, _ = strings.Cut(rest, "\n#")
	block := ""
	for _, m := range regexp.MustCompile("(?s)```(\\w*)\n(.*?)\n```").FindAllStringSubmatch(rest, -1) {
		if m[1] != "yaml" { // that is ours
			block = m[2]
			break
		}
	}
	if !found || block == "" {
		t.Fatalf("docs/front.md has no code block under %q", heading)
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if !strings.Contains(block, changes[i]) {
			t.Fatalf("the block under %q has no %q", heading, changes[i])
		}
		block = strings.ReplaceAll(block, changes[i], changes[i+1])
	}
	return block
}

// program finds a program that Debian installs, which may be outside the PATH of users.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; !exists(path) {
			t.Skipf("SKIPPED: %s is not installed (apt-get install %s)", name, debian)
		}
	}
	return path
}

// run starts a program that the test's end stops, and waits until it listens.
func run(t *testing.T, ports []int, name string, args ...string) *os.Process {
	t.Helper()
	var log lockedBuffer
	command := exec.Command(name, args...)
	command.Stdout, command.Stderr = &log, &log
	if err := startBound(command); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for _, port := range ports {
		until(t, filepath.Base(name)+" listens", func() bool {
			select {
			case <-ended:
				t.Fatalf("%s ended:\n%s", name, &log)
			default:
			}
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return command.Process
}

// tcpFront is a proxy for TCP that docs/front.md shows.
type tcpFront struct {
	long bool // built too slowly for each run: E2E_LONG=1
	// begin starts it before a turnhub and another server, and returns the port on which it listens.
	begin func(t *testing.T, s *server, other int) (port int)
}

var tcpFronts = map[string]tcpFront{
	"HAProxy": {begin: func(t *testing.T, s *server, other int) int {
		path := program(t, "haproxy", "haproxy")
		port := freePort(t)
		text := recipe(t, "### HAProxy, by name", ":443", fmt.Sprint("127.0.0.1:", port), "127.0.0.1:8443", fmt.Sprint("127.0.0.1:", s.port), "127.0.0.1:8444", fmt.Sprint("127.0.0.1:", other))
		file := filepath.Join(t.TempDir(), "haproxy.cfg")
		write(t, file, "defaults\n\ttimeout connect 5s\n"+text+"\n")
		run(t, []int{port}, path, "-db", "-f", file)
		return port
	}},
	"nginx": {begin: func(t *testing.T, s *server, other int) int {
		path := program(t, "nginx", "nginx-light")
		const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
		if !exists(module) {
			t.Skip("SKIPPED: nginx has no stream module (apt-get install libnginx-mod-stream)")
		}
		port := freePort(t)
		text := recipe(t, "### nginx, by name", "listen 443", fmt.Sprint("listen 127.0.0.1:", port), "127.0.0.1:8443", fmt.Sprint("127.0.0.1:", s.port), "127.0.0.1:8444", fmt.Sprint("127.0.0.1:", other))
		dir := t.TempDir()
		file := filepath.Join(dir, "nginx.conf")
		write(t, file, fmt.Sprintf("load_module %s;\nworker_processes 1; pid %s/pid; error_log stderr; daemon off; master_process off;\nevents { worker_connections 512; }\n%s\n", module, dir, text))
		run(t, []int{port}, path, "-p", dir, "-e", "stderr", "-c", file)
		return port
	}},
	"Traefik": {long: true, begin: func(t *testing.T, s *server, other int) int {
		port := freePort(t)
		beginTraefik(t, traefikTCP(t, s.port, other, 2), port)
		return port
	}},
	"Traefik, version 1": {long: true, begin: func(t *testing.T, s *server, other int) int {
		port := freePort(t)
		beginTraefik(t, traefikTCP(t, s.port, other, 1), port)
		return port
	}},
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// otherServer is a web server for TLS that is not ours, and says so. It takes a PROXY
// header of version 1 and shows it.
func otherServer(t *testing.T, s *server) (port int) {
	t.Helper()
	dir := s.directory(t)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				in := bufio.NewReader(conn)
				header := ""
				if first, _ := in.Peek(5); string(first) == "PROXY" {
					header, _ = in.ReadString('\n')
				}
				top := tls.Server(readsFirst{conn, in}, &tls.Config{Certificates: []tls.Certificate{cert}})
				if _, err := http.ReadRequest(bufio.NewReader(top)); err != nil {
					return
				}
				fmt.Fprintf(top, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe other server; %s", header)
				top.Close()
			}()
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port
}

// readsFirst reads what has been buffered of a connection before the connection.
type readsFirst struct {
	net.Conn
	in io.Reader
}

func (c readsFirst) Read(b []byte) (int, error) { return c.in.Read(b) }

// get asks for a page by TLS with a name at a port of this host, from an address of it.
func get(t *testing.T, s *server, from, name string, port int, path string) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: s.roots, ServerName: name, InsecureSkipVerify: name != "localhost"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return as(from).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		},
	}, Timeout: 20 * time.Second}
	response, err := client.Get("https://" + name + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// mapped asks STUN over TLS where we are, without a name, as TURN by an IP address does.
func mapped(t *testing.T, s *server, from string, port int) string {
	t.Helper()
	raw, err := as(from).Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: raw.RemoteAddr().String(), Conn: turn.NewSTUNConn(conn)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { client.Close(); conn.Close() }()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	addr, err := client.SendBindingRequest()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(addr.String())
	return host
}

// TestBehindTCPProxy puts HAProxy, nginx and Traefik in front, which route by name and pass TLS
// on, set up by the text of docs/front.md: people are who they are in HTTP, at the
// hub and in STUN, whoever lies is closed, and the other server has its own.
func TestBehindTCPProxy(t *testing.T) {
	t.Parallel()
	for name, proxy := range tcpFronts {
		t.Run(name, func(t *testing.T) {
			if proxy.long && os.Getenv("E2E_LONG") == "" {
				t.Skip("E2E_LONG=1 (make soak) runs this")
			}
			t.Parallel()
			s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}})
			port := proxy.begin(t, s, otherServer(t, s))
			for _, from := range []string{"127.0.0.9", "127.0.0.10"} {
				if got, err := get(t, s, from, "localhost", port, "/config"); err != nil || !strings.Contains(got, `"client":"`+from+`"`) {
					t.Errorf("/config says %s, %v", got, err)
				}
				if got := mapped(t, s, from, port); got != from {
					t.Errorf("STUN says that %s is %s", from, got)
				}
			}
			if got, err := get(t, s, "127.0.0.9", "www.example.org", port, "/"); err != nil || !strings.HasPrefix(got, "the other server") {
				t.Errorf("the other server's name leads to %q, %v", got, err)
			}
			f := front{server: s, good: port}
			if _, err := f.socket(t, "127.0.0.9", nil); err != nil {
				t.Errorf("the signaling socket: %v", err)
			}

			// What a client writes before its TLS comes after the proxy's own header.
			raw, err := as("127.0.0.9").Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprint(raw, "PROXY TCP4 8.8.8.8 127.0.0.1 5000 443\r\n")
			if err := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
				t.Error("a forged header is let through")
			}
			trust := []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}
			output, _ := runTurnhub(t, trust, "check", fmt.Sprintf("https://localhost:%d", port))
			wantLines(t, output, "ok a forged PROXY header not believed")
			output, status := runTurnhub(t, trust, "check", fmt.Sprintf("https://localhost:%d", s.port)) // as through a proxy that sends none
			if status != 1 {
				t.Errorf("a header that is believed from anybody: exit status %d", status)
			}
			wantLines(t, output, "FAIL a forged PROXY header the server believes that this machine is 192.0.2.254", "send-proxy-v2")
		})
	}
}
