package certs

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"turnhub/internal/config"
)

// TestDamagedFiles breaks each file of a self-signed certificate in every way that
// happens. The authority that clients trust is never replaced by a start; the
// certificate is, by the same authority, where it could be read.
func TestDamagedFiles(t *testing.T) {
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	half := func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, text[:len(text)/2], 0o600)
	}
	directory := func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o700)
	}
	for fault, damage := range map[string]func(string) error{
		"empty": write(""), "half": half, "zeros": write(strings.Repeat("\x00", 500)), "another's": write("{\"version\":2}\n"),
		"directory": directory, "lost": os.Remove,
	} {
		for _, name := range []string{"ca.pem", "ca-key.pem", "cert.pem", "key.pem"} {
			dir := t.TempDir()
			path := filepath.Join(dir, "tls", name)
			open(t, dir, "turn.example.org")
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "ca") { // it is read when a certificate is made
				if err := os.Remove(filepath.Join(dir, "tls", "cert.pem")); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, filepath.Join(dir, "tls"))
			var log strings.Builder
			_, err := Open(Config{TLS: config.TLS{Mode: config.TLSSelfSigned}, StateDir: dir, Names: []string{"turn.example.org"}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			renewable := !strings.HasPrefix(name, "ca") && fault != "directory" || name == "ca.pem" && fault == "lost"
			if renewable != (err == nil) || err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "; ")) {
				t.Errorf("%s %s: the start says %v", name, fault, err)
			}
			if err == nil && fault != "lost" && !strings.Contains(log.String(), path) {
				t.Errorf("%s %s: nothing says so: %s", name, fault, log.String())
			}
			after := contents(t, filepath.Join(dir, "tls"))
			for file, text := range before {
				if after[file] != text && (err != nil || strings.HasPrefix(file, "ca") && after[file+".old"] != text) {
					t.Errorf("%s %s: %s was written over", name, fault, file)
				}
			}
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			text = []byte(err.Error())
		}
		all[e.Name()] = string(text)
	}
	return all
}
