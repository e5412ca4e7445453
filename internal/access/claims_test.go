package access

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestRevokedCredentials holds which TURN credentials a revocation voids: of the user
// and of the user's sessions, also of those that are gone, given out until now.
func TestRevokedCredentials(t *testing.T) {
	const life = time.Hour
	now := time.Now()
	anna := SessionPrefix + SessionTag("anna") + "0123456789"
	bob := SessionPrefix + SessionTag("bob") + "0123456789"
	bob2 := SessionPrefix + SessionTag("bob") + "9876543210"
	for _, open := range []bool{false, true} {
		cfg := Config{Open: open, CredentialLife: func() time.Duration { return life }, RevokedFile: filepath.Join(t.TempDir(), "revoked.json")}
		if !open {
			cfg.SecretFile = write(t, "secret", secret)
		}
		v, err := NewVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"anna", bob} {
			if err := v.Revoke(name); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string) {
			t.Helper()
			for _, x := range []struct {
				user    string
				expires time.Time
				void    bool
			}{
				{"anna", now.Add(life), true}, {anna, now.Add(life), true}, {anna, now.Add(time.Minute), true},
				{"anna", now.Add(life + 15*time.Second), open}, {"anna", now.Add(366 * 24 * time.Hour), true}, {anna, now.Add(12 * life), true},
				{"bob", now.Add(366 * 24 * time.Hour), false}, {bob2, now.Add(12 * life), false},
				{bob, now.Add(life), true}, {bob2, now.Add(life), false}, {"bob", now.Add(life), false},
				{"annabel", now.Add(life), false}, {"s_", now.Add(life), false}, {"", now.Add(life), false},
			} {
				if got := v.VoidsCredentials(x.user, x.expires); got != x.void {
					t.Errorf("open %v, %s: %s until %v: void %v", open, when, x.user, x.expires.Sub(now), got)
				}
			}
			if barred := !v.BarredUntil("anna").IsZero(); barred != open || !v.BarredUntil(bob).IsZero() {
				t.Errorf("open %v, %s: the name is barred: %v", open, when, barred)
			}
		}
		check("at once")
		if v, err = NewVerifier(cfg); err != nil {
			t.Fatal(err)
		}
		check("after a restart")
		v.list.set("anna", now.Add(-life-time.Minute))
		if v.VoidsCredentials("anna", now.Add(life)) || !v.BarredUntil("anna").IsZero() {
			t.Error("a name is refused for longer than its credentials are good")
		}
	}
}

// TestClaimsByTheirNames holds that a token says the same to us as to whoever issued
// it: names count with their case, once, and an empty list of rooms is no room.
func TestClaimsByTheirNames(t *testing.T) {
	v, err := NewVerifier(Config{SecretFile: write(t, "secret", secret)})
	if err != nil {
		t.Fatal(err)
	}
	soon := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	past := fmt.Sprint(time.Now().Add(-time.Hour).Unix())
	every, none, a := []string{"a", "b"}, []string{}, []string{"a"}
	for _, x := range []struct {
		members string // beside sub and exp
		rooms   []string
		err     string // "": it is let in
	}{
		{``, every, ""}, {`,"rooms":["a"]`, a, ""}, {`,"rooms":[]`, none, ""}, {`,"rooms":["a"],"other":{"rooms":[]}`, a, ""},
		{`,"name":"Anna","Name":"Anna"`, every, ""},
		{`,"rooms":null`, nil, "rooms is null"}, {`,"rooms":"a"`, nil, "list of strings"}, {`,"rooms":[null]`, nil, "list of strings"},
		{`,"host":true`, every, ""}, {`,"host":"yes"`, nil, "host must be true or false"}, {`,"host":null`, nil, "host is null"}, {`,"Host":true`, nil, "write host"},
		{`,"rooms":{}`, nil, "list of strings"}, {`,"rooms":[["a"]]`, nil, "list of strings"}, {`,"rooms":[1]`, nil, "list of strings"},
		{`,"ROOMS":["a"]`, nil, "write rooms"}, {`,"Rooms":["a"]`, nil, "write rooms"}, {`,"rooms":["a"],"ROOMS":[]`, nil, "write rooms"},
		{`,"roomſ":["a"]`, nil, "write rooms"}, // encoding/json takes the long s for an s
		{`,"rooms":["a"],"rooms":[]`, nil, "twice"}, {`,"rooms":["a"],"rooms":[]`, nil, "twice"}, {`,"exp":` + soon, nil, "twice"},
		{`,"EXP":` + past, nil, "write exp"}, {`,"Sub":"bob"`, nil, "write sub"}, {`,"NBF":` + soon, nil, "write nbf"}, {`,"iAt":1`, nil, "write iat"},
		{`,"iat":null`, nil, "iat is null"}, {`,"nbf":null`, nil, "nbf is null"}, {`,"nbf":"soon"`, nil, "nbf has the wrong type"},
		{strings.Repeat(`,"x":1`, 1) + func() (s string) {
			for i := range 300 {
				s += fmt.Sprintf(`,"c%d":1`, i)
			}
			return s
		}(), nil, "more than 256 claims"},
	} {
		claims := `{"sub":"anna","exp":` + soon + x.members + `}`
		part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		signed := part(`{"alg":"HS256"}`) + "." + part(claims)
		mac, err := jwt.SigningMethodHS256.Sign(signed, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Check(signed + "." + base64.RawURLEncoding.EncodeToString(mac))
		if x.err != "" {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), x.err) {
				t.Errorf("%s: %v, want %q", claims, err, x.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", claims, err)
		}
		for _, room := range []string{"a", "b"} {
			if got := c.AllowsRoom(room); got != slices.Contains(x.rooms, room) {
				t.Errorf("%s: room %s %v", claims, room, got)
			}
		}
	}
	for _, claims := range []string{`[]`, `"x"`, `null`, `{"sub":null,"exp":` + soon + `}`, `{"sub":"anna","exp":null}`} {
		var c tokenClaims
		if claims != `null` && json.Unmarshal([]byte(claims), &c) == nil {
			t.Errorf("%s is taken", claims)
		}
	}
	file := write(t, "secret", secret)
	token, err := Mint(file, "anna", []string{}, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := v.Check(token); err != nil || c.AllowsRoom("a") {
		t.Errorf("a token minted for no room: %+v, %v", c, err)
	}
}

// TestConsumer: whatever a client calls itself in credentials, one answers for it.
func TestConsumer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := NewVerifier(Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	anna, proved := tokens.Consumer("anna")
	if !proved {
		t.Error("a token proves nothing")
	}
	for _, session := range []string{SessionPrefix + SessionTag("anna") + "0123456789", SessionPrefix + SessionTag("anna") + "abcdefghij"} {
		if name, proved := tokens.Consumer(session); name != anna || !proved {
			t.Errorf("%s is %s", session, name)
		}
	}
	if name, _ := tokens.Consumer("boris"); name == anna {
		t.Error("boris is anna")
	}
	open, err := NewVerifier(Config{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, proved := open.Consumer(SessionPrefix + SessionTag("anna") + "0123456789"); proved {
		t.Error("where access is open a name proves something")
	}
}
