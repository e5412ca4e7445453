package access

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

func TestRevoke(t *testing.T) {
	file := write(t, "secret", secret)
	v, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	mint := func(iat time.Time) string {
		return sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"sub": "vasya", "exp": time.Now().Add(time.Hour).Unix(), "iat": iat.Unix()})
	}
	now := time.Now()
	// The clock of whoever issues tokens may be 30 s ahead, and a token that does not
	// say when it was issued may be old.
	bare := sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"sub": "vasya", "exp": now.Add(time.Hour).Unix()})
	before := []string{mint(now.Add(-time.Hour)), mint(now), mint(now.Add(20 * time.Second)), bare}
	var in []Claims
	for i, token := range before {
		c, err := v.Check(token)
		if err != nil || c.Revoked() {
			t.Fatalf("%d: %v", i, err)
		}
		in = append(in, c)
	}
	// A verifier that has seen none of them has only its clock to go by.
	blank, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	blank.Mark("vasya")
	for i, token := range before {
		if _, err := blank.Check(token); !errors.Is(err, ErrRevoked) {
			t.Errorf("%d, not seen before: got %v, want ErrRevoked", i, err)
		}
	}
	if err := v.Revoke("vasya"); err != nil {
		t.Fatal(err)
	}
	for i, token := range before {
		if _, err := v.Check(token); !errors.Is(err, ErrRevoked) {
			t.Errorf("%d: got %v, want ErrRevoked", i, err)
		}
		if !in[i].Revoked() {
			t.Errorf("%d: who was let in before is not known as revoked", i)
		}
	}
	v.list.set("vasya", now.Add(-time.Minute))
	if c, err := v.Check(mint(now)); err != nil || c.Revoked() {
		t.Fatal(err)
	}
	for i := range MaxRevoked + 10 {
		v.Mark(strings.Repeat("x", 1+i%3) + time.Duration(i).String())
	}
	if len(v.list.at) > MaxRevoked || len(v.list.tags) > MaxRevoked {
		t.Fatalf("%d are remembered", len(v.list.at))
	}
	var none *Verifier
	if c, err := none.Check("anything"); err != nil || !c.AllowsRoom("any") || c.Revoked() || none.Revoke("vasya") != nil {
		t.Fatalf("mode open: %+v, %v", c, err)
	}
}

// A revocation outlasts a restart, unless its file cannot be written: then it
// holds until the restart, and both the answer and the log say so.
func TestRevokedAreKept(t *testing.T) {
	dir := t.TempDir()
	secretFile := write(t, "secret", secret)
	var log bytes.Buffer
	cfg := Config{SecretFile: secretFile, RevokedFile: filepath.Join(dir, "state", "revoked.json"), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	start := func() *Verifier {
		t.Helper()
		v, err := NewVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	token, err := Mint(secretFile, "vasya", nil, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	v := start()
	v.list.set("long-ago", time.Now().Add(-MaxLife-time.Hour))
	for _, name := range []string{"vasya", "petya"} {
		if err := v.Revoke(name); err != nil {
			t.Fatal(err)
		}
	}
	v = start()
	if _, err := v.Check(token); !errors.Is(err, ErrRevoked) || len(v.list.at) != 3 {
		t.Fatalf("after a restart: %v, %v", err, v.list.at)
	}
	if info, err := os.Stat(cfg.RevokedFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if log.Len() > 0 {
		t.Error(log.String())
	}
	if files, _ := os.ReadDir(filepath.Dir(cfg.RevokedFile)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}

	// No directory can be where a file is: nobody, not even root, can write there.
	cfg.RevokedFile = filepath.Join(secretFile, "revoked.json")
	v = &Verifier{cfg: cfg, keys: v.keys, list: newRevocations()}
	if err := v.Revoke("vasya"); err == nil || !strings.Contains(err.Error(), "until the server restarts") || !strings.Contains(err.Error(), "state_dir") {
		t.Errorf("the answer is %v", err)
	}
	if _, err := v.Check(token); !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v, want ErrRevoked", err)
	}
	if !strings.Contains(log.String(), "state_dir") {
		t.Errorf("the log says %q", log.String())
	}
}

// TestRevokedByTwoProcesses holds that two processes that write the same file, as
// during an upgrade in place, lose nothing of each other's, and that each can learn
// what the other has written.
func TestRevokedByTwoProcesses(t *testing.T) {
	cfg := Config{SecretFile: write(t, "secret", secret), RevokedFile: filepath.Join(t.TempDir(), "revoked.json")}
	var both [2]*Verifier
	for i := range both {
		v, err := NewVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		both[i] = v
	}
	const each = 40
	var writers sync.WaitGroup
	for i, v := range both {
		writers.Go(func() {
			for n := range each {
				if err := v.Revoke(fmt.Sprintf("user-%d-%d", i, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	third, err := NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range append(both[:], third) {
		if err := v.LoadRevoked(); err != nil {
			t.Fatal(err)
		}
		for i := range both {
			for n := range each {
				if user := fmt.Sprintf("user-%d-%d", i, n); v.RevokedAt(user).IsZero() {
					t.Errorf("the revocation of %s is lost", user)
				}
			}
		}
	}
}

func TestLongestLife(t *testing.T) {
	file := write(t, "secret", secret)
	v, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Mint(file, "vasya", nil, time.Now().Add(MaxLife+time.Hour)); err == nil {
		t.Error("a token that is too long was made")
	}
	now := time.Now()
	for _, x := range []struct {
		claims jwt.MapClaims
		want   error
	}{
		{jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(MaxLife - time.Hour).Unix()}, nil},
		{jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(MaxLife + time.Hour).Unix()}, ErrTooLong},
		{jwt.MapClaims{"iat": now.Add(-MaxLife).Unix(), "exp": now.Add(time.Hour).Unix()}, ErrTooLong},
		{jwt.MapClaims{"exp": now.Add(time.Hour).Unix()}, nil},
		{jwt.MapClaims{"exp": now.Add(MaxLife + time.Hour).Unix()}, ErrTooLong},
	} {
		x.claims["sub"] = "vasya"
		if _, err := v.Check(sign(t, jwt.SigningMethodHS256, "", []byte(secret), x.claims)); !errors.Is(err, x.want) {
			t.Errorf("%v: %v, want %v", x.claims, err, x.want)
		}
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

// The machine's clock is set under revocations: none is lost by that.
func TestRevokedUnderAClockThatIsSet(t *testing.T) {
	file := write(t, "secret", secret)
	v, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	token, err := Mint(file, "vasya", nil, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Check(token); err != nil {
		t.Fatal(err)
	}
	// Revoked while the clock is an hour behind what it was when the token was issued.
	v.remember("vasya", v.revocationTime(time.Now().Add(-time.Hour)))
	if _, err := v.Check(token); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked by a clock that was set back: %v", err)
	}
	v.Revoke("petya")
	at := v.RevokedAt("petya")
	v.remember("petya", at.Add(-time.Hour)) // again, by a clock that was set back
	v.remember("masha", time.Now().Add(10*MaxLife))
	if !v.RevokedAt("petya").Equal(at) {
		t.Errorf("revoked at %v, then at %v", at, v.RevokedAt("petya"))
	}
	if _, err := v.Check(token); !errors.Is(err, ErrRevoked) {
		t.Errorf("after a step forward by ten years: %v", err)
	}
}
