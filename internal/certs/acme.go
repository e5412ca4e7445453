package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"go.uber.org/zap"

	"turnhub/internal/portmux"
)

// shortlived is the ACME profile with which Let's Encrypt issues certificates for
// IP addresses.
const shortlived = "shortlived"

// settle is how long a certificate may take from the ACME server's answer to the
// first handshake that shows it.
const settle = 30 * time.Second

// acme obtains certificates by RFC 8555 and renews them at two thirds of their
// life, or when the server's renewal information (RFC 9773) says so. A renewal
// touches no open connection: certificates are looked up at each handshake.
//
// The challenges are answered by the universal ports themselves: TLS-ALPN-01 (RFC
// 8737) in GetCertificate, HTTP-01 (RFC 8555 section 8.3) in HTTPChallenges.
type acme struct {
	log       *slog.Logger
	directory string
	roots     *x509.CertPool // whom to trust as the ACME server; nil: the system
	primary   string         // public_host
	optional  []netip.Addr   // further addresses, where the ACME server offers such certificates
	changed   func()

	cache     *certmagic.Cache
	storage   *storage
	names     *certmagic.Config // for DNS names
	addresses *certmagic.Config // for IP addresses
	events    chan event
	shown     map[string]string // name → serial number last reported; Serve's alone
}

// alpnWithChallenge is what the universal ports speak in TLS, and the protocol of
// TLS-ALPN-01, whose handshake is all there is to it.
var alpnWithChallenge = append(portmux.ALPN(), acmez.ACMETLS1Protocol)

// event is what certmagic tells.
type event struct {
	kind string
	data map[string]any
}

// acmeTuning is for tests alone; the zero value is right.
type acmeTuning struct {
	renewCheck  time.Duration // how often certificates are looked at
	renewWindow float64       // the part of its life that is left when a certificate is renewed
}

func openACME(cfg Config, tuning acmeTuning) (*acme, error) {
	if len(cfg.Names) == 0 {
		return nil, errors.New("tls.mode acme needs public_host; write the DNS name that leads to this server")
	}
	a := &acme{
		log:       cfg.Logger,
		directory: cfg.TLS.ACME.Directory,
		primary:   cfg.Names[0],
		changed:   cfg.Changed,
		events:    make(chan event, 16),
		shown:     make(map[string]string),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.directory == "" {
		a.directory = certmagic.LetsEncryptProductionCA
	}
	for _, name := range cfg.Names[1:] {
		if addr, err := netip.ParseAddr(name); err == nil && addr.IsGlobalUnicast() && !addr.IsPrivate() {
			a.optional = append(a.optional, addr)
		}
	}
	if file := cfg.TLS.ACME.CAFile; file != "" {
		var err error
		if a.roots, err = authorities(file); err != nil {
			return nil, fmt.Errorf("tls.acme.ca_file: %w", err)
		}
	}
	dir := cfg.TLS.ACME.CacheDir
	if dir == "" {
		dir = filepath.Join(cfg.StateDir, "acme")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("tls.acme.cache_dir: %w; make it writable for this user: without it every start asks for a new certificate, and soon gets none", err)
	}
	if err := mendStorage(dir, a.log); err != nil {
		return nil, err
	}
	a.build(cfg, dir, tuning)
	return a, nil
}

// CheckAuthority reports whether a file can be tls.acme.ca_file.
func CheckAuthority(file string) error {
	_, err := authorities(file)
	return err
}

// authorities returns the system's certificate authorities and those of a file.
func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w; write the path of a PEM file, or nothing for the system's authorities", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate is in %s; write a PEM file with the authority of the ACME directory", file)
	}
	return roots, nil
}

// build sets certmagic up: one cache, and one configuration each for names and
// addresses, since these need a profile of their own.
func (a *acme) build(cfg Config, dir string, tuning acmeTuning) {
	a.storage = &storage{FileStorage: &certmagic.FileStorage{Path: dir}}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(cert certmagic.Certificate) (*certmagic.Config, error) {
			if len(cert.Names) > 0 && certmagic.SubjectIsIP(cert.Names[0]) {
				return a.addresses, nil
			}
			return a.names, nil
		},
		RenewCheckInterval: tuning.renewCheck,
		Logger:             zap.NewNop(),
	})
	configure := func(profile string) *certmagic.Config {
		magic := certmagic.New(a.cache, certmagic.Config{
			Storage:            a.storage,
			OnEvent:            a.onEvent,
			RenewalWindowRatio: tuning.renewWindow,
			DisableARI:         tuning.renewWindow > 0,
			OCSP:               certmagic.OCSPConfig{DisableStapling: true}, // no ACME authority of note answers OCSP any more
			Logger:             zap.NewNop(),                                // what matters comes as an event
		})
		template := certmagic.ACMEIssuer{
			CA:                        a.directory,
			Email:                     cfg.TLS.ACME.Email,
			Agreed:                    true,
			Profile:                   profile,
			TrustedRoots:              a.roots,
			DisableDistributedSolvers: true, // one process serves the challenges it has asked for
			Logger:                    zap.NewNop(),
		}
		challengePorts(&template, cfg.Listen)
		magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, template)}
		return magic
	}
	a.names = configure("")
	a.addresses = configure(shortlived)
}

// challengePorts tells certmagic that our own listeners answer the challenges, so
// that it opens none. The ACME server comes to port 443 for TLS-ALPN-01 and to
// port 80 for HTTP-01; where we listen on neither, something must forward them.
func challengePorts(issuer *certmagic.ACMEIssuer, listen []string) {
	var ports []int
	hosts := make(map[int]string)
	for _, address := range listen {
		host, text, err := net.SplitHostPort(address)
		port, err2 := strconv.Atoi(text)
		if err == nil && err2 == nil {
			ports, hosts[port] = append(ports, port), host
		}
	}
	if len(ports) == 0 {
		return
	}
	has80, has443 := slices.Contains(ports, 80), slices.Contains(ports, 443)
	port := ports[0]
	switch {
	case has443:
		port = 443
	case has80:
		port = 80
	}
	issuer.ListenHost = hosts[port]
	issuer.AltHTTPPort, issuer.AltTLSALPNPort = port, port
	if has80 != has443 {
		issuer.DisableHTTPChallenge, issuer.DisableTLSALPNChallenge = !has80, !has443
	}
}

// HTTPChallenges answers HTTP-01 and leaves all other requests to next.
func (a *acme) HTTPChallenges(next http.Handler) http.Handler {
	// The challenges under way are known to all issuers of the process.
	return a.names.Issuers[0].(*certmagic.ACMEIssuer).HTTPChallengeHandler(next)
}

// GetCertificate answers a challenge, or shows the certificate for the name asked
// for; to a client that asks for none the one for the address it came to, and else
// the primary one.
func (a *acme) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Contains(hello.SupportedProtos, acmez.ACMETLS1Protocol) {
		return a.names.GetCertificate(hello)
	}
	if name := hello.ServerName; name != "" && name != a.primary {
		if cert := a.newest(name); cert != nil {
			return cert, nil
		}
	}
	if hello.ServerName == "" {
		for _, addr := range a.addressesAt(hello.Conn) {
			if cert := a.newest(addr.String()); cert != nil {
				return cert, nil
			}
		}
	}
	if cert := a.newest(a.primary); cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("there is no certificate for %s yet", a.primary)
}

// addressesAt returns the addresses for which a client without SNI may have come.
// Behind 1:1 NAT the local address is not among ours, then the family decides.
func (a *acme) addressesAt(conn net.Conn) []netip.Addr {
	if conn == nil {
		return a.optional
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return a.optional
	}
	here := local.Addr().Unmap()
	list := slices.Clone(a.optional)
	slices.SortStableFunc(list, func(x, y netip.Addr) int { return likeness(here, y) - likeness(here, x) })
	return list
}

func likeness(a, b netip.Addr) int {
	switch {
	case a == b:
		return 2
	case a.Is4() == b.Is4():
		return 1
	}
	return 0
}

// newest returns the certificate for exactly this name that lives longest.
func (a *acme) newest(name string) *tls.Certificate {
	var best *tls.Certificate
	for _, cert := range a.cache.AllMatchingCertificates(name) {
		if best == nil || cert.Leaf.NotAfter.After(best.Leaf.NotAfter) {
			best = &cert.Certificate
		}
	}
	return best
}

// NotAfter is zero before the first certificate is there.
func (a *acme) NotAfter() time.Time {
	if cert := a.newest(a.primary); cert != nil {
		return cert.Leaf.NotAfter
	}
	return time.Time{}
}

// Reload has nothing to read: certificates come from the ACME server.
func (a *acme) Reload() error { return nil }

// Serve obtains what is missing, renews what grows old, and reports both.
func (a *acme) Serve(ctx context.Context) {
	defer a.storage.close()
	defer a.cache.Stop()
	magic := a.names
	if certmagic.SubjectIsIP(a.primary) {
		magic = a.addresses
		a.profile(ctx)
	}
	if err := magic.ManageAsync(ctx, []string{a.primary}); err != nil {
		a.failed(a.primary, err)
	}
	a.loaded(a.primary)
	extra := false
	for {
		// The address gets its certificate when the name has shown that all is well.
		if !extra && len(a.optional) > 0 && a.newest(a.primary) != nil {
			extra = true
			if a.profile(ctx) {
				for _, addr := range a.optional {
					if err := a.addresses.ManageAsync(ctx, []string{addr.String()}); err != nil {
						a.failed(addr.String(), err)
					}
					a.loaded(addr.String())
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case e := <-a.events:
			a.handle(ctx, e)
		}
	}
}

// profile reports whether the ACME server offers certificates for addresses, as
// far as its directory tells: by the profile made for them. Without it, addresses
// are asked for under the server's default profile.
func (a *acme) profile(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	profiles, err := a.profiles(ctx)
	if err != nil {
		a.log.Warn("the ACME directory cannot be read", "directory", a.directory, "error", err, "remedy", remedy(err))
	}
	if _, ok := profiles[shortlived]; ok {
		return true
	}
	for _, issuer := range a.addresses.Issuers {
		issuer.(*certmagic.ACMEIssuer).Profile = ""
	}
	return false
}

// profiles reads the directory's list of profiles, draft-aaron-acme-profiles.
func (a *acme) profiles(ctx context.Context) (map[string]string, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: a.roots}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.directory, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var directory struct {
		Meta struct {
			Profiles map[string]string `json:"profiles"`
		} `json:"meta"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&directory); err != nil {
		return nil, fmt.Errorf("the answer (%s) is no ACME directory", response.Status)
	}
	return directory.Meta.Profiles, nil
}

var _ Source = (*acme)(nil)
