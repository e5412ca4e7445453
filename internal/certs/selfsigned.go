package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife is below the 398 and 825 days that browsers accept.
	leafLife = 397 * 24 * time.Hour
)

// selfSigned is a certificate of an authority of this server's own. Who wants
// to trust the server adds ca.pem to his system once; certificates come and go.
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
	cert, err := loadPair(s.path("cert.pem"), s.path("key.pem"))
	if err != nil || !s.good(cert.Leaf, leafLife) {
		if cert, err = s.issue(); err != nil {
			return fmt.Errorf("make a self-signed certificate: %w; set state_dir to a directory that this user may write to", err)
		}
	}
	s.current.Store(cert)
	return nil
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
		return nil, err
	}
	authority, err := loadPair(s.path("ca.pem"), s.path("ca-key.pem"))
	if err != nil || !s.mayVouch(authority.Leaf) {
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
	if err := writeFile(s.path(keyName), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return nil, err
	}
	return cert, writeFile(s.path(certName), chain, 0o644)
}

// writeFile puts contents at path whole or not at all.
func writeFile(path string, contents []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(contents)
	if err == nil {
		err = f.Chmod(mode)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
