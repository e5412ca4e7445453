package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"
)

// onEvent takes certmagic's events. It must be quick and may be called from
// several goroutines; what does not fit is lost to the log alone.
func (a *acme) onEvent(_ context.Context, kind string, data map[string]any) error {
	if kind != "cert_obtained" && kind != "cert_failed" {
		return nil
	}
	select {
	case a.events <- event{kind, data}:
	default:
	}
	return nil
}

// handle reports an event.
func (a *acme) handle(ctx context.Context, e event) {
	name, _ := e.data["identifier"].(string)
	if e.kind == "cert_failed" {
		err, _ := e.data["error"].(error)
		if err == nil {
			err = errors.New("the ACME server gave no certificate")
		}
		a.failed(name, err)
		return
	}
	// The event comes when the certificate is on disk; it is in use a moment later.
	deadline := time.NewTimer(settle)
	defer deadline.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		if cert := a.newest(name); cert != nil && cert.Leaf.SerialNumber.String() != a.shown[name] {
			what := "certificate obtained"
			if a.shown[name] != "" {
				what = "certificate renewed"
			}
			a.report(name, what, cert.Leaf)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			return
		case <-look.C:
		}
	}
}

// loaded reports a certificate that was there from an earlier run.
func (a *acme) loaded(name string) {
	if cert := a.newest(name); cert != nil {
		a.report(name, "certificate loaded", cert.Leaf)
	}
}

// report says that a certificate is in use from now on.
func (a *acme) report(name, what string, cert *x509.Certificate) {
	a.shown[name] = cert.SerialNumber.String()
	a.log.Info(what, "name", name, "expires", cert.NotAfter.UTC())
	if a.changed != nil {
		a.changed()
	}
}

// failed reports that there is no new certificate, and what that means.
func (a *acme) failed(name string, err error) {
	old := a.newest(name)
	switch {
	case old != nil && time.Now().Before(old.Leaf.NotAfter):
		a.log.Error("certificate renewal failed; the old one stays", "name", name, "expires", old.Leaf.NotAfter.UTC(), "error", err, "remedy", remedy(err))
	case old != nil:
		a.log.Error("certificate renewal failed, and the old one has expired: browsers refuse it", "name", name, "expires", old.Leaf.NotAfter.UTC(), "error", err, "remedy", remedy(err))
	case name != a.primary:
		a.log.Warn("no certificate for this address; the one for the name is not concerned", "name", name, "error", err, "remedy", remedy(err))
	default:
		a.log.Error("no certificate yet: HTTPS and TURN over TLS do not work", "name", name, "error", err, "remedy", remedy(err))
	}
}

// remedy says what to do about an error of the ACME server (the types of RFC 8555
// section 6.7) or on the way to it.
func remedy(err error) string {
	const again = "; it is tried again by itself"
	var problem protocol.Problem
	if errors.As(err, &problem) {
		for _, sub := range problem.Subproblems {
			if problem.Type == protocol.ProblemTypeCompound && sub.Type != "" {
				problem.Type = sub.Type
				break
			}
		}
		switch problem.Type {
		case protocol.ProblemTypeDNS:
			return "let the DNS name in public_host point to this server" + again
		case protocol.ProblemTypeConnection, protocol.ProblemTypeTLS:
			return "TCP port 443 or 80 must lead from the internet to a port in listen.tcp: open the firewall and the cloud's security group" + again
		case protocol.ProblemTypeUnauthorized, protocol.ProblemTypeIncorrectResponse:
			return "another server answers under the name: correct its DNS record, or take the proxy in front of it away" + again
		case protocol.ProblemTypeCAA:
			return "the CAA record of the domain forbids this authority: add it there" + again
		case protocol.ProblemTypeRateLimited:
			return "the authority's rate limit is reached; keep tls.acme.cache_dir between starts" + again
		case protocol.ProblemTypeRejectedIdentifier, protocol.ProblemTypeUnsupportedIdentifier:
			return "this authority gives no certificate for such a name: write a public DNS name in public_host"
		case protocol.ProblemTypeInvalidContact, protocol.ProblemTypeUnsupportedContact:
			return "correct tls.acme.email"
		case protocol.ProblemTypeExternalAccountRequired:
			return "this authority wants an account made beforehand; use another tls.acme.directory"
		}
		return "the ACME server is in trouble, see its message" + again
	}
	var network net.Error
	switch {
	case strings.Contains(err.Error(), "certificate signed by unknown authority"):
		return "write the authority of the ACME directory's own certificate in tls.acme.ca_file"
	case strings.Contains(err.Error(), ": HTTP 5"):
		return "the ACME server is in trouble" + again
	case errors.As(err, &network), strings.Contains(err.Error(), "connection refused"), strings.Contains(err.Error(), "no such host"):
		return "the ACME server cannot be reached: outgoing HTTPS to tls.acme.directory must be open" + again
	}
	return "see the error" + again
}
