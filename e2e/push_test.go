package e2e

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestPushOutlivesKill: a server that was killed rings the same devices when it runs
// again, keeps their name for who has proved it, and tells of the call that was missed
// before.
func TestPushOutlivesKill(t *testing.T) {
	t.Parallel()
	posts := make(chan string, 100)
	service := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts <- r.URL.Path
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(service.Close)
	known := filepath.Join(t.TempDir(), "push-service.pem")
	if err := os.WriteFile(known, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, map[string]map[string]any{"push": {"services": []string{service.Listener.Addr().String()}, "allow": []string{"127.0.0.0/8"}}})
	s.kill(t)
	s.environ = append(s.environ, "SSL_CERT_FILE="+known)
	s.run(t)

	// Two devices of one user, closed again.
	for i, device := range []string{"phone", "desk"} {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		petya := s.greet(t, "petya")
		petya.say(t, fmt.Sprintf(`{"type":"push-subscribe","id":1,"seq":1,"subscription":{"endpoint":"%s/%s","keys":{"p256dh":%q,"auth":%q}}}`,
			service.URL, device, base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{byte(i)}, 16))))
		petya.hear(t, "ok") // it is on disk
		petya.say(t, `{"type":"bye"}`)
		petya.socket.Close()
	}
	s.kill(t)
	s.run(t)

	rung := func() {
		t.Helper()
		var devices []string
		for len(devices) < 2 {
			select {
			case device := <-posts:
				devices = append(devices, device)
			case <-time.After(30 * time.Second):
				t.Fatalf("only %v were rung", devices)
			}
		}
		if slices.Sort(devices); !slices.Equal(devices, []string{"/desk", "/phone"}) {
			t.Fatalf("rung: %v", devices)
		}
	}
	vasya := s.greet(t, "vasya")
	vasya.say(t, `{"type":"invite","user":"petya","id":1,"seq":1}`)
	var calling struct{ Call string }
	if err := json.Unmarshal(vasya.hear(t, "calling"), &calling); err != nil || calling.Call == "" {
		t.Fatal(err)
	}
	rung()
	vasya.say(t, fmt.Sprintf(`{"type":"hangup","call":%q,"id":2,"seq":2}`, calling.Call))
	rung() // it stops
	until(t, "the missed call is on disk", func() bool { return onDisk(t, s, calling.Call) })
	s.kill(t)
	s.run(t)

	stranger := s.hubSocket(t)
	stranger.say(t, `{"type":"hello","user":"petya","userSecret":"87654321"}`)
	var refusal struct{ Code string }
	if err := json.Unmarshal(stranger.hear(t, "error"), &refusal); err != nil || refusal.Code != "user-taken" {
		t.Errorf("a stranger is told %q, %v", refusal.Code, err)
	}
	s.greet(t, "vasya").say(t, `{"type":"invite","user":"petya","id":1,"seq":1}`)
	rung()
	var missed struct{ Call, User, Reason string }
	if err := json.Unmarshal(s.greet(t, "petya").hear(t, "missed"), &missed); err != nil || missed.Call != calling.Call || missed.User != "vasya" || missed.Reason != "canceled" {
		t.Errorf("%+v, %v", missed, err)
	}
}

// onDisk reports whether the file of subscriptions, as a killed server would leave it,
// has a text in some record.
func onDisk(t *testing.T, s *server, text string) (found bool) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(filepath.Dir(s.file), "state", "push", "push.db"))
	if err != nil {
		return false
	}
	as := filepath.Join(t.TempDir(), "push.db")
	if err := os.WriteFile(as, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(as, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return false // it was read while it was being written
	}
	defer db.Close()
	_ = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("users")).ForEach(func(_, record []byte) error {
			found = found || bytes.Contains(record, []byte(text))
			return nil
		})
	})
	return found
}
