package push

import (
	"crypto/ecdh"
	"encoding/base64"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turnhub/internal/statefile"
)

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectorOf8291 is RFC 8291, section 5 and appendix A.
func TestVectorOf8291(t *testing.T) {
	private, err := ecdh.P256().NewPrivateKey(bytesOf(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := ecdh.P256().NewPrivateKey(bytesOf(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	auth := bytesOf(t, "BTBZMqHH6r4Tts7J_aSIgg")
	const text = "When I grow up, I want to be a watermelon"
	got, err := seal([]byte(text), 0, receiver.PublicKey(), auth, private, bytesOf(t, "DGv6ra1nlYgDCS1FRnbzlw"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if s := base64.RawURLEncoding.EncodeToString(got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	// The reader of the other tests, too, reads what the RFC has written.
	read, err := open8291(bytesOf(t, want), receiver, auth)
	if err != nil || string(read) != text {
		t.Errorf("read %q, %v", read, err)
	}
}

// TestVectorOf8188 is RFC 8188, section 3.1.
func TestVectorOf8188(t *testing.T) {
	got, err := seal8188([]byte("I am the walrus"), 0, bytesOf(t, "yqdlZ-tYemfogSmv7Ws5PQ"), bytesOf(t, "I1BsxtFttlv3u_Oo94xnmw"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg"
	if s := base64.RawURLEncoding.EncodeToString(got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TestVectorOf8292: the header of RFC 8292, section 2.4, passes the check that the other
// tests put ours to, for its own time and audience alone.
func TestVectorOf8292(t *testing.T) {
	const header = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, " +
		"k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
	end := time.Unix(1453523768, 0)
	claims, err := open8292(header, "https://push.example.net", end.Add(-time.Hour))
	if err != nil || claims["sub"] != "mailto:push@example.com" {
		t.Errorf("%v, %v", claims, err)
	}
	for what, ask := range map[string]func() error{
		"after its end":       func() error { _, err := open8292(header, "https://push.example.net", end); return err },
		"for another service": func() error { _, err := open8292(header, "https://push.example.org", end.Add(-time.Hour)); return err },
		"more than a day long": func() error {
			_, err := open8292(header, "https://push.example.net", end.Add(-25*time.Hour))
			return err
		},
		"signature spoilt": func() error {
			_, err := open8292(strings.Replace(header, "iff", "ifg", 1)[:len(header)-100]+"A"+header[len(header)-99:], "https://push.example.net", end.Add(-time.Hour))
			return err
		},
	} {
		if ask() == nil {
			t.Errorf("taken %s", what)
		}
	}
}

// TestKey: it is made once, and read again; what is damaged is said, not replaced.
func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "push-key")
	k, err := OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenKey(path); err != nil || again.Public() != k.Public() {
		t.Fatalf("%v: another key", err)
	}
	endpoint, _ := url.Parse("https://push.example.net:8443/p/x")
	now := time.Now()
	header, err := k.authorization(endpoint, "mailto:a@example.org", now)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := open8292(header, "https://push.example.net:8443", now)
	if err != nil || claims["sub"] != "mailto:a@example.org" || !strings.HasSuffix(header, "k="+k.Public()) {
		t.Errorf("%v, %v", claims, err)
	}
	// One token serves for a while, whichever way the clock is set meanwhile.
	for after, same := range map[time.Duration]bool{time.Hour: true, 7 * time.Hour: false, -24 * time.Hour: false} {
		one, err := k.authorization(endpoint, "mailto:a@example.org", now)
		if err != nil {
			t.Fatal(err)
		}
		other, err := k.authorization(endpoint, "mailto:a@example.org", now.Add(after))
		if err != nil || (one == other) != same {
			t.Errorf("after %v: same %v, %v", after, one == other, err)
		}
		if _, err := open8292(other, "https://push.example.net:8443", now.Add(after)); err != nil {
			t.Errorf("after %v: %v", after, err)
		}
		clear(k.tokens)
	}
	for _, text := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := statefile.Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKey(path); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
