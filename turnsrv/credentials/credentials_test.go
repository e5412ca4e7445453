package credentials

import (
	"crypto/md5"
	"testing"
	"time"

	"github.com/pion/turn/v4"
)

func TestCredentialsAgreeWithPion(t *testing.T) {
	c, err := New([]string{"north", "old"})
	if err != nil {
		t.Fatal(err)
	}
	username, password := c.Mint("alice", time.Unix(1900000000, 0))
	if username != "1900000000:alice" {
		t.Fatalf("username %q", username)
	}
	if want := md5.Sum([]byte(username + ":turnhub:" + password)); c.Keys(username, "turnhub")[0] != want {
		t.Error("the first key is not the signing secret's")
	}
	if want := turn.GenerateAuthKey(username, "turnhub", password); string(want) != string(c.Keys(username, "turnhub")[0][:]) {
		t.Error("key differs from pion's GenerateAuthKey")
	}
	old, _ := New([]string{"old"})
	username, password = old.Mint("bob", time.Unix(1900000000, 0))
	if want := turn.GenerateAuthKey(username, "turnhub", password); string(want) != string(c.Keys(username, "turnhub")[1][:]) {
		t.Error("a rotated secret no longer verifies")
	}
}

func TestMintMatchesPionREST(t *testing.T) {
	// pion signs "now + duration"; sign the very same username with ours.
	username, password, err := turn.GenerateLongTermTURNRESTCredentials("secret", "carol", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	expires, user, err := ParseUsername(username)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := New([]string{"secret"})
	if u, p := c.Mint(user, expires); u != username || p != password {
		t.Errorf("minted %q %q, pion %q %q", u, p, username, password)
	}
}

func TestParseUsername(t *testing.T) {
	for _, tc := range []struct {
		in, user string
		unix     int64
		bad      bool
	}{
		{in: "1700000000:a:b", user: "a:b", unix: 1700000000},
		{in: "1700000000", unix: 1700000000},
		{in: "1700000000:", unix: 1700000000},
		// What coturn takes besides.
		{in: "bob:1700000000", user: "bob", unix: 1700000000},
		{in: "bob:1700000000:room", user: "bob", unix: 1700000000},
		{in: ":1700000000", unix: 1700000000},
		{in: ":1700000000:bob", user: "bob", unix: 1700000000},
		{in: "1700000000_bob", user: "bob", unix: 1700000000},
		{in: "1700000000_bob_the_builder", user: "bob_the_builder", unix: 1700000000},
		{in: "1700000000bob", user: "bob", unix: 1700000000},
		{in: "1700000000-bob", user: "bob", unix: 1700000000},
		{in: "1700000000|@bob:example.org", user: "@bob:example.org", unix: 1700000000},
		{in: "bob_1700000000", user: "bob", unix: 1700000000},
		{in: "1700000000:1800000000", user: "1800000000", unix: 1700000000},
		{in: "1700000000:_bob", user: "_bob", unix: 1700000000},
		{in: "1700000000_", unix: 1700000000},
		{in: "1700000000_é", user: "é", unix: 1700000000},
		{in: "@bob:example.org", bad: true},
		{in: "bob:", bad: true},
		{in: "bob1700000000", bad: true},
		{in: "_1700000000", bad: true},
		{in: ":", bad: true},
		{in: "::", bad: true},
		{in: "::1700000000", bad: true},
		{in: "+1700000000:bob", bad: true},
		{in: "alice", bad: true},
		{in: ":alice", bad: true},
		{in: "-1:alice", bad: true},
		{in: "99999999999999999999:alice", bad: true},
		{in: "", bad: true},
	} {
		expires, user, err := ParseUsername(tc.in)
		if (err != nil) != tc.bad {
			t.Errorf("%q: error %v", tc.in, err)
		} else if err == nil && (user != tc.user || expires.Unix() != tc.unix) {
			t.Errorf("%q: got %v %q", tc.in, expires.Unix(), user)
		}
	}
}

func TestSecretsAreRefusedWhenEmpty(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("no secrets were accepted")
	}
	c, _ := New([]string{"good"})
	if err := c.Set([]string{"better", ""}); err == nil {
		t.Error("an empty secret was accepted")
	}
	if u, p := c.Mint("x", time.Unix(1, 0)); p != sign("good", u) {
		t.Error("a refused reload changed the secret")
	}
}
