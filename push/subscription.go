package push

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// subscription is what a browser has been given by its push service, and made itself
// (RFC 8030, 4, and RFC 8291, 2).
type subscription struct {
	Endpoint string `json:"endpoint"` // whoever knows it can have messages sent
	Public   []byte `json:"p256dh"`
	Auth     []byte `json:"auth"`
	Since    int64  `json:"since"`             // Unix seconds; when it was last confirmed
	Refused  int    `json:"refused,omitempty"` // times in a row that the service took nothing for it
	Version  int64  `json:"version,omitempty"` // Unix milliseconds, see merge.go
}

const (
	maxEndpoint = 1024 // bytes; those of the known services have some 200
	authSize    = 16   // RFC 8291, 3.2
)

// ErrService is the error of an endpoint that is not at a push service that the operator
// has named.
var ErrService = errors.New("it is at no push service that this server sends to")

// read reads a PushSubscription as its toJSON writes it. The error is for a developer.
func read(text []byte, services []string) (sub subscription, err error) {
	var given struct {
		Endpoint string
		Keys     struct{ P256dh, Auth string }
	}
	if json.Unmarshal(text, &given) != nil {
		return sub, errors.New("subscription must be what PushSubscription.toJSON returns")
	}
	if err := Endpoint(given.Endpoint, services); err != nil {
		return sub, err
	}
	sub.Endpoint = given.Endpoint
	if sub.Public, err = decode(given.Keys.P256dh); err == nil {
		_, err = ecdh.P256().NewPublicKey(sub.Public)
	}
	if err != nil {
		return sub, errors.New("keys.p256dh of a subscription is a point on P-256, uncompressed, in base64url")
	}
	if sub.Auth, err = decode(given.Keys.Auth); err != nil || len(sub.Auth) != authSize {
		return sub, errors.New("keys.auth of a subscription has 16 bytes, in base64url")
	}
	return sub, nil
}

// decode reads base64url, which some browsers end with =.
func decode(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}

// Endpoint says what is wrong with the URL of a subscription.
func Endpoint(endpoint string, services []string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || len(endpoint) > maxEndpoint:
		return fmt.Errorf("endpoint of a subscription must be a URL of at most %d bytes", maxEndpoint)
	case u.Scheme != "https": // RFC 8030, 8
		return errors.New("endpoint of a subscription must begin with https://")
	case u.User != nil || u.Fragment != "":
		return errors.New("endpoint of a subscription must hold neither a user nor a #")
	}
	for _, service := range services {
		if serves(service, u) {
			return nil
		}
	}
	return fmt.Errorf("%w: the operator adds %.100q to push.services", ErrService, u.Hostname())
}

// serves reports whether a URL is at a service: at its host, or with *. below it, and its
// port, 443 where it names none.
func serves(service string, u *url.URL) bool {
	host, port := service, "443"
	if ap, err := netip.ParseAddrPort(service); err == nil {
		host, port = ap.Addr().String(), fmt.Sprint(ap.Port())
	} else if name, number, found := strings.Cut(service, ":"); found && !strings.Contains(number, ":") {
		host, port = name, number
	}
	if at := u.Port(); at != port && (at != "" || port != "443") {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if below, found := strings.CutPrefix(host, "*."); found {
		return below != "" && strings.HasSuffix(name, "."+below)
	}
	return host == name
}
