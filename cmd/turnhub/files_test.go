package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a certificate for name and its key.
func writePair(t *testing.T, cert, key, name string, until time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilesAreRead: `turnhub config` and `turnhub serve` read what the
// configuration names, and say which option names what cannot be used.
func TestFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	writePair(t, in("cert.pem"), in("key.pem"), "calls.example.org", time.Now().Add(24*time.Hour))
	writePair(t, in("other.pem"), in("other-key.pem"), "calls.example.org", time.Now().Add(24*time.Hour))
	writePair(t, in("old.pem"), in("old-key.pem"), "calls.example.org", time.Now().Add(-time.Hour))
	for name, text := range map[string]string{"short": "abc\n", "none": "# nothing\n", "good": "a-good-secret\n", "text": "no PEM\n", "jwks": "{}", "long": strings.Repeat("s", 40)} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tls := func(cert, key string) string {
		return fmt.Sprintf("tls: {mode: files, cert_file: %s, key_file: %s}", in(cert), in(key))
	}
	for _, tc := range []struct {
		yaml, want string // empty: it is all right
	}{
		{tls("cert.pem", "key.pem"), ""},
		{tls("nope.pem", "key.pem"), "config.yaml:1: tls.cert_file: open " + in("nope.pem") + ": no such file or directory; write"},
		{tls("cert.pem", "nope.pem"), "config.yaml:1: tls.key_file: open " + in("nope.pem")},
		{tls("cert.pem", ""), "tls.key_file: read " + dir + ": is a directory"},
		{tls("cert.pem", "other-key.pem"), "private key does not match"},
		{tls("text", "key.pem"), "config.yaml:1: tls.cert_file: load the certificate: tls: failed to find any PEM data"},
		{tls("old.pem", "old-key.pem"), "has expired"},
		{"tls: {mode: files, cert_file: /nope/a, key_file: /nope/b}\ncredentials: {secrets_file: /nope/c}", "config.yaml:2: credentials.secrets_file: "},
		{"public_host: elsewhere.example.org\n" + tls("cert.pem", "key.pem"), "warning: "},
		{"credentials: {secrets_file: " + in("good") + "}", ""},
		{"credentials: {secrets_file: " + in("short") + "}", "short:1: the secret is shorter"},
		{"credentials: {secrets_file: " + in("none") + "}", "holds no secret"},
		{"access: {mode: token, token_secret_file: " + in("long") + "}", ""},
		{"access: {mode: token, token_secret_file: " + in("short") + "}", "access.token_secret_file: "},
		{"access: {mode: token, token_secret_file: /nope}", "access.token_secret_file: "},
		{"access: {mode: token, token_jwks_file: " + in("jwks") + "}", "access.token_jwks_file: "},
		{"access: {mode: token, token_jwks_file: /nope}", "access.token_jwks_file: "},
		{"public_host: calls.example.org\nlisten: {tcp: [\":443\"]}\ntls: {mode: acme, acme: {ca_file: /nope}}", "tls.acme.ca_file: open /nope"},
		{"public_host: calls.example.org\nlisten: {tcp: [\":443\"]}\ntls: {mode: acme, acme: {ca_file: " + in("text") + "}}", "tls.acme.ca_file: no certificate is in"},
		{"public_host: calls.example.org\nlisten: {tcp: [\":443\"]}\ntls: {mode: acme, acme: {cache_dir: " + in("text") + "}}", "tls.acme.cache_dir: " + in("text") + " is a file"},
		{"state_dir: " + in("text"), "state_dir: " + in("text") + " is a file"},
	} {
		file := in("config.yaml")
		if err := os.WriteFile(file, []byte(tc.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		status, out, errs := try([]string{"STATE_DIRECTORY=" + in("state")}, "config", "--config", file)
		warned := strings.HasPrefix(tc.want, "warning: ")
		if tc.want == "" && errs != "" || !strings.Contains(errs, tc.want) || (status == 0) != (tc.want == "" || warned) || (out != "") != (status == 0) {
			t.Errorf("%s: status %d\n%s%s\nwant %q", tc.yaml, status, out, errs, tc.want)
		}
		if tc.want == "" || warned {
			continue
		}
		if status, _, errs := try([]string{"STATE_DIRECTORY=" + in("state")}, "serve", "--config", file); status != 1 || !strings.Contains(errs, tc.want) {
			t.Errorf("serve with %s: status %d\n%s", tc.yaml, status, errs)
		}
	}
}
