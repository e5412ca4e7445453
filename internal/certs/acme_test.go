package certs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	protocol "github.com/mholt/acmez/v3/acme"

	"turnhub/internal/config"
	"turnhub/internal/portmux"
)

// syncBuffer is a log that a test reads while it is written.
type syncBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

// universal is a universal port whose certificate comes from ACME.
type universal struct {
	*acme
	address string
	mux     *portmux.Mux
	log     *syncBuffer
	stop    func()
}

// listenUniversal finds a port before anybody knows who sends challenges there.
func listenUniversal(t *testing.T) (net.Listener, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener, listener.Addr().(*net.TCPAddr).Port
}

// serveUniversal runs the port. A TURN stream is answered by an echo.
func serveUniversal(t *testing.T, listener net.Listener, server *pebble, dir string, tuning acmeTuning, adjust func(*certmagic.ACMEIssuer), names ...string) *universal {
	t.Helper()
	u := &universal{address: listener.Addr().String(), log: new(syncBuffer)}
	var err error
	u.acme, err = openACME(Config{
		TLS:    config.TLS{Mode: config.TLSACME, ACME: config.ACME{Directory: server.directory, CAFile: server.caFile, Email: "admin@example.org", CacheDir: dir}},
		Names:  names,
		Listen: []string{u.address},
		Logger: slog.New(slog.NewTextHandler(u.log, nil)),
	}, tuning)
	if err != nil {
		t.Fatal(err)
	}
	if adjust != nil {
		for _, magic := range []*certmagic.Config{u.names, u.addresses} {
			adjust(magic.Issuers[0].(*certmagic.ACMEIssuer))
		}
	}
	mux := portmux.New(portmux.Config{
		HTTP: HTTPChallenges(u.acme, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ours") })),
		STUN: func(conn *portmux.Conn, _ bool) {
			defer conn.Close()
			io.Copy(conn, conn)
		},
		TLS: ServerTLS(u.acme),
	})
	u.mux = mux
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { mux.Serve(ctx, listener) })
	group.Go(func() { u.Serve(ctx) })
	u.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(func() {
		u.stop()
		waitFor(t, "what certmagic has begun to end", func() bool {
			locks, _ := os.ReadDir(filepath.Join(dir, "locks"))
			return len(locks) == 0
		})
		if t.Failed() {
			t.Logf("the log:\n%s", u.log)
		}
	})
	return u
}

// dial makes a TLS connection that verifies the certificate as a browser does.
func (u *universal) dial(roots *x509.CertPool, name string) (*tls.Conn, error) {
	return tls.Dial("tcp", u.address, &tls.Config{RootCAs: roots, ServerName: name})
}

// Each challenge by itself, for a name and for an address.
func TestACMEObtains(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: ACME needs Pebble, which -short leaves out")
	}
	for _, test := range []struct {
		challenge, name string
		adjust          func(*certmagic.ACMEIssuer)
	}{
		{"TLS-ALPN-01", "turn.example.org", func(i *certmagic.ACMEIssuer) { i.DisableHTTPChallenge = true }},
		{"HTTP-01", "turn.example.org", func(i *certmagic.ACMEIssuer) { i.DisableTLSALPNChallenge = true }},
		{"TLS-ALPN-01", "127.0.0.1", func(i *certmagic.ACMEIssuer) { i.DisableHTTPChallenge = true }},
		{"HTTP-01", "127.0.0.1", func(i *certmagic.ACMEIssuer) { i.DisableTLSALPNChallenge = true }},
	} {
		t.Run(test.challenge+" "+test.name, func(t *testing.T) {
			listener, port := listenUniversal(t)
			server := startPebble(t, port, time.Hour)
			dir := t.TempDir()
			u := serveUniversal(t, listener, server, dir, acmeTuning{}, test.adjust, test.name)
			waitFor(t, "a certificate", func() bool { return !u.NotAfter().IsZero() })
			conn, err := u.dial(server.roots(t), test.name)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()

			// The port is still everything else that it was.
			response, err := http.Get("http://" + u.address + "/")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if string(body) != "ours" {
				t.Errorf("HTTP answers %q", body)
			}
			waitFor(t, "the log line", func() bool { return strings.Contains(u.log.String(), "certificate obtained") })

			// A restart needs no ACME server.
			u.stop()
			server.broken.Store(true)
			again, err := net.Listen("tcp", u.address)
			if err != nil {
				t.Fatal(err)
			}
			serial := u.newest(test.name).Leaf.SerialNumber
			u = serveUniversal(t, again, server, dir, acmeTuning{}, nil, test.name)
			waitFor(t, "the certificate from disk", func() bool { return !u.NotAfter().IsZero() })
			if u.newest(test.name).Leaf.SerialNumber.Cmp(serial) != 0 {
				t.Error("another certificate after the restart")
			}
		})
	}
}

// A connection that is open while its certificate is renewed goes on; new ones get
// the new certificate. Then the ACME server answers errors: the old one stays, and
// the log says until when.
func TestACMERenews(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: ACME needs Pebble, which -short leaves out")
	}
	const name = "turn.example.org"
	listener, port := listenUniversal(t)
	server := startPebble(t, port, time.Hour)
	// Certificates are renewed as soon as a second or so of their hour has passed.
	tuning := acmeTuning{renewCheck: 100 * time.Millisecond, renewWindow: 0.9997}
	u := serveUniversal(t, listener, server, t.TempDir(), tuning, nil, name)
	waitFor(t, "a certificate", func() bool { return !u.NotAfter().IsZero() })
	roots := server.roots(t)

	old, err := u.dial(roots, name)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	// A STUN Binding request's header makes it a TURN stream.
	echo(t, old, "\x00\x01\x00\x00\x21\x12\xa4\x42123456789012")
	serial := old.ConnectionState().PeerCertificates[0].SerialNumber
	waitFor(t, "the renewed certificate", func() bool {
		conn, err := u.dial(roots, name)
		if err != nil {
			t.Fatalf("a handshake failed during the renewal: %v", err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(serial) != 0
	})
	echo(t, old, "still here")
	waitFor(t, "the log line", func() bool { return strings.Contains(u.log.String(), "certificate renewed") })

	server.broken.Store(true)
	waitFor(t, "the failure", func() bool { return strings.Contains(u.log.String(), "certificate renewal failed; the old one stays") })
	if log := u.log.String(); !strings.Contains(log, "expires=") || !strings.Contains(log, "remedy=") || !strings.Contains(log, "HTTP 503") || !strings.Contains(log, "in trouble") {
		t.Errorf("the log does not say what is wrong")
	}
	conn, err := u.dial(roots, name)
	if err != nil {
		t.Fatalf("the old certificate does not stay: %v", err)
	}
	conn.Close()
	echo(t, old, "and still here")

	// The errors have left nothing behind that would keep it from working again.
	server.broken.Store(false)
	if err := u.names.RenewCertSync(t.Context(), name, true); err != nil {
		t.Errorf("after the errors: %v", err)
	}
}

func echo(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(bufio.NewReaderSize(conn, 16), got); err != nil || string(got) != text {
		t.Fatalf("echo of %q: %q, %v", text, got, err)
	}
}

// Without a certificate the port serves all but TLS, and says why.
func TestACMEWithoutServer(t *testing.T) {
	listener, _ := listenUniversal(t)
	server := &pebble{directory: "https://" + freeAddress(t) + "/dir"}
	u := serveUniversal(t, listener, server, t.TempDir(), acmeTuning{}, nil, "turn.example.org")
	waitFor(t, "the failure", func() bool { return strings.Contains(u.log.String(), "no certificate yet") })
	if !strings.Contains(u.log.String(), "cannot be reached") {
		t.Error("the log has no remedy")
	}
	if conn, err := u.dial(nil, "turn.example.org"); err == nil {
		conn.Close()
		t.Error("TLS without certificate")
	}
	response, err := http.Get("http://" + u.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

func TestACMEConfig(t *testing.T) {
	open := func(acme config.ACME, names ...string) error {
		a, err := openACME(Config{TLS: config.TLS{Mode: config.TLSACME, ACME: acme}, StateDir: t.TempDir(), Names: names}, acmeTuning{})
		if err == nil {
			a.cache.Stop()
		}
		return err
	}
	if err := open(config.ACME{}); err == nil || !strings.Contains(err.Error(), "public_host") {
		t.Errorf("without a name: %v", err)
	}
	if err := open(config.ACME{CAFile: "/nonexistent/ca.pem"}, "h"); err == nil || !strings.Contains(err.Error(), "tls.acme.ca_file") {
		t.Errorf("without ca_file: %v", err)
	}
	if err := open(config.ACME{CAFile: "/dev/null"}, "h"); err == nil || !strings.Contains(err.Error(), "no certificate is in") {
		t.Errorf("with an empty ca_file: %v", err)
	}
	if err := open(config.ACME{CacheDir: "/dev/null/x"}, "h"); err == nil || !strings.Contains(err.Error(), "cache_dir") {
		t.Errorf("with an impossible cache_dir: %v", err)
	}
	if err := open(config.ACME{}, "turn.example.org", "10.0.0.1", "8.8.4.7"); err != nil {
		t.Error(err)
	}
}

func TestChallengePorts(t *testing.T) {
	for _, test := range []struct {
		listen    []string
		port      int
		http, tls bool
	}{
		{[]string{":8080", ":3478"}, 8080, true, true},
		{[]string{":80", ":443", ":3478"}, 443, true, true},
		{[]string{":3478", ":443"}, 443, false, true},
		{[]string{":80"}, 80, true, false},
		{nil, 0, true, true},
	} {
		var issuer certmagic.ACMEIssuer
		challengePorts(&issuer, test.listen)
		if issuer.AltTLSALPNPort != test.port || issuer.DisableHTTPChallenge == test.http || issuer.DisableTLSALPNChallenge == test.tls {
			t.Errorf("%v: port %d, HTTP off %v, TLS off %v", test.listen, issuer.AltTLSALPNPort, issuer.DisableHTTPChallenge, issuer.DisableTLSALPNChallenge)
		}
	}
}

func TestACMERemedies(t *testing.T) {
	for kind, want := range map[string]string{
		protocol.ProblemTypeDNS: "public_host", protocol.ProblemTypeConnection: "listen.tcp", protocol.ProblemTypeUnauthorized: "another server",
		protocol.ProblemTypeCAA: "CAA", protocol.ProblemTypeRateLimited: "cache_dir", protocol.ProblemTypeRejectedIdentifier: "public DNS name",
		protocol.ProblemTypeInvalidContact: "email", protocol.ProblemTypeServerInternal: "in trouble",
	} {
		err := fmt.Errorf("obtain: %w", protocol.Problem{Type: kind, Detail: "d"})
		if got := remedy(err); !strings.Contains(got, want) {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if got := remedy(x509.UnknownAuthorityError{}); !strings.Contains(got, "ca_file") {
		t.Error(got)
	}
	if got := remedy(&net.DNSError{Err: "no such host"}); !strings.Contains(got, "outgoing HTTPS") {
		t.Error(got)
	}
	if got := remedy(errors.New("odd")); got == "" {
		t.Error("no remedy")
	}
	if !slices.Contains(alpnWithChallenge, "acme-tls/1") {
		t.Error("ALPN")
	}
}

// A lock is made as long as the server runs, and none after that.
func TestACMEStorageEnds(t *testing.T) {
	s := &storage{FileStorage: &certmagic.FileStorage{Path: t.TempDir()}}
	if err := s.Lock(t.Context(), "held"); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() { waiting <- s.Lock(t.Context(), "held") }()
	s.close()
	if err := <-waiting; !errors.Is(err, errStorageOver) {
		t.Errorf("who waits for a lock is told %v", err)
	}
	if _, err := s.TryLock(t.Context(), "new"); !errors.Is(err, errStorageOver) {
		t.Errorf("a new one: %v", err)
	}
	if err := s.Unlock(t.Context(), "held"); err != nil {
		t.Errorf("the one that is held cannot be given back: %v", err)
	}
}
