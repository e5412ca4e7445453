package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turnhub/internal/config"
	"turnhub/internal/statefile"
)

func open(t *testing.T, dir string, names ...string) *selfSigned {
	t.Helper()
	s, err := Open(Config{TLS: config.TLS{Mode: config.TLSSelfSigned}, StateDir: dir, Names: names, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*selfSigned)
}

// verify does a handshake with a client that trusts ca.pem alone.
func verify(t *testing.T, s Source, caFile, name string) error {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in ca.pem")
	}
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		server := tls.Server(far, ServerTLS(s))
		server.Handshake()
		io.Copy(io.Discard, server)
	}()
	return tls.Client(near, &tls.Config{RootCAs: roots, ServerName: name}).Handshake()
}

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "tls", "ca.pem")
	s := open(t, dir, "turn.example.org", "203.0.113.7", "2001:db8::7")
	for _, name := range []string{"turn.example.org", "203.0.113.7", "2001:db8::7", "localhost", "127.0.0.1", "::1"} {
		if err := verify(t, s, ca, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify(t, s, ca, "other.example.org") == nil {
		t.Error("a foreign name is vouched for")
	}
	for name, mode := range map[string]os.FileMode{"key.pem": 0o600, "ca-key.pem": 0o600, "ca.pem": 0o644, "cert.pem": 0o644} {
		if info, err := os.Stat(s.path(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}

	authority, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, "turn.example.org", "203.0.113.7", "2001:db8::7")
	if !again.current.Load().Leaf.Equal(s.current.Load().Leaf) {
		t.Error("a restart made another certificate")
	}

	old := again.current.Load().Leaf
	again.now = func() time.Time { return time.Now().Add(300 * 24 * time.Hour) }
	if err := again.Reload(); err != nil {
		t.Fatal(err)
	}
	if !again.NotAfter().After(old.NotAfter) {
		t.Error("it was not renewed in time")
	}
	if now, _ := os.ReadFile(ca); !bytes.Equal(now, authority) {
		t.Error("the renewal changed the authority, which clients trust")
	}

	moved := open(t, dir, "turn.example.net")
	if err := verify(t, moved, ca, "turn.example.net"); err != nil {
		t.Error("after a new name:", err)
	}
}

// TestSelfSignedUnderAClockThatIsSet: a certificate that was made while the clock was
// years ahead, or behind, is replaced when the clock has been set right.
func TestSelfSignedUnderAClockThatIsSet(t *testing.T) {
	for _, by := range []time.Duration{10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
		s := open(t, t.TempDir(), "turn.example.org")
		s.now = func() time.Time { return time.Now().Add(by) }
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
		if leaf := s.current.Load().Leaf; leaf.NotBefore.After(s.now()) || leaf.NotAfter.Before(s.now()) {
			t.Fatalf("set by %v: valid from %v to %v", by, leaf.NotBefore, leaf.NotAfter)
		}
		s.now = time.Now
		if s.good(s.current.Load().Leaf, leafLife) {
			t.Errorf("set by %v and back: the certificate stays", by)
		}
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := verify(t, s, s.path("ca.pem"), "turn.example.org"); err != nil {
			t.Errorf("set by %v and back: %v", by, err)
		}
	}
}

// TestAuthorityVouchesForNothingElse signs a foreign name with the authority's
// key and expects clients to refuse it.
func TestAuthorityVouchesForNothingElse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "turn.example.org")
	authority, err := loadPair(s.path("ca.pem"), s.path("ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	template := s.template("bank", leafLife)
	template.DNSNames = []string{"bank.example"}
	forged, err := s.sign(template, authority, "forged.pem", "forged-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	s.current.Store(forged)
	if err := verify(t, s, s.path("ca.pem"), "bank.example"); err == nil || !strings.Contains(err.Error(), "not authorized") {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	var logged bytes.Buffer
	one, two := open(t, t.TempDir(), "one.example"), open(t, t.TempDir(), "two.example")
	dir := t.TempDir()
	cfg := Config{TLS: config.TLS{Mode: config.TLSFiles, CertFile: filepath.Join(dir, "c"), KeyFile: filepath.Join(dir, "k")}, Logger: slog.New(slog.NewTextHandler(&logged, nil))}
	put := func(file, from string) {
		t.Helper()
		contents := []byte("nonsense")
		if from != "" {
			var err error
			if contents, err = os.ReadFile(from); err != nil {
				t.Fatal(err)
			}
		}
		if err := statefile.Write(file, contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "; check that") {
		t.Error("missing files:", err)
	}
	put(cfg.TLS.CertFile, one.path("cert.pem"))
	put(cfg.TLS.KeyFile, one.path("key.pem"))
	src, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := src.(*files)
	if err := verify(t, f, one.path("ca.pem"), "one.example"); err != nil {
		t.Error(err)
	}

	put(cfg.TLS.CertFile, two.path("cert.pem")) // the key is still to come
	f.check()
	if err := verify(t, f, one.path("ca.pem"), "one.example"); err != nil {
		t.Error("half a change:", err)
	}
	if !strings.Contains(logged.String(), "the old one stays") {
		t.Error(logged.String())
	}
	put(cfg.TLS.KeyFile, two.path("key.pem"))
	f.check()
	if err := verify(t, f, two.path("ca.pem"), "two.example"); err != nil {
		t.Error("after the change:", err)
	}
	put(cfg.TLS.CertFile, "")
	f.check()
	if err := verify(t, f, two.path("ca.pem"), "two.example"); err != nil {
		t.Error("after nonsense:", err)
	}
}
