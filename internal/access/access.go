// Package access decides who may use the server: access tokens (JSON Web
// Tokens, RFC 7519) in access.mode token, and the Origins whose pages may call.
//
// A token names a user (sub), optionally the rooms that user may join (rooms) and whether
// as their host (host), and
// always its end (exp). Its algorithm is bound to the configured key: an HS256
// token is never checked against a public key, and alg "none" never passes.
package access

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/text/unicode/norm"

	"turnhub/internal/statefile"
)

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 8 << 10

// Claims is what a valid token says. The zero value is a person in access.mode
// open: no name given, every room allowed.
type Claims struct {
	User    string    // sub; empty in mode open
	Rooms   []string  // in normal form C; nil: every room; empty: none
	Host    bool      // the bearer is a host of those of these rooms that have one
	Expires time.Time // zero in mode open

	issued   *jwt.NumericDate // iat; nil: the token does not say
	verifier *Verifier        // whose list of the revoked counts
	inviters []string         // through whose hands an invitation went
}

// AllowsRoom reports whether the token's bearer may join the room, however the name was
// typed: in decomposed letters it is the same.
func (c Claims) AllowsRoom(room string) bool {
	return c.Rooms == nil || slices.Contains(c.Rooms, norm.NFC.String(room))
}

// Revoked reports whether the token has been revoked since it was checked. Whoever
// lets somebody in asks once more when that person is where Revoke's caller looks:
// then either of the two sees the other.
func (c Claims) Revoked() bool {
	if c.verifier == nil {
		return false
	}
	revoked := func(user string) bool { return c.verifier.isRevoked(user, c.issued) }
	return revoked(c.User) || slices.ContainsFunc(c.inviters, revoked)
}

// Errors of Verify. Their texts are for the person who sent the request and
// never repeat the token.
var (
	ErrMissing = errors.New("an access token is needed: send it as Authorization: Bearer, or as ?token= where a browser cannot set headers")
	ErrExpired = errors.New("the access token has expired: get a new one")
	ErrRevoked = errors.New("the access token was revoked: ask the operator")
	ErrTooLong = errors.New("the access token is valid for more than 366 days: get one with a shorter life")
	ErrInvalid = errors.New("the access token is not valid here: get a new one")
)

// claimError is what is wrong with the claims of a token. It is ErrInvalid, and says
// more.
type claimError string

func (e claimError) Error() string { return "the access token is not valid here: " + string(e) }

func (e claimError) Is(target error) bool { return target == ErrInvalid }

// Config says where the keys are.
type Config struct {
	// Open is access.mode open: there are no keys, everybody passes, and only the
	// list of the revoked is kept.
	Open       bool
	SecretFile string // HS256: at least 32 bytes, surrounding white space is cut off
	JWKSFile   string // RFC 7517 key set with Ed25519 or RSA public keys
	// RevokedFile keeps the revoked users over a restart; empty: it is not kept.
	RevokedFile string
	// InvitationKeyFile keeps the key for invitations; empty: it ends with the process.
	InvitationKeyFile string
	// CredentialLife is the longest for which TURN credentials are given out; nil: 0.
	CredentialLife func() time.Duration
	Logger         *slog.Logger // nil: none
}

// Verifier checks access tokens. A nil *Verifier is access.mode open: everybody
// passes with zero Claims. Safe for concurrent use.
type Verifier struct {
	cfg Config

	mu   sync.RWMutex
	keys *keySet // nil: access.mode open
	list revocations

	newest atomic.Int64 // the latest iat of a token that has passed, Unix seconds

	invitationKey []byte

	saving sync.Mutex // held while the revoked are written down
}

// NewVerifier reads the keys and the revoked users. Exactly one of the two files
// of keys must be named, in mode open none.
func NewVerifier(cfg Config) (*Verifier, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{cfg: cfg, list: newRevocations()}
	if err := v.Reload(); err != nil {
		return nil, err
	}
	if !v.IsOpen() {
		key, err := invitationKeyOf(cfg.InvitationKeyFile)
		if err != nil {
			return nil, err
		}
		v.invitationKey = key
		if problem, remedy := statefile.Foreign(cfg.InvitationKeyFile); problem != "" {
			cfg.Logger.Warn(problem, "remedy", remedy)
		}
	}
	if problem, remedy := statefile.Foreign(cfg.RevokedFile); problem != "" {
		cfg.Logger.Warn(problem, "remedy", remedy)
	}
	return v, v.LoadRevoked()
}

// IsOpen reports whether everybody passes: access.mode open.
func (v *Verifier) IsOpen() bool { return v == nil || v.cfg.Open }

// Reload reads the key files again. On an error the old keys stay.
func (v *Verifier) Reload() error {
	if v.IsOpen() {
		return nil
	}
	keys, err := loadKeys(v.cfg)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.keys = keys
	v.mu.Unlock()
	return nil
}

// Verify returns the claims of the request's token, or one of ErrMissing,
// ErrExpired, ErrRevoked, ErrTooLong and ErrInvalid.
func (v *Verifier) Verify(r *http.Request) (Claims, error) {
	if v.IsOpen() {
		return Claims{}, nil
	}
	return v.Check(FromRequest(r))
}

// Check is Verify for a token that has been taken out of its request.
func (v *Verifier) Check(token string) (Claims, error) {
	switch {
	case v.IsOpen():
		return Claims{}, nil
	case token == "":
		return Claims{}, ErrMissing
	case len(token) > maxToken:
		return Claims{}, ErrInvalid
	case strings.HasPrefix(token, invitationPrefix):
		return v.checkInvitation(token)
	}
	keys := v.currentKeys()
	var c tokenClaims
	_, err := jwt.ParseWithClaims(token, &c, keys.find,
		jwt.WithValidMethods(keys.methods), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway))
	var bad claimError
	switch {
	case errors.As(err, &bad):
		return Claims{}, bad
	case errors.Is(err, jwt.ErrTokenExpired):
		return Claims{}, ErrExpired
	case err != nil:
		return Claims{}, ErrInvalid
	case !ValidUser(c.Subject):
		return Claims{}, ErrInvalid
	case c.life() > MaxLife:
		return Claims{}, ErrTooLong
	}
	claims := Claims{User: c.Subject, Host: c.Host, Expires: c.ExpiresAt.Time, issued: c.IssuedAt, verifier: v}
	if c.Rooms != nil {
		claims.Rooms = *c.Rooms
	}
	if claims.Revoked() {
		return Claims{}, ErrRevoked
	}
	if c.IssuedAt != nil {
		v.passed(c.IssuedAt.Time)
	}
	return claims, nil
}

func (v *Verifier) currentKeys() *keySet {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.keys
}

// FromRequest returns the request's token, or "": the Bearer of Authorization
// (RFC 6750 section 2.1), else the query's token.
func FromRequest(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if r.URL == nil || !strings.Contains(r.URL.RawQuery, "token=") {
		return ""
	}
	return r.URL.Query().Get("token")
}

// Reasons of a 401, for clients that say it in words of their own.
const (
	ReasonMissing = "missing"
	ReasonExpired = "expired"
	ReasonRevoked = "revoked"
	ReasonInvalid = "invalid"
)

// reasonOf returns the reason for an error of Verify.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrMissing):
		return ReasonMissing
	case errors.Is(err, ErrExpired), errors.Is(err, ErrInvitationExpired):
		return ReasonExpired
	case errors.Is(err, ErrRevoked):
		return ReasonRevoked
	}
	return ReasonInvalid
}

// Deny answers a request whose Verify gave err: 401 and a JSON error.
func Deny(w http.ResponseWriter, err error) {
	h := w.Header()
	h.Set("WWW-Authenticate", `Bearer realm="turnhub"`)
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusUnauthorized)
	// The texts above need no escaping.
	fmt.Fprintf(w, "{\"error\":\"unauthorized\",\"reason\":%q,\"message\":%q}\n", reasonOf(err), err.Error())
}

// Require wraps a handler so that only requests with a valid token reach it.
func (v *Verifier) Require(next http.Handler) http.Handler {
	if v.IsOpen() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := v.Verify(r); err != nil {
			Deny(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ValidUser reports whether name may be a user name: 1 to 64 of A-Z a-z 0-9
// _ . @ and -, and not beginning with "s_", which is kept for the hub's
// sessions.
func ValidUser(name string) bool {
	if len(name) < 1 || len(name) > 64 || strings.HasPrefix(name, "s_") {
		return false
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '@', c == '-':
		default:
			return false
		}
	}
	return true
}
