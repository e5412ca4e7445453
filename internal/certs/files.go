package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is how often files are looked at. A change of either file is taken
// over within this time, or at once by Reload.
const lookEvery = 10 * time.Second

// files is a certificate from two PEM files.
type files struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              [2]version // of the files as of the last attempt; Serve's alone after openFiles
}

// version tells whether a file has changed: renamed over, or written.
type version struct {
	modified time.Time
	size     int64
	info     fs.FileInfo
}

func openFiles(cfg Config) (*files, error) {
	f := &files{certFile: cfg.TLS.CertFile, keyFile: cfg.TLS.KeyFile, log: cfg.Logger}
	f.seen = f.look()
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// loadPair reads a certificate that can be served now.
func loadPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w; check that tls.cert_file (%s) and tls.key_file (%s) hold PEM, belong together and can be read by this user", err, certFile, keyFile)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("load the certificate in %s: %w; write a valid one", certFile, err)
		}
	}
	if now := time.Now(); now.After(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate in %s has expired on %s; renew it", certFile, cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return &cert, nil
}

// CheckFiles reports whether two PEM files hold a certificate that can be served
// now, and returns it.
func CheckFiles(certFile, keyFile string) (*x509.Certificate, error) {
	cert, err := loadPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return cert.Leaf, nil
}

func (f *files) Reload() error {
	cert, err := loadPair(f.certFile, f.keyFile)
	if err != nil {
		return err
	}
	old := f.current.Swap(cert)
	if old != nil && !old.Leaf.Equal(cert.Leaf) {
		f.log.Info("certificate replaced", "file", f.certFile, "expires", cert.Leaf.NotAfter.UTC())
	}
	return nil
}

func (f *files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.current.Load(), nil
}

func (f *files) NotAfter() time.Time { return f.current.Load().Leaf.NotAfter }

func (f *files) Serve(ctx context.Context) { f.watch(ctx, lookEvery) }

func (f *files) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.check()
		}
	}
}

// check reloads when a file has changed. A certificate whose key is still on its
// way fails, keeps the old pair, and is tried again when the key arrives.
func (f *files) check() {
	now := f.look()
	if now[0].same(f.seen[0]) && now[1].same(f.seen[1]) {
		return
	}
	f.seen = now
	if err := f.Reload(); err != nil {
		f.log.Error("the changed certificate cannot be used; the old one stays", "error", err)
	}
}

func (f *files) look() (v [2]version) {
	for i, file := range []string{f.certFile, f.keyFile} {
		if info, err := os.Stat(file); err == nil {
			v[i] = version{info.ModTime(), info.Size(), info}
		}
	}
	return v
}

func (v version) same(w version) bool {
	if v.info == nil || w.info == nil {
		return v.info == w.info
	}
	return v.modified.Equal(w.modified) && v.size == w.size && os.SameFile(v.info, w.info)
}
