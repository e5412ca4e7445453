package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"turnhub/internal/statefile"
)

// Key is the pair of keys by which push services know this server (RFC 8292). A browser
// binds its subscription to the public one.
type Key struct {
	private *ecdsa.PrivateKey
	public  string // uncompressed, in base64url: what PushManager.subscribe takes

	mu     sync.Mutex
	tokens map[string]token // by audience
}

type token struct {
	text, contact string
	until         time.Time
}

// tokenLife is for how long a token is used: half of what it says, which RFC 8292,
// section 2, bounds to 24 hours. Services may refuse one that is made for each message.
const tokenLife = 6 * time.Hour

const maxTokens = 256 // a service has one; an operator may name a wildcard

// OpenKey reads the key of a file, and makes it where there is none.
func OpenKey(path string) (*Key, error) {
	text, err := statefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		key, err := newKey(private)
		if err != nil {
			return nil, err
		}
		made, err := key.PEM()
		if err != nil {
			return nil, err
		}
		if err = statefile.Create(path, made, 0o600); err == nil {
			return key, nil
		}
		if !errors.Is(err, fs.ErrExist) { // another process of this server was faster
			return nil, err
		}
		text, err = statefile.Read(path)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; restore it from a backup, or move it away to have a new one made: whoever wants to be rung then opens the page once", path, err)
	}
	return key, nil
}

// ParseKey reads what Key.PEM writes.
func ParseKey(text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it holds no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it holds no PKCS #8 key")
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("its key is not of the curve P-256")
	}
	return newKey(private)
}

// PEM is the key as its file holds it.
func (k *Key) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func newKey(private *ecdsa.PrivateKey) (*Key, error) {
	public, err := private.PublicKey.ECDH()
	if err != nil {
		return nil, err
	}
	return &Key{private: private, public: base64.RawURLEncoding.EncodeToString(public.Bytes()), tokens: make(map[string]token)}, nil
}

// Public is the applicationServerKey of PushManager.subscribe, in base64url.
func (k *Key) Public() string { return k.public }

// authorization is the header by which a push service knows who sends (RFC 8292, 3).
func (k *Key) authorization(endpoint *url.URL, contact string, now time.Time) (string, error) {
	audience := endpoint.Scheme + "://" + endpoint.Host
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.tokens[audience]
	if left := t.until.Sub(now); t.contact != contact || left <= 0 || left > tokenLife { // or the clock was set
		claims := jwt.MapClaims{"aud": audience, "exp": now.Add(2 * tokenLife).Unix()}
		if contact != "" {
			claims["sub"] = contact
		}
		text, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(k.private)
		if err != nil {
			return "", err
		}
		if len(k.tokens) >= maxTokens {
			clear(k.tokens)
		}
		t = token{text, contact, now.Add(tokenLife)}
		k.tokens[audience] = t
	}
	return "vapid t=" + t.text + ", k=" + k.public, nil
}
