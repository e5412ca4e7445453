package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Stage is how far a probe came. Its values are metric labels.
type Stage string

// The stages in the order in which they happen.
const (
	StageURL      Stage = "url"
	StageDNS      Stage = "dns"
	StageConnect  Stage = "connect"  // TCP handshake
	StageTLS      Stage = "tls"      // TLS handshake and the certificate
	StageBinding  Stage = "binding"  // stun: URLs
	StageAllocate Stage = "allocate" // for UDP the first answer of all
	StagePermit   Stage = "permission"
	StageRelay    Stage = "relay" // the payload did not come through
	// StageSignaling is about the WebSocket of a check.
	StageSignaling Stage = "signaling"
)

// A Failure says where a probe ended, why, and what the operator does about it.
type Failure struct {
	URL     string
	Address string // what was connected to; empty before
	Stage   Stage
	Code    int // the STUN error code, 0 if there was none
	Err     error
	Remedy  string
}

func (f *Failure) Error() string {
	where := f.URL
	if f.Address != "" {
		where += " at " + f.Address
	}
	return fmt.Sprintf("%s: %s: %v; %s", where, f.Stage, f.Err, f.Remedy)
}

func (f *Failure) Unwrap() error { return f.Err }

func dnsFailure(s Server, err error) *Failure {
	f := &Failure{Stage: StageDNS, Err: err}
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		f.Err = fmt.Errorf("%s has no address in DNS", s.Host)
		f.Remedy = fmt.Sprintf("add an A record (and AAAA with IPv6) for %s that points to the server, or correct public_host", s.Host)
	default:
		f.Remedy = "the DNS resolver of this machine does not answer; look at /etc/resolv.conf, or try again from elsewhere"
	}
	return f
}

// connectFailure is about reaching the port at all.
func connectFailure(s Server, err error) *Failure {
	f := &Failure{Stage: StageConnect, Err: shorten(err)}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Err = errors.New("connection refused")
		f.Remedy = fmt.Sprintf("nothing listens on %s there: start turnhub, or add the port to listen.%s", s.port(), strings.ToLower(s.port()[:3]))
	case isTimeout(err):
		f.Err = errors.New("no answer")
		f.Remedy = fmt.Sprintf("a firewall drops %s: open it on the server and in its cloud's security group", s.port())
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		f.Err = errors.New("no route to this address")
		f.Remedy = "this machine has no way there: give it the address family, or take the address out of DNS when the server has none of it"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		f.Remedy = fmt.Sprintf("this machine's own firewall forbids %s outwards", s.port())
	default:
		f.Remedy = fmt.Sprintf("open %s on the way to the server", s.port())
	}
	return f
}

// tlsFailure is about the handshake and the certificate, judged as a browser does.
func tlsFailure(s Server, err error) *Failure {
	f := &Failure{Stage: StageTLS, Err: shorten(err)}
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var remote *net.OpError
	switch {
	case errors.As(err, &name):
		f.Err = fmt.Errorf("the certificate is not for %s but for %s", s.Host, subjects(name.Certificate))
		f.Remedy = fmt.Sprintf("get a certificate for %s, or write the name that it has in public_host", s.Host)
	case errors.As(err, &authority):
		f.Err = errors.New("browsers do not trust the certificate's issuer")
		f.Remedy = "use tls.mode acme, or put the whole chain with the intermediate certificates into tls.cert_file; a certificate of your own works only where its authority is installed"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if time.Now().Before(invalid.Cert.NotBefore) {
			f.Err = fmt.Errorf("the certificate is valid from %s on", invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
			f.Remedy = "set the clock right"
		} else {
			f.Err = fmt.Errorf("the certificate expired at %s", invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
			f.Remedy = "renew it; the server's log says why that has not happened"
		}
	case errors.As(err, &invalid):
		f.Remedy = "get another certificate: browsers refuse this one"
	case errors.As(err, &record):
		f.Err = errors.New("the port speaks no TLS")
		f.Remedy = "switch on tls.mode, or use a turn: URL"
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert
		f.Remedy = fmt.Sprintf("the server has no certificate for %s: tls.mode is off, or the certificate could not be obtained yet; its log says why", s.Host)
	case isTimeout(err):
		f.Err = errors.New("the TLS handshake got no answer")
		f.Remedy = fmt.Sprintf("something on the way drops TLS on %s, or the server is overloaded", s.port())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		f.Err = errors.New("the connection was cut during the TLS handshake")
		f.Remedy = "tls.mode is off on this port, or a firewall that inspects TLS stands between"
	default:
		f.Remedy = "look at the server's log"
	}
	return f
}

// turnFailure is about an answer of the TURN server, or its absence. code is the
// last STUN error code that the server sent since the request.
func turnFailure(s Server, stage Stage, err error, code int, reason string) *Failure {
	f := &Failure{Stage: stage, Code: code, Err: shorten(err)}
	if code != 0 {
		f.Err = fmt.Errorf("error %d (%s)", code, reason)
	}
	switch code {
	case 0:
	case 401:
		f.Remedy = "the server does not accept the credentials: they expired, the secret is not the one that signed them, or the clocks of the two machines differ"
	case 403:
		f.Remedy = "the peer policy refuses the server's own relayed address; look at relay.peers and relay.deny_peers"
	case 437, 438, 441:
		f.Remedy = "something between changes the client's address, or two servers share this address without sharing state"
	case 440:
		f.Remedy = "the server has no address of this family to relay with; look at relay.external_ip"
	case 442:
		f.Remedy = "the server does not relay UDP"
	case 486:
		f.Remedy = "a limit is reached for this user or address; look at limits.allocations_per_user and limits.allocations_per_ip"
	case 508:
		f.Remedy = "the server has no relay port left or is going down; widen relay.port_min to relay.port_max"
	default:
		f.Remedy = "look at the server's log"
	}
	if code != 0 {
		return f
	}
	switch {
	case s.Transport == "udp" && errors.Is(err, syscall.ECONNREFUSED):
		c := connectFailure(s, syscall.ECONNREFUSED)
		f.Err, f.Remedy, f.Stage = c.Err, c.Remedy, StageConnect
	case stage == StageRelay:
		if isTimeout(err) {
			f.Err = errors.New("the relayed packets did not arrive")
		}
		f.Remedy = "relayed addresses do not reach each other: open the relay's UDP ports in the firewall, and see that relay.external_ip is the address of this server"
	case isTimeout(err) && s.Transport == "udp" && (stage == StageBinding || stage == StageAllocate):
		f.Err = errors.New("no answer")
		f.Remedy = fmt.Sprintf("a firewall drops %s, or nothing listens there: open it on the server and in its cloud's security group, and look at listen.udp", s.port())
	case isTimeout(err):
		f.Err = errors.New("no answer to a TURN request")
		f.Remedy = fmt.Sprintf("the port is open, but no TURN server answers on %s: another program has it, or a proxy stands in front that passes only HTTP", s.port())
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		f.Err = errors.New("the server closed the connection on a TURN request")
		f.Remedy = fmt.Sprintf("no TURN server is on %s: another program has it, or a proxy stands in front that passes only HTTP", s.port())
	default:
		f.Remedy = "look at the server's log"
	}
	return f
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ETIMEDOUT) || errors.As(err, &timeout) && timeout.Timeout()
}

// shorten takes the addresses of net.OpError off, which the failure names itself.
func shorten(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// subjects lists a certificate's names.
func subjects(cert *x509.Certificate) string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return strings.Join(names[:min(len(names), 4)], ", ")
}
