package events

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var testSecret = Secrets{[]byte("a secret of the tests, 32 bytes!")}

// quick makes the times so short that a test need not wait for them.
func quick() tuning {
	t := usualTuning
	t.schedule = slices.Repeat([]time.Duration{5 * time.Millisecond}, 100_000)
	t.rest, t.longest = time.Millisecond, 20*time.Millisecond
	t.timeout = 2 * time.Second
	return t
}

// receiver is a program that takes events. answer may refuse one; what it has taken with
// a good signature is kept.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	tries   int
	taken   []Event
	more    chan struct{}
	answer  func(w http.ResponseWriter, r *http.Request, e Event) (take bool)
	forgery int
}

func newReceiver(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, e Event) bool) *receiver {
	o := &receiver{answer: answer, more: make(chan struct{}, 1)}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e Event
		err := json.Unmarshal(body, &e)
		o.mu.Lock()
		o.tries++
		if err != nil || testSecret.Verify(r.Header, time.Now(), body) != nil || e.ID != r.Header.Get(headerID) {
			o.forgery++
		}
		o.mu.Unlock()
		if o.answer == nil || o.answer(w, r, e) {
			o.mu.Lock()
			o.taken = append(o.taken, e)
			o.mu.Unlock()
		}
		select {
		case o.more <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(func() {
		o.Server.CloseClientConnections()
		o.Server.Close()
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.forgery > 0 {
			t.Errorf("%d requests were not signed well", o.forgery)
		}
	})
	return o
}

func (o *receiver) ids() (ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.taken {
		ids = append(ids, e.Data.Reason)
	}
	return ids
}

// until waits for what the receiver has taken to be as f wants it.
func (o *receiver) until(t *testing.T, what string, f func(ids []string) bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !f(o.ids()) {
		select {
		case <-o.more:
		case <-late:
			t.Fatalf("%s: not within 30 s; taken: %d of %d", what, len(o.ids()), o.tries)
		}
	}
}

func (o *receiver) hook() Webhook { return Webhook{URL: o.URL + "/hook", Secrets: testSecret} }

// server is a journal and a store that run.
type server struct {
	*Journal
	*Store
	stop func()
}

func serve(t *testing.T, cfg Config) *server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.tune.schedule == nil {
		cfg.tune = quick()
	}
	ctx, cancel := context.WithCancel(context.Background())
	store, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Journal: NewJournal(cfg.Dir, "", store.log), Store: store}
	var group sync.WaitGroup
	group.Go(func() { s.Journal.Serve(ctx) })
	group.Go(func() { s.Store.Serve(ctx, s.Journal.Wrote()) })
	s.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(s.stop)
	return s
}

// emit makes events whose reasons are numbers.
func (s *server) emit(from, to int) {
	for i := from; i < to; i++ {
		s.Emit(CallMissed, Data{Reason: fmt.Sprint(i)})
	}
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// lockedBuilder is a log that a test reads while it is written.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
