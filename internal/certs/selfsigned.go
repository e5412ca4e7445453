package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"turnhub/internal/statefile"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife is below the 398 and 825 days that browsers accept.
	leafLife = 397 * 24 * time.Hour
)

// selfSigned is a certificate of an authority of this server's own. Who wants
// to trust the server adds ca.pem to the system once; certificates come and go.
// The authority can only vouch for the server's own names (name constraints,
// RFC 5280 section 4.2.1.10), so trusting it risks nothing else.
//
//	<state_dir>/tls/ca.pem      the authority, for clients to trust
//	<state_dir>/tls/ca-key.pem  its key, mode 0600
//	<state_dir>/tls/cert.pem    the certificate and the authority
//	<state_dir>/tls/key.pem     its key, mode 0600
type selfSigned struct {
	dir     string
	names   []string
	log     *slog.Logger
	now     func() time.Time
	current atomic.Pointer[tls.Certificate]
}

func openSelfSigned(cfg Config) (*selfSigned, error) {
	s := &selfSigned{dir: filepath.Join(cfg.StateDir, "tls"), names: certificateNames(cfg.Names), log: cfg.Logger, now: time.Now}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// certificateNames returns the names with those under which the own machine
// reaches itself.
func certificateNames(names []string) []string {
	var all []string
	for _, n := range append(slices.Clone(names), "localhost", "127.0.0.1", "::1") {
		if ip := net.ParseIP(n); ip != nil {
			n = ip.String()
		}
		if n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

func (s *selfSigned) path(name string) string { return filepath.Join(s.dir, name) }

func (s *selfSigned) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current.Load(), nil
}

func (s *selfSigned) NotAfter() time.Time { return s.current.Load().Leaf.NotAfter }

func (s *selfSigned) Serve(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.good(s.current.Load().Leaf, leafLife) {
				continue // else its time is over, or the machine's clock has been set
			}
			if err := s.Reload(); err != nil {
				s.log.Error("the certificate cannot be renewed; the old one stays", "error", err)
			}
		}
	}
}

// Reload takes the certificate on disk, or makes a new one when there is none,
// when two thirds of its life are over, or when it lacks a name.
func (s *selfSigned) Reload() error {
	cert, err := s.load("cert.pem", "key.pem")
	if errors.As(err, new(damagedPair)) {
		s.log.Warn("the certificate on disk is damaged: another is made, by the same authority", "error", err)
		err = nil
	}
	if err != nil {
		return fmt.Errorf("the self-signed certificate: %w", err)
	}
	if cert == nil || !s.good(cert.Leaf, leafLife) {
		if cert, err = s.issue(); err != nil {
			return fmt.Errorf("make a self-signed certificate: %w", err)
		}
	}
	s.current.Store(cert)
	return nil
}

// damagedPair is that what the files of a certificate and its key hold cannot be used.
type damagedPair struct{ error }

// load returns the certificate in two files; nil: it has not been made yet, or not
// to its end, since the key is written first, or it has expired. An error that is no
// damagedPair means that a file could not be read.
func (s *selfSigned) load(certName, keyName string) (*tls.Certificate, error) {
	chain, err := statefile.Read(s.path(certName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := statefile.Read(s.path(keyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damagedPair{fmt.Errorf("%s has no %s", s.path(certName), s.path(keyName))}
	}
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(chain, key)
	if rest := chain; err == nil {
		for block, left := pem.Decode(rest); block != nil; block, left = pem.Decode(rest) {
			rest = left
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			err = errors.New("it was cut")
		}
	}
	if err != nil {
		return nil, damagedPair{fmt.Errorf("%s and %s: %w", s.path(certName), s.path(keyName), err)}
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, damagedPair{fmt.Errorf("%s: %w", s.path(certName), err)}
		}
	}
	if s.now().After(cert.Leaf.NotAfter) {
		return nil, nil
	}
	return &cert, nil
}

// good reports whether a certificate vouches for all names, is valid already and has a
// third of its life before it. One that was made while the machine's clock was ahead is
// not valid yet when the clock has been set right, and would not be for as long.
func (s *selfSigned) good(leaf *x509.Certificate, life time.Duration) bool {
	for _, n := range s.names {
		if leaf.VerifyHostname(n) != nil {
			return false
		}
	}
	return !s.now().Before(leaf.NotBefore) && leaf.NotAfter.Sub(s.now()) > life/3
}

// issue makes a certificate, and an authority where there is none that may sign
// for these names.
func (s *selfSigned) issue() (*tls.Certificate, error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, unwritten(err)
	}
	authority, err := s.load("ca.pem", "ca-key.pem")
	if err != nil {
		return nil, fmt.Errorf("the authority that clients trust cannot be used, and is not replaced: %w; restore %s and %s from a backup, or move both away to have a new authority made, which clients must trust anew",
			err, s.path("ca.pem"), s.path("ca-key.pem"))
	}
	if authority == nil || !s.mayVouch(authority.Leaf) {
		if authority, err = s.issueAuthority(); err != nil {
			return nil, err
		}
	}
	template := s.template("turnhub", leafLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range s.names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	cert, err := s.sign(template, authority, "cert.pem", "key.pem")
	if err == nil {
		s.log.Info("certificate made; clients trust it once they trust the authority", "authority", s.path("ca.pem"), "names", s.names, "expires", template.NotAfter)
	}
	return cert, err
}

// mayVouch reports whether the authority's constraints cover the names and it
// outlives what it signs.
func (s *selfSigned) mayVouch(authority *x509.Certificate) bool {
	if now := s.now(); now.Before(authority.NotBefore) || authority.NotAfter.Before(now.Add(leafLife)) {
		return false
	}
	return !slices.ContainsFunc(s.names, func(n string) bool {
		if ip := net.ParseIP(n); ip != nil {
			return !slices.ContainsFunc(authority.PermittedIPRanges, func(p *net.IPNet) bool { return p.Contains(ip) })
		}
		return !slices.Contains(authority.PermittedDNSDomains, n)
	})
}

func (s *selfSigned) issueAuthority() (*tls.Certificate, error) {
	template := s.template("turnhub authority of "+s.names[0], authorityLife)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	template.PermittedDNSDomainsCritical = true
	for _, n := range s.names {
		if ip := net.ParseIP(n); ip != nil {
			if v4 := ip.To4(); v4 != nil {
				ip = v4
			}
			all := net.CIDRMask(8*len(ip), 8*len(ip))
			template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: all})
		} else {
			template.PermittedDNSDomains = append(template.PermittedDNSDomains, n)
		}
	}
	return s.sign(template, nil, "ca.pem", "ca-key.pem")
}

func (s *selfSigned) template(name string, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // rand.Reader never fails
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    s.now().Add(-time.Hour).UTC(), // clients whose clock is behind
		NotAfter:     s.now().Add(life).UTC(),
	}
}

// sign makes a key and a certificate and writes both, signed by itself when
// there is no authority.
func (s *selfSigned) sign(template *x509.Certificate, authority *tls.Certificate, certName, keyName string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := template, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	if authority != nil {
		cert.Certificate = append(cert.Certificate, authority.Certificate[0])
	}
	var chain []byte
	for _, c := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	if _, err := os.Lstat(s.path(certName)); errors.Is(err, fs.ErrNotExist) {
		// A key alone is of a certificate that was lost, or never written. It stays.
		if err := os.Rename(s.path(keyName), s.path(keyName)+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, unwritten(err)
		}
	}
	if err := statefile.Write(s.path(keyName), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return nil, unwritten(err)
	}
	if err := statefile.Write(s.path(certName), chain, 0o644); err != nil {
		return nil, unwritten(err)
	}
	return cert, nil
}

func unwritten(err error) error {
	return fmt.Errorf("%w; set state_dir to a directory with room that this user may write to", err)
}
