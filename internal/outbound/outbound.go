// Package outbound says where this server may be made to connect. Whoever names a URL to
// it, the operator for a webhook or a browser for its pushes, must not lead it to the
// host's own network. The names are looked at once they are resolved, at the moment of
// connecting, so that no answer of a resolver gets around it.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"turnhub/internal/netaddr"
)

// ErrInside is the error of an address that is not to be reached.
var ErrInside = errors.New("its address is none on the internet")

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 16 << 10

// Transport connects only to what MayReach allows. It uses no proxy, which would resolve
// names itself. timeout is of a connection and of its TLS; idle connections are kept for
// the next request.
func Transport(named netip.Addr, allow []netip.Prefix, timeout time.Duration, idle int) *http.Transport {
	return &http.Transport{
		DialContext:            Dialer(named, allow, timeout).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           idle,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true, // an answer must not grow here
	}
}

// Why a request had no answer, as metrics and users are told.
const (
	FailedAddress = "address" // it is inside, see MayReach
	FailedTLS     = "tls"
	FailedTimeout = "timeout"
	FailedNetwork = "network"
)

// Failure says why a request had no answer.
func Failure(err error) string {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.Is(err, ErrInside):
		return FailedAddress
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return FailedTLS
	case errors.As(err, &timeout) && timeout.Timeout():
		return FailedTimeout
	}
	return FailedNetwork
}

// Dialer returns a dialer that connects only to what MayReach allows.
func Dialer(named netip.Addr, allow []netip.Prefix, timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout: timeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return MayReach(ap.Addr(), named, allow)
		},
	}
}

// Named is the address that stands in a URL itself, so that its operator has
// named it, or loopback for localhost; else the zero Addr.
func Named(target string) netip.Addr {
	u, err := url.Parse(target)
	if err != nil {
		return netip.Addr{}
	}
	if u.Hostname() == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	return addr.Unmap()
}

// MayReach is the rule about inside addresses: those that the configuration names, and
// never one that hands out a host's credentials.
func MayReach(addr, named netip.Addr, allow []netip.Prefix) error {
	addr = netaddr.Plain(addr)
	for _, form := range netaddr.Forms(addr) {
		if netaddr.Metadata(form) {
			return fmt.Errorf("%w: %s hands out this host's credentials", ErrInside, addr)
		}
	}
	special := netaddr.Special(addr)
	if special == "" || addr == named || named.IsLoopback() && addr.IsLoopback() {
		return nil
	}
	for _, p := range allow {
		if p.Contains(addr) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s (%s)", ErrInside, addr, special)
}
