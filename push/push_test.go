package push

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"turnhub/internal/outbound"
)

const patience = 20 * time.Second

// running is a store that is served, and what it has told its hub.
type running struct {
	*Store
	t   *testing.T
	end func()

	mu            sync.Mutex
	taken, failed []string
}

var proof = sha256.Sum256([]byte("a secret of somebody"))

func serve(t *testing.T, cfg Config) *running {
	t.Helper()
	r := &running{t: t}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Key == nil {
		key, err := OpenKey(filepath.Join(cfg.Dir, "push-key"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Key = key
	}
	if cfg.tune.kept == 0 {
		cfg.tune = usualTuning
		cfg.tune.adopt = time.Second
		cfg.tune.pauses = slices.Repeat([]time.Duration{5 * time.Millisecond}, 8)
	}
	cfg.Contact = func() string { return "mailto:op@example.org" }
	cfg.Taken = func(call string) { r.mu.Lock(); r.taken = append(r.taken, call); r.mu.Unlock() }
	cfg.Failed = func(call string) { r.mu.Lock(); r.failed = append(r.failed, call); r.mu.Unlock() }
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx) }()
	r.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.end)
	return r
}

// at returns a configuration for one push service.
func at(s *service) Config {
	return Config{Services: []string{s.host()}, transport: s.server.Client().Transport}
}

func (r *running) subscribe(user string, text string) error {
	r.t.Helper()
	done := make(chan error, 1)
	r.Subscribe(user, proof, netip.Addr{}, []byte(text), func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		r.t.Fatal("no answer")
		return nil
	}
}

func (r *running) ring(call, to string) bool {
	return r.Ring(Call{ID: call, To: to, User: "vasya", Name: "Vasya", Decline: "d-" + call, For: 45 * time.Second})
}

func (r *running) told() (taken, failed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken), slices.Clone(r.failed)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// TestRing: every device is told, in what nobody else can read; and that it does not ring
// any more, but for the one that has answered.
func TestRing(t *testing.T) {
	service := newService(t)
	r := serve(t, at(service))
	phone, desk := service.subscribe("phone"), service.subscribe("desk")
	for _, b := range []*browser{phone, desk} {
		if err := r.subscribe("petya", b.text); err != nil {
			t.Fatal(err)
		}
	}
	if r.Reachable("vasya") || !r.Reachable("petya") || r.ring("c_0", "vasya") || !r.ring("c_1", "petya") {
		t.Fatal("who is reachable?")
	}
	both := func(n int) func() bool {
		return func() bool { return len(service.said(phone)) == n && len(service.said(desk)) == n }
	}
	eventually(t, "rung", both(1))
	got := service.said(phone)[0]
	if got.Type != "ring" || got.Call != "c_1" || got.To != "petya" || got.User != "vasya" || got.Name != "Vasya" || got.Decline != "d-c_1" ||
		got.ttl < 30 || got.ttl > 45 || time.Since(time.UnixMilli(got.At)).Abs() > time.Minute {
		t.Errorf("%+v", got)
	}
	eventually(t, "the hub is told", func() bool { taken, _ := r.told(); return slices.Equal(taken, []string{"c_1"}) })
	r.Settle("c_1", Elsewhere, service.server.URL+"/desk")
	eventually(t, "stopped", func() bool { return len(service.said(phone)) == 2 })
	stop := service.said(phone)[1]
	if stop.Type != "stop" || stop.Reason != Elsewhere || stop.Call != "c_1" || stop.topic != got.topic || stop.Decline != "" || stop.ttl < 600 {
		t.Errorf("%+v", stop)
	}
	if !r.ring("c_2", "petya") {
		t.Fatal("not rung")
	}
	eventually(t, "rung again", func() bool { return len(service.said(desk)) == 2 && len(service.said(phone)) == 3 })
	r.Settle("c_2", Unseen, "")
	eventually(t, "both hear that they have missed it", func() bool { return len(service.said(desk)) == 3 && len(service.said(phone)) == 4 })
	if last := service.said(desk)[2]; last.Reason != Unseen || last.ttl < 80_000 {
		t.Errorf("%+v", last)
	}
	eventually(t, "an empty queue", func() bool { return r.Stats().Waiting == 0 })
	if stats := r.Stats(); stats.Sent[sentOK] != 7 || len(stats.Dropped) != 0 || stats.Subscriptions != 2 || stats.Users != 1 {
		t.Errorf("%+v", stats)
	}
	if _, failed := r.told(); failed != nil {
		t.Error(failed)
	}
}

// TestGone: what is gone is deleted and asked for nothing more, and the caller hears it
// when nobody is left.
func TestGone(t *testing.T) {
	for _, status := range []int{404, 410} {
		service := newService(t)
		r := serve(t, at(service))
		if err := r.subscribe("petya", service.subscribe("phone").text); err != nil {
			t.Fatal(err)
		}
		service.answers(func(string) (int, http.Header) { return status, nil })
		r.ring("c_1", "petya")
		eventually(t, "failed", func() bool { _, failed := r.told(); return slices.Equal(failed, []string{"c_1"}) })
		if _, kept := r.Keeper("petya"); kept || r.Reachable("petya") {
			t.Error("still there")
		}
		if stats := r.Stats(); stats.Deleted[deletedGone] != 1 || stats.Sent[sentGone] != 1 || service.tried() != 1 {
			t.Errorf("%+v", stats)
		}
	}
}

// TestBackOff: a service that is busy, or down, is asked again, not sooner than it wants, and
// holds up no other; what is too late is dropped.
func TestBackOff(t *testing.T) {
	busy, well := newService(t), newService(t)
	cfg := at(busy)
	cfg.Services = append(cfg.Services, well.host())
	r := serve(t, cfg)
	phone, desk := busy.subscribe("phone"), well.subscribe("desk")
	if err := errors.Join(r.subscribe("petya", phone.text), r.subscribe("petya", desk.text)); err != nil {
		t.Fatal(err)
	}
	var first time.Time
	n := 0
	busy.answers(func(string) (int, http.Header) {
		switch n++; n {
		case 1:
			first = time.Now()
			return 429, http.Header{"Retry-After": {"1"}}
		case 2:
			return 503, nil
		}
		return 0, nil
	})
	r.ring("c_1", "petya")
	eventually(t, "the other one rings", func() bool { return len(well.said(desk)) == 1 })
	eventually(t, "it rings in the end", func() bool { return len(busy.said(phone)) == 1 })
	if d := time.Since(first); d < time.Second {
		t.Errorf("asked again after %v", d)
	}
	eventually(t, "counted", func() bool {
		sent := r.Stats().Sent
		return sent[sentBusy] == 2 && sent[sentOK] == 2
	})
	r.Settle("c_1", Elsewhere, "")

	busy.answers(func(string) (int, http.Header) { return 500, nil })
	r.ring("c_2", "petya")
	eventually(t, "given up", func() bool { return r.Stats().Dropped[dropLate] == 1 || r.Stats().Waiting == 0 })
	if busy.tried() > 3+2*(len(r.cfg.tune.pauses)+1) {
		t.Errorf("tried %d times", busy.tried())
	}
}

// TestSettledBefore: a call that has been answered rings nobody any more, whatever waits.
func TestSettledBefore(t *testing.T) {
	service := newService(t)
	cfg := at(service)
	cfg.tune = usualTuning
	cfg.tune.pauses = []time.Duration{time.Hour}
	r := serve(t, cfg)
	phone := service.subscribe("phone")
	if err := r.subscribe("petya", phone.text); err != nil {
		t.Fatal(err)
	}
	service.answers(func(string) (int, http.Header) { return 503, nil })
	r.Ring(Call{ID: "c_1", To: "petya", For: 24 * time.Hour})
	eventually(t, "tried", func() bool { return r.Stats().Sent[sentBusy] == 1 && r.Stats().Waiting == 1 })
	r.Settle("c_1", Elsewhere, "")
	if stats := r.Stats(); stats.Waiting != 0 || stats.Dropped[dropSettled] != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestRefused: what a service takes for wrong is not tried again, and after ten times it is
// asked no more.
func TestRefused(t *testing.T) {
	service := newService(t)
	r := serve(t, at(service))
	phone := service.subscribe("phone")
	if err := r.subscribe("petya", phone.text); err != nil {
		t.Fatal(err)
	}
	service.answers(func(string) (int, http.Header) { return 403, nil })
	for i := range refusedAtMost {
		call := fmt.Sprint("c_", i)
		r.ring(call, "petya")
		eventually(t, "failed", func() bool { _, failed := r.told(); return slices.Contains(failed, call) })
		if want := i < refusedAtMost-1; r.Reachable("petya") != want {
			t.Errorf("after %d: reachable %v", i+1, !want)
		}
		r.Settle(call, Elsewhere, "")
	}
	if stats := r.Stats(); stats.Sent[sentRefused] != refusedAtMost || stats.Deleted[deletedRefused] != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestEndpoints that are none at a push service are refused with a word that helps.
func TestEndpoints(t *testing.T) {
	services := []string{"push.example.org", "*.push.example.net", "push.example.com:8443"}
	for endpoint, want := range map[string]string{
		"https://push.example.org/x":          "",
		"https://PUSH.example.org:443/x":      "",
		"https://a.push.example.net/x":        "",
		"https://a.b.push.example.net/x":      "",
		"https://push.example.com:8443/x":     "",
		"http://push.example.org/x":           "https://",
		"http://169.254.169.254/":             "https://",
		"https://169.254.169.254/":            "push.services",
		"https://localhost/x":                 "push.services",
		"https://[::1]/x":                     "push.services",
		"https://10.0.0.1/x":                  "push.services",
		"https://push.example.net/x":          "push.services",
		"https://xpush.example.net/x":         "push.services",
		"https://push.example.org.evil.org/x": "push.services",
		"https://push.example.org:444/x":      "push.services",
		"https://push.example.com/x":          "push.services",
		"https://push.example.org@evil.org/x": "user",
		"https://evil.org\\@push.example.org": "URL",
		"https://push.example.org/#x":         "#",
		"https:///x":                          "URL",
		"push.example.org":                    "URL",
		"":                                    "URL",
		"https://push.example.org/" + strings.Repeat("x", maxEndpoint): "URL",
	} {
		err := Endpoint(endpoint, services)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", endpoint, err, want)
		}
	}
}

// TestSubscriptions that are none.
func TestSubscriptions(t *testing.T) {
	service := newService(t)
	r := serve(t, at(service))
	good := service.subscribe("phone").text
	for _, bad := range []string{
		"", "null", `"x"`, "[]", "{}", `{"endpoint":1}`, strings.Replace(good, `"p256dh":"B`, `"p256dh":"C`, 1), strings.Replace(good, `"auth":"`, `"auth":"AA`, 1),
		strings.Replace(good, "https://", "http://", 1), strings.Replace(good, service.host(), "localhost", 1),
	} {
		if err := r.subscribe("petya", bad); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	if stats := r.Stats(); stats.Subscriptions != 0 || stats.Refused[refusedForm] != 9 || stats.Refused[refusedService] != 1 {
		t.Errorf("%+v", stats)
	}
	if _, err := os.Stat(r.path); err == nil {
		t.Error("there is a file with nothing in it")
	}
}

// TestInside: a name that leads inside is not connected to, nor is a redirection followed.
func TestInside(t *testing.T) {
	service := newService(t)
	_, port, _ := strings.Cut(service.host(), ":")
	cfg := Config{Services: []string{"localhost:" + port}} // as an operator may write, or a name's owner let it resolve
	r := serve(t, cfg)
	text := strings.Replace(service.subscribe("phone").text, "127.0.0.1:", "localhost:", 1)
	if err := r.subscribe("petya", text); err != nil {
		t.Fatal(err)
	}
	r.ring("c_1", "petya")
	eventually(t, "failed", func() bool { _, failed := r.told(); return len(failed) == 1 })
	if stats := r.Stats(); stats.Sent[outbound.FailedAddress] != 1 || service.tried() != 0 {
		t.Errorf("%+v, tried %d", stats, service.tried())
	}

	other := newService(t)
	r = serve(t, at(service))
	if err := r.subscribe("petya", service.subscribe("phone").text); err != nil {
		t.Fatal(err)
	}
	for i, status := range []int{301, 302, 303, 307, 308} {
		service.answers(func(string) (int, http.Header) { return status, http.Header{"Location": {other.server.URL + "/phone"}} })
		r.ring(fmt.Sprint("c_", i), "petya")
		eventually(t, "failed", func() bool { _, failed := r.told(); return len(failed) == i+1 })
	}
	if stats := r.Stats(); stats.Sent[sentRedirect] != 5 || other.tried() != 0 {
		t.Errorf("%+v, tried %d", stats, other.tried())
	}
}
