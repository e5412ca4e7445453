package access

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func sign(t *testing.T, method jwt.SigningMethod, kid string, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const secret = "0123456789abcdef0123456789abcdef"

func TestSecret(t *testing.T) {
	file := write(t, "secret", "\n"+secret+"\n")
	v, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	minted, err := Mint(file, "vasya", []string{"blue"}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Check(minted)
	if err != nil || c.User != "vasya" || !c.AllowsRoom("blue") || c.AllowsRoom("red") || time.Until(c.Expires) < 59*time.Minute {
		t.Fatalf("%+v, %v", c, err)
	}
	soon, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	good := jwt.MapClaims{"sub": "vasya", "exp": soon}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		token string
		want  error
	}{
		"good":           {sign(t, jwt.SigningMethodHS256, "", []byte(secret), good), nil},
		"none":           {sign(t, jwt.SigningMethodNone, "", jwt.UnsafeAllowNoneSignatureType, good), ErrInvalid},
		"other secret":   {sign(t, jwt.SigningMethodHS256, "", []byte(secret+"x"), good), ErrInvalid},
		"HS512":          {sign(t, jwt.SigningMethodHS512, "", []byte(secret), good), ErrInvalid},
		"RS256":          {sign(t, jwt.SigningMethodRS256, "", rsaKey, good), ErrInvalid},
		"no exp":         {sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"sub": "vasya"}), ErrInvalid},
		"expired":        {sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"sub": "vasya", "exp": past}), ErrExpired},
		"not yet":        {sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"sub": "vasya", "exp": soon, "nbf": soon}), ErrInvalid},
		"no sub":         {sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"exp": soon}), ErrInvalid},
		"a session's":    {sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"sub": "s_abc", "exp": soon}), ErrInvalid},
		"missing":        {"", ErrMissing},
		"garbage":        {"a.b.c", ErrInvalid},
		"huge":           {strings.Repeat("a", maxToken+1), ErrInvalid},
		"cut signature":  {minted[:len(minted)-3], ErrInvalid},
		"more signature": {minted + "A", ErrInvalid},
	} {
		if _, err := v.Check(x.token); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestJWKS(t *testing.T) {
	edPub, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys ...jose.JSONWebKey) string {
		b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return write(t, "jwks.json", string(b))
	}
	both := set(jose.JSONWebKey{Key: edPub, KeyID: "e", Use: "sig"}, jose.JSONWebKey{Key: &rsaKey.PublicKey, KeyID: "r", Algorithm: "RS256"})
	v, err := NewVerifier(Config{JWKSFile: both})
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{"sub": "vasya", "rooms": []string{"blue"}, "exp": time.Now().Add(time.Hour).Unix()}
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, x := range map[string]struct {
		token string
		want  error
	}{
		"EdDSA":            {sign(t, jwt.SigningMethodEdDSA, "e", edKey, claims), nil},
		"EdDSA, no kid":    {sign(t, jwt.SigningMethodEdDSA, "", edKey, claims), nil},
		"RS256":            {sign(t, jwt.SigningMethodRS256, "r", rsaKey, claims), nil},
		"unknown kid":      {sign(t, jwt.SigningMethodEdDSA, "x", edKey, claims), ErrInvalid},
		"kid of the other": {sign(t, jwt.SigningMethodEdDSA, "r", edKey, claims), ErrInvalid},
		"RS512":            {sign(t, jwt.SigningMethodRS512, "r", rsaKey, claims), ErrInvalid},
		"PS256":            {sign(t, jwt.SigningMethodPS256, "r", rsaKey, claims), ErrInvalid},
		// Algorithm confusion: the public key, known to all, as an HMAC secret.
		"HS256 of PEM": {sign(t, jwt.SigningMethodHS256, "r", public, claims), ErrInvalid},
		"HS256 of key": {sign(t, jwt.SigningMethodHS256, "e", []byte(edPub), claims), ErrInvalid},
		"none":         {sign(t, jwt.SigningMethodNone, "e", jwt.UnsafeAllowNoneSignatureType, claims), ErrInvalid},
	} {
		if c, err := v.Check(x.token); !errors.Is(err, x.want) || err == nil && (c.User != "vasya" || c.AllowsRoom("red")) {
			t.Errorf("%s: got %+v, %v, want %v", name, c, err, x.want)
		}
	}

	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil {
		_, err = NewVerifier(Config{JWKSFile: set(jose.JSONWebKey{Key: &small.PublicKey})})
	}
	if err == nil {
		t.Error("a small RSA key is accepted")
	}
	for name, file := range map[string]string{
		"private":   set(jose.JSONWebKey{Key: edKey}),
		"symmetric": set(jose.JSONWebKey{Key: []byte(secret)}),
		"empty":     set(),
		"no JSON":   write(t, "x", "nonsense"),
		"absent":    filepath.Join(t.TempDir(), "absent"),
	} {
		refused(t, name, Config{JWKSFile: file})
	}
	refused(t, "no key at all", Config{})
	refused(t, "a short secret", Config{SecretFile: write(t, "s", "short")})
	refused(t, "an absent secret", Config{SecretFile: filepath.Join(t.TempDir(), "absent")})
	refused(t, "two kinds of keys", Config{SecretFile: write(t, "s", secret), JWKSFile: both})
}

// refused holds that a configuration is refused with a remedy.
func refused(t *testing.T, name string, cfg Config) {
	t.Helper()
	if _, err := NewVerifier(cfg); err == nil {
		t.Errorf("%s: accepted", name)
	} else if !strings.Contains(err.Error(), "; ") {
		t.Errorf("%s: no remedy in %q", name, err)
	}
}

// TestOpenSecretIsNamed warns of a secret that every user of the host can read.
func TestOpenSecretIsNamed(t *testing.T) {
	file := write(t, "s", secret)
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		if _, err := NewVerifier(Config{SecretFile: file, Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "chmod o= "+file); got != want {
			t.Errorf("mode %04o: %q", mode, log.String())
		}
	}
}

func TestReload(t *testing.T) {
	file := write(t, "secret", secret)
	v, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	token, err := Mint(file, "vasya", nil, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v.Reload() == nil {
		t.Fatal("a bad secret is taken")
	}
	if _, err := v.Check(token); err != nil {
		t.Fatalf("after a failed reload: %v", err)
	}
	if err := os.WriteFile(file, []byte(secret+"new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Check(token); !errors.Is(err, ErrInvalid) {
		t.Fatalf("after the change: %v", err)
	}
}

func TestRequest(t *testing.T) {
	for _, x := range []struct{ header, query, want string }{
		{"Bearer abc", "", "abc"}, {"bearer  abc", "", "abc"}, {"Basic abc", "token=q", "q"},
		{"", "token=q", "q"}, {"Bearer abc", "token=q", "abc"}, {"", "nottoken=q", ""}, {"", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/ws?"+x.query, nil)
		if x.header != "" {
			r.Header.Set("Authorization", x.header)
		}
		if got := FromRequest(r); got != x.want {
			t.Errorf("%+v: got %q", x, got)
		}
	}
	v, err := NewVerifier(Config{SecretFile: write(t, "secret", secret)})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	v.Require(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/config?token=secret-thing", nil))
	var body struct{ Error, Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusUnauthorized || body.Error != "unauthorized" {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	if strings.Contains(w.Body.String(), "secret-thing") || w.Header().Get("WWW-Authenticate") == "" {
		t.Fatalf("%s %v", w.Body, w.Header())
	}
}

func TestMint(t *testing.T) {
	file := write(t, "secret", secret)
	later := time.Now().Add(time.Hour)
	for name, err := range map[string]error{
		"session name": second(Mint(file, "s_x", nil, later)),
		"space":        second(Mint(file, "a b", nil, later)),
		"long":         second(Mint(file, strings.Repeat("a", 65), nil, later)),
		"past":         second(Mint(file, "vasya", nil, time.Now())),
		"no file":      second(Mint(file+"x", "vasya", nil, later)),
	} {
		if err == nil {
			t.Errorf("%s: minted", name)
		}
	}
}

func second(_ string, err error) error { return err }

func FuzzCheck(f *testing.F) {
	file := filepath.Join(f.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		f.Fatal(err)
	}
	v, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		// Nobody without the secret can sign: whatever the fuzzer finds is no token.
		if c, err := v.Check(token); err == nil {
			t.Fatalf("%q is accepted as %+v", token, c)
		}
	})
}
