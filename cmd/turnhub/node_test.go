package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"turnhub/internal/config"
	"turnhub/internal/probe"
)

// startNode makes a node from environment variables alone.
func startNode(t *testing.T, ctx context.Context, environ []string, log *output) *node {
	t.Helper()
	cfg, err := config.Load("", environ)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(ctx, cfg, newLogger(cfg.Log, log, nil), new(inherited))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRechecker holds that no change is lost, and that many become one.
func TestRechecker(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]bool)
	all, calls := false, 0
	ended := make(chan string, 1)
	r := newRechecker()
	r.recheck = func(users ...string) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		all = all || len(users) == 0
		for _, u := range users {
			told[u] = true
		}
	}
	r.revoke = func(user string) int { ended <- user; return 1 }
	r.change("a", "b")
	r.change("b", "c")
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { r.serve(ctx) })
	r.end("s_x") // after the changes
	if got := <-ended; got != "s_x" {
		t.Error(got)
	}
	for range 2 * maxPending {
		r.change("d")
	}
	many := make([]string, 2*maxPending)
	for i := range many {
		many[i] = string(rune('A' + i))
	}
	r.change(many...)
	r.end("s_y")
	<-ended
	r.end("s_z") // what came before it has been told when this is
	<-ended
	cancel()
	served.Wait()
	mu.Lock()
	defer mu.Unlock()
	if !told["a"] || !told["b"] || !told["c"] || !all || calls > maxPending {
		t.Error(told, all, calls)
	}
}

// TestExposed warns of an admin listener that other machines reach, and of no other.
func TestExposed(t *testing.T) {
	if w := exposed(nil, ""); w != nil {
		t.Error(w)
	}
	for address, want := range map[string]int{"127.0.0.1:0": 0, ":0": 1, "0.0.0.0:0": 1} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := exposed(ln, ""); len(got) != want {
			t.Errorf("%s: %v", address, got)
		}
		if got := exposed(ln, "token"); got != nil {
			t.Errorf("%s, with a token: %v", address, got)
		}
		ln.Close()
	}
}

// TestRevokedUser takes the relay from a revoked user until that user gets new credentials.
func TestRevokedUser(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token-secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	port := freePort(t)
	var log output
	n := startNode(t, ctx, []string{
		"STATE_DIRECTORY=" + t.TempDir(), fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port),
		"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_CREDENTIALS_TTL=2h",
		"TURNHUB_ACCESS_MODE=token", "TURNHUB_ACCESS_TOKEN_SECRET_FILE=" + secret,
	}, &log)
	var served sync.WaitGroup
	served.Go(func() { n.serve(ctx) })
	allocates := func(user string, expires time.Time) error {
		username, password := n.credentials.Mint(user, expires)
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		_, err := probe.RoundTrip(ctx, fmt.Sprintf("turn:%s?transport=udp", at), username, password, probe.Options{Address: at})
		return err
	}
	<-n.prober.First()
	now := time.Now()
	if err := allocates("bob", now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	n.hub.Revoke("bob")
	if err := allocates("bob", now.Add(2*time.Hour)); err == nil {
		t.Error("credentials from before the revocation open an allocation")
	}
	for _, user := range []string{"bob", "eve"} {
		if err := allocates(user, time.Now().Add(2*time.Hour+time.Second)); err != nil {
			t.Errorf("%s with new credentials: %v", user, err)
		}
	}
	cancel()
	served.Wait()
}

// TestRevocationAnswers holds what the admin listener says of a revocation: in mode open
// for how long the name stays out and whom that does not keep out, and anywhere that it
// could not be written down. A file that cannot be read is left as it is.
func TestRevocationAnswers(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	state, port := t.TempDir(), freePort(t)
	var log output
	n := startNode(t, ctx, []string{
		"STATE_DIRECTORY=" + state, fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port),
		"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1",
	}, &log)
	var served sync.WaitGroup
	served.Go(func() { n.serve(ctx) })
	<-n.prober.First()
	operator := n.adminHandler()
	revoke := func(name string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/revoke", strings.NewReader(`{"user":"`+name+`"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		operator.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		n.web.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		return w.Code, w.Body.String()
	}
	username, password := n.credentials.Mint("mallory", time.Now().Add(n.cfg.Credentials.TTL))
	allocate := func() error {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		_, err := probe.RoundTrip(ctx, fmt.Sprintf("turn:%s?transport=udp", at), username, password, probe.Options{Address: at})
		return err
	}
	if err := allocate(); err != nil {
		t.Fatal(err)
	}
	if status, body := revoke("mallory"); status != 200 || !strings.Contains(body, "refused until") || !strings.Contains(body, "access.mode is open") {
		t.Errorf("%d %s", status, body)
	}
	if allocate() == nil {
		t.Error("credentials of a revoked name open an allocation")
	}
	for _, path := range []string{"/config?user=mallory", "/turn?service=turn&username=mallory"} {
		if status, body := get(path); status != 403 || !strings.Contains(body, "mallory") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := get("/config?user=anna"); status != 200 {
		t.Errorf("another name: %d %s", status, body)
	}
	file := filepath.Join(state, "revoked.json")
	if err := os.WriteFile(file, []byte("{\"half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, body := revoke("eve"); status != 500 || !strings.Contains(body, "until the server restarts") || !strings.Contains(body, "is damaged") || !strings.Contains(body, "refused until") {
		t.Errorf("%d %s", status, body)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "{\"half" {
		t.Errorf("%q, %v", text, err)
	}
	if status, _ := get("/config?user=eve"); status != 403 {
		t.Errorf("what could not be written down does not hold: %d", status)
	}
	cancel()
	served.Wait()
}
