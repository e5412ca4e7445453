package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"turnhub/internal/access"
	"turnhub/internal/certs"
	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/web/admin"
)

// inspect reads every file that a configuration names, with the readers that the
// server has, and returns all that is wrong with them.
func inspect(cfg *config.Config) (warnings []config.Warning, err error) {
	var errs config.Errors
	fault := func(key string, err error) {
		if err != nil {
			errs = append(errs, cfg.Fault(key, err))
		}
	}
	switch cfg.TLS.Mode {
	case config.TLSFiles:
		unread := readable(cfg.TLS.CertFile)
		fault("tls.cert_file", unread)
		if err := readable(cfg.TLS.KeyFile); err != nil {
			fault("tls.key_file", err)
			unread = err
		}
		if unread != nil {
			break
		}
		leaf, err := certs.CheckFiles(cfg.TLS.CertFile, cfg.TLS.KeyFile)
		fault("tls.cert_file", err)
		if err == nil && cfg.PublicHost != "" && leaf.VerifyHostname(cfg.PublicHost) != nil {
			names := leaf.DNSNames
			for _, ip := range leaf.IPAddresses {
				names = append(names, ip.String())
			}
			warnings = append(warnings, config.Warning{
				Problem: cfg.Fault("tls.cert_file", fmt.Errorf("browsers refuse this certificate for public_host %s: it is for %v", cfg.PublicHost, names)).Error(),
				Remedy:  "write one of these names in public_host, or get a certificate for it",
			})
		}
	case config.TLSACME:
		if file := cfg.TLS.ACME.CAFile; file != "" {
			fault("tls.acme.ca_file", certs.CheckAuthority(file))
		}
		fault("tls.acme.cache_dir", directory(cfg.TLS.ACME.CacheDir))
	}
	fault("state_dir", directory(cfg.StateDir))
	if _, err := os.Stat(cfg.SecretsPath()); cfg.Credentials.SecretsFile != "" || err == nil {
		_, open, err := cfg.Secrets(false)
		fault("credentials.secrets_file", err)
		warnings = append(warnings, open...)
	}
	if cfg.Access.Mode == config.AccessToken {
		key := "access.token_secret_file"
		if cfg.Access.TokenJWKSFile != "" {
			key = "access.token_jwks_file"
		}
		_, err := access.NewVerifier(access.Config{SecretFile: cfg.Access.TokenSecretFile, JWKSFile: cfg.Access.TokenJWKSFile})
		fault(key, err)
	}
	if cfg.Listen.AdminTokenFile != "" {
		_, err := admin.ReadToken(cfg.Listen.AdminTokenFile)
		fault("listen.admin_token_file", err)
	}
	if _, err := eventsConfig(cfg, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		fault("events.webhooks", err)
	}
	for _, w := range cfg.Events.Webhooks {
		if _, err := os.Stat(w.SecretFile); w.SecretFile != "" && err != nil {
			fault("events.webhooks", err)
		}
	}
	if errs != nil {
		return warnings, errs
	}
	return warnings, nil
}

// readable reports why a file of PEM cannot be read.
func readable(path string) error {
	_, err := os.ReadFile(path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; make it readable for the user that the server runs as, or hand it over with systemd's LoadCredential", err)
	}
	return fmt.Errorf("%w; write the path of a PEM file", err)
}

// directory reports why a path cannot be the folder that the server keeps things
// in. One that does not exist yet is made at start.
func directory(path string) error {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is a file; write the path of a directory", path)
	}
	return nil
}

// doubtful returns what this machine says against relay.external_ip. It asks
// nobody else; another machine than the server's may have nothing to say about it.
func doubtful(ctx context.Context, cfg *config.Config) (warnings []config.Warning) {
	if len(cfg.Relay.ExternalIP) == 0 {
		return nil
	}
	if cfg.Relay.ExternalIP[0].External == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return nil // a trial on one machine
	}
	_, said, err := extaddr.Detect(ctx, extaddrOptions(cfg))
	if err != nil {
		problem, remedy, _ := strings.Cut(err.Error(), "; ")
		warnings = append(warnings, config.Warning{Problem: "on this machine " + problem, Remedy: "if it is the server, " + remedy})
	}
	for _, w := range said {
		warnings = append(warnings, config.Warning{Problem: w.Problem, Remedy: w.Remedy})
	}
	return warnings
}
