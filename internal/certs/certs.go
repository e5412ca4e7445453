// Package certs provides the server's certificate: from files, or signed by an
// authority of this server's own, or obtained by ACME.
package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
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
	Names []string
	// Listen holds the TCP listen addresses; ACME challenges arrive there.
	Listen []string
	// Changed is called when ACME has brought another certificate; may be nil.
	Changed func()
	Logger  *slog.Logger
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
	case config.TLSACME:
		return openACME(cfg, acmeTuning{})
	}
	return nil, fmt.Errorf("there is no tls.mode %s; write off, self-signed, files or acme", cfg.TLS.Mode)
}

// ServerTLS returns the server side's TLS configuration over a source: TLS 1.2
// and 1.3 with Go's choice of suites.
func ServerTLS(source Source) *tls.Config {
	cfg := &tls.Config{GetCertificate: source.GetCertificate, MinVersion: tls.VersionTLS12}
	if _, ok := source.(*acme); ok {
		cfg.NextProtos = append([]string{}, alpnWithChallenge...)
	}
	return cfg
}

// HTTPChallenges answers the ACME server's HTTP-01 requests where the source is
// ACME, and leaves all others to next.
func HTTPChallenges(source Source, next http.Handler) http.Handler {
	if a, ok := source.(*acme); ok {
		return a.HTTPChallenges(next)
	}
	return next
}
