package certs

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestACMEDamagedStorage cuts, empties and garbles each file that certmagic keeps: the
// server comes up with a certificate all the same, says what was wrong, and what was
// there is still there.
func TestACMEDamagedStorage(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: ACME needs Pebble, which -short leaves out")
	}
	const name = "turn.example.org"
	listener, port := listenUniversal(t)
	server := startPebble(t, port, time.Hour)
	dir := t.TempDir()
	u := serveUniversal(t, listener, server, dir, acmeTuning{}, nil, name)
	waitFor(t, "a certificate", func() bool { return !u.NotAfter().IsZero() })
	waitFor(t, "the log line", func() bool { return strings.Contains(u.log.String(), "certificate obtained") })
	u.stop()

	files := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(".crt.key.json", filepath.Ext(path)) {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = text
		return err
	})
	if err != nil || len(files) < 5 { // certificate, key, what it is; account, key
		t.Fatal(len(files), err)
	}
	damages := map[string]func([]byte) []byte{
		"half":  func(b []byte) []byte { return b[:len(b)/2] },
		"empty": func([]byte) []byte { return nil },
		"other": func([]byte) []byte { return []byte("\x00\x01\x02 no file of ours") },
	}
	kinds := []string{"half", "empty", "other"}
	i := 0
	for path, text := range files {
		kind := kinds[i%len(kinds)]
		i++
		t.Run(kind+" "+filepath.Base(path), func(t *testing.T) {
			damaged := damages[kind](text)
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := net.Listen("tcp", u.address)
			if err != nil {
				t.Fatal(err)
			}
			u := serveUniversal(t, again, server, dir, acmeTuning{}, nil, name)
			defer u.stop()
			waitFor(t, "a certificate", func() bool { return !u.NotAfter().IsZero() })
			if !strings.Contains(u.log.String(), filepath.Base(path)+" ") {
				t.Errorf("the log says nothing of it:\n%s", u.log)
			}
			kept, err := filepath.Glob(path + ".*.damaged")
			if !slices.ContainsFunc(kept, func(aside string) bool {
				b, err := os.ReadFile(aside)
				return err == nil && string(b) == string(damaged)
			}) {
				t.Errorf("what was there is gone: %v, %v", kept, err)
			}
			conn, err := u.dial(server.roots(t), name)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		})
	}
}
