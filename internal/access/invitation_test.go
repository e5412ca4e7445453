package access

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// inviting returns a verifier with a secret, and what mints a token of vasya's.
func inviting(t *testing.T, state string) (*Verifier, func(rooms []string, life time.Duration) string) {
	t.Helper()
	file := write(t, "secret", secret)
	v, err := NewVerifier(Config{SecretFile: file, InvitationKeyFile: filepath.Join(state, "invitation-key"), CredentialLife: func() time.Duration { return time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	return v, func(rooms []string, life time.Duration) string {
		token, err := Mint(file, "vasya", rooms, time.Now().Add(life))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
}

func TestInvitation(t *testing.T) {
	v, mint := inviting(t, t.TempDir())
	own := mint(nil, 48*time.Hour)
	made, err := v.Invite(own, "blue-fox")
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Check(made.Token)
	if err != nil || c.User != made.Guest || !IsGuest(c.User) || !ValidUser(c.User) || !c.AllowsRoom("blue-fox") || c.AllowsRoom("red-fox") || c.AllowsRoom("") || !c.InvitedBy("vasya") {
		t.Fatalf("%+v, %v", c, err)
	}
	if life := time.Until(c.Expires); life > InvitationLife || life < InvitationLife-time.Minute || !c.Expires.Equal(made.Expires) {
		t.Error(life)
	}
	if len(made.Token) > 80 {
		t.Errorf("%d characters make a dense QR code", len(made.Token))
	}
	if again, _ := v.Invite(own, "blue-fox"); again.Guest == made.Guest {
		t.Error("two invitations are one guest")
	}
	if short, _ := v.Invite(mint(nil, time.Minute), "blue-fox"); time.Until(short.Expires) > time.Minute {
		t.Error("it outlives the token of whoever invites:", short.Expires)
	}
	for _, room := range []string{"red", "", strings.Repeat("a", 129)} {
		if _, err := v.Invite(mint([]string{"blue"}, time.Hour), room); !errors.Is(err, ErrOtherRoom) {
			t.Errorf("room %q: %v", room, err)
		}
	}
	if _, err := v.Invite("nonsense", "blue"); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := v.Invite("", "blue"); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}

	// Whatever is changed in it, it is none any more.
	sealed, _ := base64.RawURLEncoding.DecodeString(made.Token[len(invitationPrefix):])
	for i := range sealed {
		for _, bit := range []byte{1, 128} {
			bad := append([]byte(nil), sealed...)
			bad[i] ^= bit
			if _, err := v.Check(invitationPrefix + base64.RawURLEncoding.EncodeToString(bad)); !errors.Is(err, ErrInvalid) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	for n := range len(made.Token) {
		if _, err := v.Check(made.Token[:n]); err == nil {
			t.Fatal("cut at", n)
		}
	}
	if _, err := v.Check(made.Token + "A"); err == nil {
		t.Error("longer")
	}
}

func TestInvitedInvite(t *testing.T) {
	v, mint := inviting(t, t.TempDir())
	first, err := v.Invite(mint(nil, time.Hour), "blue")
	if err != nil {
		t.Fatal(err)
	}
	last := first
	for hand := 2; hand <= maxHands; hand++ {
		next, err := v.Invite(last.Token, "blue")
		if err != nil {
			t.Fatal(err)
		}
		if next.Token == last.Token || next.Guest == last.Guest || next.Expires.After(first.Expires) {
			t.Fatalf("hand %d: %+v after %+v", hand, next, last)
		}
		last = next
	}
	if _, err := v.Invite(last.Token, "blue"); !errors.Is(err, ErrTooManyHands) {
		t.Error(err)
	}
	if _, err := v.Invite(first.Token, "red"); !errors.Is(err, ErrOtherRoom) {
		t.Error("a guest invites into another room:", err)
	}
	if c, err := v.Check(last.Token); err != nil || !c.InvitedBy("vasya") || !c.InvitedBy(first.Guest) || c.InvitedBy(last.Guest) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestRevokedInvitations(t *testing.T) {
	for _, who := range []string{"vasya", "guest", "other", "later"} {
		v, mint := inviting(t, t.TempDir())
		guest, _ := v.Invite(mint(nil, time.Hour), "blue")
		friend, _ := v.Invite(guest.Token, "blue")
		other, _ := v.Invite(mint(nil, time.Hour), "blue")
		claims, err := v.Check(friend.Token)
		if err != nil {
			t.Fatal(err)
		}
		expires := time.Now().Add(time.Hour)                                              // of credentials that were given out before
		want := map[string]bool{guest.Token: true, friend.Token: true, other.Token: true} // whether it is void
		switch who {
		case "vasya":
			v.Mark("vasya")
		case "guest":
			v.Mark(guest.Guest)
			want[other.Token] = false
		case "other":
			v.Mark(other.Guest)
			want[guest.Token], want[friend.Token] = false, false
		case "later":
			v.Mark("petya")
			want = map[string]bool{guest.Token: false, friend.Token: false, other.Token: false}
		}
		for token, void := range want {
			if _, err := v.Check(token); errors.Is(err, ErrRevoked) != void {
				t.Errorf("%s is revoked: %v, want void %v", who, err, void)
			}
			if _, err := v.Invite(token, "blue"); errors.Is(err, ErrRevoked) != void {
				t.Errorf("%s is revoked: inviting on gives %v", who, err)
			}
		}
		if claims.Revoked() != want[friend.Token] {
			t.Errorf("%s is revoked: the claims that were checked before do not say so", who)
		}
		// TURN credentials tell a name only: the guest's, or that of a guest's session.
		for _, name := range []string{guest.Guest, SessionPrefix + SessionTag(guest.Guest) + "xyz"} {
			if void := v.VoidsCredentials(name, expires); void != (who == "vasya" || who == "guest" && name == guest.Guest) {
				t.Errorf("%s is revoked: credentials of %s are void: %v", who, name, void)
			}
		}
		if v.VoidsCredentials(SessionPrefix+SessionTag("vasya")+"xyz", expires) != (who == "vasya") {
			t.Errorf("%s is revoked, and it means the inviter", who)
		}
	}
}

// TestInvitationsEnd with their time, with the operator's key, and with their own.
func TestInvitationsEnd(t *testing.T) {
	dir := t.TempDir()
	v, mint := inviting(t, dir)
	made, _ := v.Invite(mint(nil, time.Hour), "blue")
	i, ok := decodeInvitation(made.Token, v.invitationKey)
	if !ok {
		t.Fatal("it cannot be read")
	}
	for name, x := range map[string]struct {
		change func(*invitation)
		want   error
	}{
		"over":            {func(i *invitation) { i.expires = time.Now().Add(-time.Second) }, ErrInvitationExpired},
		"from the future": {func(i *invitation) { i.issued = time.Now().Add(time.Minute) }, ErrInvalid},
		"too long":        {func(i *invitation) { i.issued = i.expires.Add(-InvitationLife - time.Minute) }, ErrInvalid},
		"other key":       {func(i *invitation) { i.key[0]++ }, ErrInvalid},
		"as it is":        {func(*invitation) {}, nil},
	} {
		changed := i
		x.change(&changed)
		if _, err := v.Check(changed.encode(v.invitationKey)); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	again, _ := inviting(t, dir)
	if _, err := again.Check(made.Token); err != nil {
		t.Error("after a restart:", err)
	}
	elsewhere, _ := inviting(t, t.TempDir())
	if _, err := elsewhere.Check(made.Token); !errors.Is(err, ErrInvalid) {
		t.Error("on another server:", err)
	}
	if err := os.WriteFile(v.cfg.SecretFile, []byte(secret+"new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Check(made.Token); !errors.Is(err, ErrInvalid) {
		t.Error("the operator has changed the key of the tokens:", err)
	}
}

func TestInvitationKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "invitation-key")
	one, err := invitationKeyOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if two, err := invitationKeyOf(path); err != nil || string(two) != string(one) {
		t.Error("it is another one after a restart:", err)
	}
	for name, text := range map[string]string{"empty": "", "half": "abcd", "no base64": strings.Repeat("!", 44), "long": strings.Repeat("A", 200)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := invitationKeyOf(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadFile(path); string(left) != text {
			t.Errorf("%s: written over", name)
		}
	}
}

func TestInvitationsWithJWKS(t *testing.T) {
	var keys []ed25519.PrivateKey
	var set jose.JSONWebKeySet
	for _, id := range []string{"a", "b"} {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, private)
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: id})
	}
	save := func(file string, set jose.JSONWebKeySet) {
		b, _ := json.Marshal(set)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	save(file, set)
	v, err := NewVerifier(Config{JWKSFile: file})
	if err != nil {
		t.Fatal(err)
	}
	var made [2]Invitation
	for n := range keys {
		token := sign(t, jwt.SigningMethodEdDSA, "", keys[n], jwt.MapClaims{"sub": "vasya", "exp": time.Now().Add(time.Hour).Unix()})
		if made[n], err = v.Invite(token, "blue"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Check(made[n].Token); err != nil {
			t.Fatal(err)
		}
	}
	save(file, jose.JSONWebKeySet{Keys: set.Keys[1:]})
	if err := v.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Check(made[0].Token); !errors.Is(err, ErrInvalid) {
		t.Error("its inviter's key is gone:", err)
	}
	if _, err := v.Check(made[1].Token); err != nil {
		t.Error("its inviter's key has stayed:", err)
	}
}
