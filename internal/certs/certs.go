// Package certs provides the server's certificate: from files, or signed by an
// authority of this server's own.
package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"turnhub/internal/config"
)

// Source hands out a certificate and keeps it fresh.
type Source interface {
	// GetCertificate answers a ClientHello, as tls.Config wants it.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Serve renews the certificate, or reads it again when it changes on disk,
	// until ctx ends.
	Serve(ctx context.Context)
	// Reload looks at the files at once. On an error the old certificate stays.
	Reload() error
	// NotAfter is when the certificate in use expires.
	NotAfter() time.Time
}

// Config is what Open needs.
type Config struct {
	TLS      config.TLS
	StateDir string
	// Names are the DNS names and IP addresses under which clients come, the
	// most important first.
	Names  []string
	Logger *slog.Logger
}

// Open returns the source that tls.mode names, nil for off.
func Open(cfg Config) (Source, error) {
	switch cfg.TLS.Mode {
	case config.TLSOff:
		return nil, nil
	case config.TLSSelfSigned:
		return openSelfSigned(cfg)
	case config.TLSFiles:
		return openFiles(cfg)
	}
	return nil, fmt.Errorf("tls.mode %s is not built in; write off, self-signed or files", cfg.TLS.Mode)
}

// ServerTLS returns the server side's TLS configuration over a source: TLS 1.2
// and 1.3 with Go's choice of suites.
func ServerTLS(source Source) *tls.Config {
	return &tls.Config{GetCertificate: source.GetCertificate, MinVersion: tls.VersionTLS12}
}
