package events

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSignature holds the signature against the example of Standard Webhooks' own
// libraries.
func TestSignature(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets, err := ReadSecrets(file, false)
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	at := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	secrets.Sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signed %s", got)
	}
	if err := secrets.Verify(h, at.Add(time.Minute), body); err != nil {
		t.Error(err)
	}

	change := func(what string, f func(h http.Header), now time.Time, body string) {
		other := h.Clone()
		f(other)
		if secrets.Verify(other, now, []byte(body)) == nil {
			t.Errorf("%s: believed", what)
		}
	}
	same := func(http.Header) {}
	change("another body", same, at, `{"test": 2432232315}`)
	change("a replay", same, at.Add(6*time.Minute), string(body))
	change("from the future", same, at.Add(-6*time.Minute), string(body))
	change("another time", func(h http.Header) { h.Set(headerTimestamp, "1614265331") }, at, string(body))
	change("another id", func(h http.Header) { h.Set(headerID, "msg_x") }, at, string(body))
	change("no id", func(h http.Header) { h.Del(headerID) }, at, string(body))
	change("no time", func(h http.Header) { h.Del(headerTimestamp) }, at, string(body))
	change("no signature", func(h http.Header) { h.Del(headerSignature) }, at, string(body))
	change("another version", func(h http.Header) {
		h.Set(headerSignature, strings.Replace(h.Get(headerSignature), "v1,", "v1a,", 1))
	}, at, string(body))
	other := Secrets{[]byte("another secret of enough bytes, really")}
	if other.Verify(h, at, body) == nil {
		t.Error("another secret: believed")
	}
	// While the secret is replaced both ends may know either.
	both := Secrets{other[0], secrets[0]}
	both.Sign(h, "id", at, body)
	for _, s := range []Secrets{other, secrets, both} {
		if err := s.Verify(h, at, body); err != nil {
			t.Error(err)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "made")
	made, err := ReadSecrets(file, true)
	if err != nil || len(made) != 1 || len(made[0]) != 32 {
		t.Fatal(made, err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
	again, err := ReadSecrets(file, true)
	if err != nil || string(again[0]) != string(made[0]) {
		t.Error("made anew", err)
	}
	for what, text := range map[string]string{
		"empty": "\n", "short": "whsec_c2hvcnQ=\n", "no base64": "whsec_!!!!\n",
		"too many": strings.Repeat("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 5),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSecrets(file, false); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	if _, err := ReadSecrets(filepath.Join(dir, "none"), false); err == nil {
		t.Error("no file: taken")
	}
}
