package certs

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"

	"turnhub/internal/statefile"
)

// storage is the ACME cache directory. What certmagic has begun goes on after its cache has
// stopped: once this is closed only that is written for which there is a lock already.
type storage struct {
	*certmagic.FileStorage

	mu   sync.RWMutex // read: a lock is being made
	over bool
}

var errStorageOver = errors.New("the ACME cache directory is closed: the server ends")

// TryLock implements certmagic.TryLocker. It waits for seconds at most.
func (s *storage) TryLock(ctx context.Context, name string) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.over {
		return false, errStorageOver
	}
	return s.FileStorage.TryLock(ctx, name)
}

// Lock implements certmagic.Locker.
func (s *storage) Lock(ctx context.Context, name string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := s.TryLock(ctx, name); ok || err != nil {
			return err
		}
	}
}

// close ends it: nothing new is begun.
func (s *storage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// maxStored bounds how many files of the cache directory are looked at.
const maxStored = 10_000

// mendStorage puts aside what cannot be read in the ACME cache directory, so that it is
// asked for anew: a file that was written half when the power failed would else be an
// error at every start. A certificate goes with its key, an account with its own.
// Nothing is deleted. The error is about files that this user may not read.
func mendStorage(dir string, log *slog.Logger) error {
	seen := 0
	damaged := make(map[string]string) // what is wrong, by the path without its ending
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("tls.acme.cache_dir: %w; give it back to this user, as by chown", err)
		}
		if entry.IsDir() && entry.Name() == "locks" {
			return fs.SkipDir
		}
		if seen++; seen > maxStored {
			return fs.SkipAll
		}
		var wrong func(text []byte) string
		switch filepath.Ext(path) {
		case ".crt":
			wrong = wrongCertificate
		case ".key":
			wrong = wrongKey
		case ".json":
			wrong = wrongJSON
		}
		if entry.IsDir() || wrong == nil {
			return nil
		}
		text, err := statefile.Read(path)
		if err != nil {
			return fmt.Errorf("tls.acme.cache_dir: %w", err)
		}
		if problem := wrong(text); problem != "" {
			damaged[strings.TrimSuffix(path, filepath.Ext(path))] = filepath.Base(path) + " " + problem
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, base := range slices.Sorted(maps.Keys(damaged)) {
		for _, ext := range []string{".crt", ".key", ".json"} {
			if err := putAside(base + ext); err != nil {
				return fmt.Errorf("tls.acme.cache_dir: %s: %w; move it away", damaged[base], err)
			}
		}
		log.Warn("a file of the ACME cache cannot be used; it and what belongs to it are put aside, and asked for anew",
			"problem", damaged[base], "kept", base+".*.damaged")
	}
	return nil
}

// putAside renames a file, to a name that nobody has yet.
func putAside(path string) error {
	for n := range 100 {
		aside := fmt.Sprintf("%s.%d.damaged", path, n)
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(path, aside); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
	}
	return errors.New("a hundred damaged ones are beside it")
}

func wrongCertificate(text []byte) string {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return "holds no certificate"
	}
	for rest := text; len(strings.TrimSpace(string(rest))) > 0; {
		if block, rest = pem.Decode(rest); block == nil {
			return "is cut short"
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "holds a certificate that cannot be read: " + err.Error()
		}
	}
	return ""
}

func wrongKey(text []byte) string {
	if _, err := certmagic.PEMDecodePrivateKey(text); err != nil {
		return "holds no private key"
	}
	return ""
}

func wrongJSON(text []byte) string {
	if !json.Valid(text) {
		return "is not JSON"
	}
	return ""
}
