package events

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"turnhub/internal/outbound"
)

// TestEventsArrive: each once, in their order, and signed; those that a webhook has not
// asked for do not.
func TestEventsArrive(t *testing.T) {
	all, some := newReceiver(t, nil), newReceiver(t, nil)
	missed := some.hook()
	missed.Types = []string{CallEnded}
	s := serve(t, Config{Webhooks: []Webhook{all.hook(), missed}})
	s.emit(0, 100)
	s.Emit(CallEnded, Data{Reason: "ended"})
	all.until(t, "all", func(ids []string) bool { return len(ids) == 101 })
	some.until(t, "some", func(ids []string) bool { return slices.Equal(ids, []string{"ended"}) })
	if got := all.ids(); !slices.Equal(got[:100], numbers(0, 100)) {
		t.Errorf("out of order: %v", got)
	}
	eventually(t, "empty queues", func() bool { return s.Store.Stats().Waiting == 0 })
	stats := s.Store.Stats()
	if stats.Deliveries[sentOK] != 102 || len(stats.Dropped) != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestReceiverFails in every way, and for a while: nothing is lost, and others of its
// events do not wait for one that it never takes.
func TestReceiverFails(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("an event was sent to another server") }))
	defer elsewhere.Close()
	release := make(chan struct{})
	defer close(release)
	for what, fail := range map[string]func(w http.ResponseWriter, r *http.Request){
		"500":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) },
		"429":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"404":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusPermanentRedirect)
		},
		"redirect GET": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		"in a circle": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/hook", http.StatusTemporaryRedirect)
		},
		"huge header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) },
		"hangs": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
			panic(http.ErrAbortHandler)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			broken.Store(true)
			r := newReceiver(t, nil)
			failed := make(chan struct{}, 1)
			r.answer = func(w http.ResponseWriter, q *http.Request, e Event) bool {
				if e.Data.Reason == "7" && broken.Load() {
					select {
					case failed <- struct{}{}:
					default:
					}
					fail(w, q)
					return false
				}
				return true
			}
			tune := quick()
			tune.timeout = 300 * time.Millisecond
			s := serve(t, Config{Webhooks: []Webhook{r.hook()}, tune: tune})
			s.emit(0, 20)
			<-failed
			r.until(t, "the others", func(ids []string) bool { return len(ids) >= 19 })
			if slices.Contains(r.ids(), "7") {
				t.Fatal("taken although it failed")
			}
			eventually(t, "the status", func() bool { return len(s.Webhooks()) == 1 && s.Webhooks()[0].Waiting == 1 })
			broken.Store(false)
			r.until(t, "all", func(ids []string) bool { return slices.Contains(ids, "7") })
		})
	}
}

// TestRedirectOnTheSameServer is followed, with the body and its signature.
func TestRedirectOnTheSameServer(t *testing.T) {
	r := newReceiver(t, nil)
	r.answer = func(w http.ResponseWriter, q *http.Request, _ Event) bool {
		if q.URL.Path == "/hook" {
			http.Redirect(w, q, "/moved", http.StatusPermanentRedirect)
			return false
		}
		return true
	}
	s := serve(t, Config{Webhooks: []Webhook{r.hook()}})
	s.emit(0, 3)
	r.until(t, "three", func(ids []string) bool { return slices.Equal(ids, numbers(0, 3)) })
}

// TestGone: what answers 410 is not asked again about the same event.
func TestGone(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, e Event) bool {
		if e.Data.Reason != "1" {
			return true
		}
		w.WriteHeader(http.StatusGone)
		return false
	})
	s := serve(t, Config{Webhooks: []Webhook{r.hook()}})
	s.emit(0, 3)
	r.until(t, "the others", func(ids []string) bool { return len(ids) == 2 })
	eventually(t, "an empty queue", func() bool { return s.Store.Stats().Waiting == 0 })
	if r.tries != 3 || s.Store.Stats().Dropped[dropRefused] != 1 {
		t.Errorf("%d tries, %+v", r.tries, s.Store.Stats())
	}
}

// TestAttemptsEnd: an event that is never taken is given up, and counted.
func TestAttemptsEnd(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Event) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return false
	})
	tune := quick()
	tune.schedule = tune.schedule[:3]
	s := serve(t, Config{Webhooks: []Webhook{r.hook()}, tune: tune})
	s.emit(0, 2)
	eventually(t, "the end of attempts", func() bool { return s.Store.Stats().Dropped[dropExpired] == 2 })
	if stats := s.Store.Stats(); stats.Waiting != 0 || stats.Deliveries[sentStatus] != 8 {
		t.Errorf("%+v", stats)
	}
}

// TestQueueIsBounded by its number and its bytes: the oldest make room, and what the
// queue says of itself is so after a restart too.
func TestQueueIsBounded(t *testing.T) {
	for what, tune := range map[string]func(*tuning){
		"number": func(t *tuning) { t.queue = 10 },
		"bytes":  func(t *tuning) { t.queued = 1500 },
	} {
		t.Run(what, func(t *testing.T) {
			var up atomic.Bool
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Event) bool {
				if !up.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				return up.Load()
			})
			cfg := Config{Dir: t.TempDir(), Webhooks: []Webhook{r.hook()}, tune: quick()}
			cfg.tune.schedule = slices.Repeat([]time.Duration{50 * time.Millisecond}, 1000)
			tune(&cfg.tune)
			s := serve(t, cfg)
			s.emit(0, 50)
			eventually(t, "full", func() bool {
				stats := s.Store.Stats()
				return stats.Dropped[dropQueue]+uint64(stats.Waiting) == 50 && stats.Dropped[dropQueue] > 0
			})
			left := s.Store.Stats().Waiting
			if left > 15 {
				t.Fatalf("%d wait", left)
			}
			s.stop()
			up.Store(true)
			s = serve(t, cfg)
			// A request that was under way when the store ended may have been taken, and comes again.
			r.until(t, "the newest", func(ids []string) bool {
				slices.Sort(ids)
				return len(slices.Compact(ids)) == left
			})
			got := r.ids()
			slices.SortFunc(got, func(a, b string) int { return len(a) - len(b) })
			if !slices.Contains(got, "49") || slices.Contains(got, "0") {
				t.Errorf("taken: %v", got)
			}
			eventually(t, "empty", func() bool { return s.Store.Stats().Waiting == 0 })
		})
	}
}

// TestUnnamedWebhook: the queue of one that is no longer configured goes with it.
func TestUnnamedWebhook(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, Config{Dir: dir, Webhooks: []Webhook{{URL: "http://127.0.0.1:9/", Secrets: testSecret}}})
	s.emit(0, 5)
	eventually(t, "five", func() bool { return s.Store.Stats().Waiting == 5 })
	s.stop()
	s = serve(t, Config{Dir: dir})
	if stats := s.Store.Stats(); stats.Waiting != 0 || stats.Dropped[dropUnnamed] != 5 {
		t.Errorf("%+v", stats)
	}
}

// TestInside: no name leads a webhook to an address inside that nobody has named, and
// nothing at all to a metadata service.
func TestInside(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("169.254.0.0/16")}
	for _, tc := range []struct {
		target, addr string
		may          bool
	}{
		{"https://hooks.example.org/", "93.184.216.34", true},
		{"https://hooks.example.org/", "2606:2800:220:1::1", true},
		{"https://hooks.example.org/", "127.0.0.1", false},
		{"https://hooks.example.org/", "::1", false},
		{"https://hooks.example.org/", "::ffff:127.0.0.1", false},
		{"https://hooks.example.org/", "64:ff9b::7f00:1", false},
		{"https://hooks.example.org/", "10.0.0.1", false},
		{"https://hooks.example.org/", "10.1.2.3", true},
		{"https://hooks.example.org/", "192.168.1.1", false},
		{"https://hooks.example.org/", "100.64.0.1", false},
		{"https://hooks.example.org/", "fd00::1", false},
		{"https://hooks.example.org/", "fe80::1%eth0", false},
		{"https://hooks.example.org/", "0.0.0.0", false},
		{"https://hooks.example.org/", "224.0.0.1", false},
		{"https://hooks.example.org/", "169.254.169.254", false}, // not even where its network is named
		{"http://169.254.169.254/", "169.254.169.254", false},    // nor it itself
		{"http://[fd00:ec2::254]/", "fd00:ec2::254", false},
		{"http://192.168.1.1:3000/", "192.168.1.1", true},
		{"http://192.168.1.1:3000/", "192.168.1.2", false},
		{"http://localhost:3000/", "127.0.0.1", true},
		{"http://localhost:3000/", "::1", true},
		{"http://localhost:3000/", "10.0.0.1", false},
		{"http://[::1]:3000/", "::1", true},
	} {
		err := outbound.MayReach(netip.MustParseAddr(tc.addr), outbound.Named(tc.target), allow)
		if (err == nil) != tc.may {
			t.Errorf("%s at %s: %v", tc.target, tc.addr, err)
		}
	}

	// The address is looked at when it is dialled.
	r := newReceiver(t, nil)
	client := newClient("https://hooks.example.org/", nil, time.Second)
	_, err := client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", r.Listener.Addr().String())
	if err == nil || outcome(err) != outbound.FailedAddress {
		t.Errorf("dialled: %v", err)
	}
}

// TestTry is what `turnhub check` asks.
func TestTry(t *testing.T) {
	good := newReceiver(t, nil)
	if err := Try(t.Context(), good.hook(), nil); err != nil {
		t.Error(err)
	}
	if good.taken[0].Type != Test {
		t.Error(good.taken[0])
	}
	bad := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Event) bool {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return false
	})
	if err := Try(t.Context(), bad.hook(), nil); err == nil || !strings.Contains(err.Error(), `401: "who are you?"`) || outcome(err) != sentStatus {
		t.Error(err)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	defer secure.Close()
	for url, want := range map[string]string{
		secure.URL: outbound.FailedTLS, strings.Replace(good.URL, "http:", "https:", 1): outbound.FailedTLS,
		"http://127.0.0.1:9/": outbound.FailedNetwork, "http://169.254.169.254/secret": outbound.FailedAddress,
	} {
		err := Try(t.Context(), Webhook{URL: url, Secrets: testSecret}, nil)
		if outcome(err) != want || Remedy(err) == "" || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v, %s", url, err, outcome(err))
		}
	}
}

// TestClockSetBack: an event that was to be tried again by a clock that has been set back
// since does not wait until that time comes again.
func TestClockSetBack(t *testing.T) {
	var up atomic.Bool
	failed := make(chan struct{}, 1)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Event) bool {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			select {
			case failed <- struct{}{}:
			default:
			}
		}
		return up.Load()
	})
	s := serve(t, Config{Webhooks: []Webhook{r.hook()}})
	s.emit(0, 1)
	<-failed
	o := s.Store.senders[0]
	eventually(t, "an attempt that is written down", func() bool {
		later := false
		err := s.Store.update(func(tx *bbolt.Tx) error {
			k, v := o.bucket(tx).Cursor().First()
			if k == nil {
				return nil
			}
			_, attempts, body := readItem(v)
			if later = attempts > 0; !later {
				return nil
			}
			return o.bucket(tx).Put(slices.Clone(k), item(time.Now().Add(365*24*time.Hour), attempts, slices.Clone(body)))
		})
		return err == nil && later
	})
	up.Store(true)
	o.poke()
	r.until(t, "the event", func(ids []string) bool { return slices.Contains(ids, "0") })
}
