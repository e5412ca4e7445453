package access

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

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
