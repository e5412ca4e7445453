package access

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/text/unicode/norm"
)

const (
	// leeway is how far the clocks of issuer and server may be apart.
	leeway = 30 * time.Second
	// minSecret: RFC 7518 section 3.2 wants a key of at least the hash's size.
	minSecret = 32
	// minRSA: RFC 7518 section 3.3, in bits.
	minRSA = 2048
)

// tokenClaims are the claims that mean something here.
type tokenClaims struct {
	jwt.RegisteredClaims
	Rooms *[]string `json:"rooms,omitempty"` // nil: every room
	Host  bool      `json:"host,omitempty"`
}

// life is for how long the token is valid in all.
func (c tokenClaims) life() time.Duration {
	from := time.Now()
	if c.IssuedAt != nil {
		from = c.IssuedAt.Time
	}
	return c.ExpiresAt.Sub(from)
}

// keySet holds the keys and the only algorithms that may be used with them.
type keySet struct {
	methods []string
	secret  []byte
	public  []publicKey
}

type publicKey struct {
	id     string
	method string // EdDSA or RS256, by the kind of key
	key    crypto.PublicKey
}

func loadKeys(cfg Config) (*keySet, error) {
	switch {
	case cfg.SecretFile != "" && cfg.JWKSFile != "":
		return nil, errors.New("access.token_secret_file and access.token_jwks_file exclude each other; keep one")
	case cfg.SecretFile != "":
		secret, err := readSecret(cfg.SecretFile)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(cfg.SecretFile); err == nil && info.Mode().Perm()&0o007 != 0 {
			cfg.Logger.Warn(fmt.Sprintf("%s is open to every user of this host (mode %04o)", cfg.SecretFile, info.Mode().Perm()), "remedy", "chmod o= "+cfg.SecretFile)
		}
		return &keySet{methods: []string{jwt.SigningMethodHS256.Alg()}, secret: secret}, nil
	case cfg.JWKSFile != "":
		return readJWKS(cfg.JWKSFile)
	}
	return nil, errors.New("access.mode token needs a key; write access.token_secret_file or access.token_jwks_file")
}

func readSecret(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read access.token_secret_file: %w; make one with `openssl rand -base64 48 > token-secret`, readable for this user, and write its path there", err)
	}
	secret := bytes.TrimSpace(b)
	if len(secret) < minSecret {
		return nil, fmt.Errorf("access.token_secret_file %s holds %d bytes, at least %d are needed; make one with: openssl rand -base64 48", file, len(secret), minSecret)
	}
	return secret, nil
}

func readJWKS(file string) (*keySet, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read access.token_jwks_file: %w; write the path of a JWK Set there that this user may read", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("read access.token_jwks_file %s: %w; write a JWK Set: {\"keys\": [...]}", file, err)
	}
	keys := new(keySet)
	seen := make(map[string]bool)
	for i, k := range set.Keys {
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		pk := publicKey{id: k.KeyID, key: k.Key}
		switch key := k.Key.(type) {
		case ed25519.PublicKey:
			pk.method = jwt.SigningMethodEdDSA.Alg()
		case *rsa.PublicKey:
			if key.N.BitLen() < minRSA {
				return nil, fmt.Errorf("access.token_jwks_file %s: key %d is RSA with %d bits, at least %d are needed; make a longer one", file, i+1, key.N.BitLen(), minRSA)
			}
			pk.method = jwt.SigningMethodRS256.Alg()
		case ed25519.PrivateKey, *rsa.PrivateKey, []byte:
			return nil, fmt.Errorf("access.token_jwks_file %s: key %d is a private or symmetric key; write only public keys here", file, i+1)
		default:
			return nil, fmt.Errorf("access.token_jwks_file %s: key %d is neither Ed25519 nor RSA; remove it, or sign with one of these", file, i+1)
		}
		if k.Algorithm != "" && k.Algorithm != pk.method {
			return nil, fmt.Errorf("access.token_jwks_file %s: key %d is for alg %s, but only EdDSA and RS256 are accepted; remove it, or sign with one of these", file, i+1, k.Algorithm)
		}
		keys.public = append(keys.public, pk)
		if !seen[pk.method] {
			seen[pk.method] = true
			keys.methods = append(keys.methods, pk.method)
		}
	}
	if len(keys.public) == 0 {
		return nil, fmt.Errorf("access.token_jwks_file %s holds no key for signatures; write the public keys of whoever signs the tokens there", file)
	}
	return keys, nil
}

// find returns the keys that may have signed the token: of its algorithm, and
// of its kid where it names one.
func (k *keySet) find(t *jwt.Token) (any, error) {
	if k.secret != nil {
		return k.secret, nil
	}
	kid, _ := t.Header["kid"].(string)
	var set jwt.VerificationKeySet
	for _, p := range k.public {
		if p.method == t.Method.Alg() && (kid == "" || p.id == "" || p.id == kid) {
			set.Keys = append(set.Keys, p.key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("no key for this token")
	}
	return set, nil
}

// signer returns the key, as material has it, by which a token is signed.
func (k *keySet) signer(token string) ([]byte, bool) {
	for n, key := range k.material() {
		one := &keySet{methods: k.methods}
		if k.secret != nil {
			one.secret = k.secret
		} else {
			one.public = k.public[n : n+1]
		}
		_, err := jwt.NewParser(jwt.WithValidMethods(one.methods), jwt.WithoutClaimsValidation()).ParseWithClaims(token, new(tokenClaims), one.find)
		if err == nil {
			return key, true
		}
	}
	return nil, false
}

// material returns the keys in bytes: the secret, or each public key.
func (k *keySet) material() [][]byte {
	if k.secret != nil {
		return [][]byte{k.secret}
	}
	all := make([][]byte, len(k.public))
	for n, p := range k.public {
		all[n], _ = x509.MarshalPKIXPublicKey(p.key) // Ed25519 and RSA always can
	}
	return all
}

// Mint signs a token with the secret in secretFile (HS256). rooms is nil for every
// room; an empty list opens none.
func Mint(secretFile, user string, rooms []string, expires time.Time) (string, error) {
	return mint(secretFile, user, rooms, false, expires)
}

// MintHost is Mint for somebody who is the host of those of the rooms that have one.
func MintHost(secretFile, user string, rooms []string, expires time.Time) (string, error) {
	return mint(secretFile, user, rooms, true, expires)
}

func mint(secretFile, user string, rooms []string, host bool, expires time.Time) (string, error) {
	if !ValidUser(user) {
		return "", fmt.Errorf("user %q: write 1 to 64 of A-Z a-z 0-9 _ . @ -, not beginning with s_", user)
	}
	secret, err := readSecret(secretFile)
	if err != nil {
		return "", err
	}
	now := time.Now()
	if !expires.After(now) {
		return "", errors.New("the token would have expired already: give a longer ttl")
	}
	if expires.Sub(now) > MaxLife {
		return "", errors.New("a token may be valid for 366 days at most: give a shorter ttl")
	}
	claims := tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   user,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
		},
		Host: host,
	}
	if rooms != nil {
		normal := make([]string, len(rooms))
		for i, room := range rooms {
			normal[i] = norm.NFC.String(room)
		}
		claims.Rooms = &normal
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}
