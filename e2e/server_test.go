// Package e2e drives the real turnhub binary with TURN clients that its authors did not write.
package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"turnhub/internal/freeport"
)

const secret = "an-end-to-end-secret"

// binary is the turnhub that the tests start.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		binary = os.Getenv("E2E_TURNHUB")
		if binary == "" {
			dir, err := os.MkdirTemp("", "turnhub-e2e-")
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer os.RemoveAll(dir)
			binary = filepath.Join(dir, "turnhub")
			build := exec.Command("go", "build", "-o", binary, "turnhub/cmd/turnhub")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if output, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build turnhub: %v\n%s", err, output)
				return 1
			}
		}
		return m.Run()
	}())
}

// server is one running turnhub on loopback.
type server struct {
	port    int    // STUN, TURN, HTTP and TLS, on TCP and UDP
	admin   string // base URL of the admin listener
	caFile  string // certificate authority of its TLS certificate
	roots   *x509.CertPool
	process *os.Process
	log     *lockedBuffer
	file    string     // config.yaml
	environ []string   // on top of the test's own
	ended   chan error // what the process has ended with
}

// start runs turnhub on a port of its own with the given members of config.yaml on top, and waits until it is
// ready. The test's end stops it, and fails the test when it does not end in order.
func start(t *testing.T, config map[string]map[string]any, alone ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{port: freePort(t), log: &lockedBuffer{}}
	adminPort := freePort(t)
	s.admin = fmt.Sprintf("http://127.0.0.1:%d", adminPort)
	s.caFile = s.certificate(t, dir)
	address := fmt.Sprintf(":%d", s.port)
	settings := map[string]any{
		"public_host": "localhost",
		"state_dir":   filepath.Join(dir, "state"),
		"listen":      map[string]any{"tcp": []string{address}, "udp": []string{address}, "admin": fmt.Sprintf("127.0.0.1:%d", adminPort)},
		"tls":         map[string]any{"mode": "files", "cert_file": filepath.Join(dir, "cert.pem"), "key_file": filepath.Join(dir, "key.pem")},
		"relay":       map[string]any{"external_ip": []string{"127.0.0.1", "::1"}},
		"credentials": map[string]any{"secrets": []string{secret}},
	}
	for i := 0; i+1 < len(alone); i += 2 { // options of no section
		settings[alone[i]] = alone[i+1]
	}
	for section, members := range config {
		group, _ := settings[section].(map[string]any)
		if group == nil {
			group = map[string]any{}
			settings[section] = group
		}
		for key, value := range members {
			group[key] = value
		}
	}
	text, err := json.Marshal(settings) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("$PORT"), fmt.Append(nil, s.port))
	s.file = filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(s.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t)
	t.Cleanup(func() { s.end(t) })
	return s
}

// run starts turnhub, again where it has ended, and waits until it is ready.
func (s *server) run(t *testing.T) {
	t.Helper()
	command := exec.Command(binary, "serve", "--config", s.file)
	command.Dir = filepath.Dir(s.file)
	command.Env = append(os.Environ(), s.environ...)
	command.Stdout, command.Stderr = s.log, s.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = command.Process
	ended := make(chan error, 1)
	s.ended = ended
	go func() { ended <- command.Wait() }()
	s.untilReady(t, ended)
}

// end ends turnhub in order, unless it has ended so already.
func (s *server) end(t *testing.T) {
	t.Helper()
	_ = s.process.Signal(syscall.SIGTERM)
	s.await(t)
}

// kill ends turnhub as SIGKILL does.
func (s *server) kill(t *testing.T) {
	t.Helper()
	_ = s.process.Kill()
	<-s.ended
	s.ended <- nil
}

// await waits for the end of the process.
func (s *server) await(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- nil // for whoever asks again
		if err != nil {
			t.Errorf("turnhub ended with %v:\n%s", err, s.log)
		}
	case <-time.After(20 * time.Second):
		_ = s.process.Kill()
		t.Errorf("turnhub did not end on SIGTERM:\n%s", s.log)
	}
}

func (s *server) untilReady(t *testing.T, ended chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	last := "no answer"
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
			last = response.Status + " " + string(body)
		}
		select {
		case <-poll.C:
		case err := <-ended:
			ended <- nil
			t.Fatalf("turnhub ended before it was ready: %v\n%s", err, s.log)
		case <-ctx.Done():
			t.Fatalf("turnhub did not become ready: %s\n%s", last, s.log)
		}
	}
}

func freePort(t *testing.T) int { return freeport.Any(t) }

// certificate writes cert.pem, key.pem and ca.pem for localhost, and for more addresses, into dir and returns the last one's path.
func (s *server) certificate(t *testing.T, dir string, more ...string) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "turnhub test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, address := range more {
		leaf.IPAddresses = append(leaf.IPAddresses, net.ParseIP(address))
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	write("cert.pem", "CERTIFICATE", der)
	write("key.pem", "PRIVATE KEY", keyDER)
	s.roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(authorityDER)
	must(err)
	s.roots.AddCert(parsed)
	return write("ca.pem", "CERTIFICATE", authorityDER)
}

// lockedBuffer collects the output of a process while a test may read it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
