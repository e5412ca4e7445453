package events

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// memoryStream is what the stores of a test share.
type memoryStream struct {
	mu    sync.Mutex
	words [][]byte
	ids   map[string]bool
	more  chan struct{} // closed and made anew with each word
	away  bool
	life  int // how often it was made anew
}

var errAway = errors.New("nobody is there")

func (s *memoryStream) Publish(_ context.Context, id string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	if !s.ids[id] {
		s.ids[id] = true
		s.words = append(s.words, slices.Clone(body))
		close(s.more)
		s.more = make(chan struct{})
	}
	return nil
}

func (s *memoryStream) Last(context.Context) (uint64, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return 0, "", errAway
	}
	return uint64(len(s.words)), strconv.Itoa(s.life), nil
}

func (s *memoryStream) Follow(ctx context.Context, after uint64, heard func(uint64, []byte) error) error {
	for {
		s.mu.Lock()
		words, more, away := s.words[min(after, uint64(len(s.words))):], s.more, s.away
		s.mu.Unlock()
		if away {
			return errAway
		}
		for _, w := range words {
			after++
			if err := heard(after, w); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

func (s *memoryStream) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	close(s.more)
	s.more = make(chan struct{})
}

// TestShared: of several nodes each has the history of all, one sends every event once, and
// when that one ends, or is cut off, another one sends what it has not, and nothing else.
func TestShared(t *testing.T) {
	const nodes = 3
	stream := &memoryStream{ids: make(map[string]bool), more: make(chan struct{})}
	var mu sync.Mutex
	leader := 0
	down := true // the receiver
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Event) bool {
		mu.Lock()
		defer mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return !down
	})
	all := make([]*server, nodes)
	for i := range all {
		all[i] = serve(t, Config{History: time.Hour, Webhooks: []Webhook{r.hook()}, Shared: &Shared{
			Stream: stream, Alone: func() bool { return false },
			Leads: func(string) bool { mu.Lock(); defer mu.Unlock(); return leader == i },
		}})
	}
	lead := func(i int) { mu.Lock(); defer mu.Unlock(); leader = i }
	each := func(ids []string, n int) bool {
		seen := make(map[string]bool)
		for _, id := range ids {
			seen[id] = true
		}
		return len(seen) == n
	}
	for i, s := range all {
		s.emit(100*i, 100*i+50)
	}
	for _, s := range all {
		eventually(t, "all have the history of all", func() bool {
			page, err := s.History(Query{})
			return err == nil && len(page.Rows) == 50*nodes
		})
		eventually(t, "and all that is to be sent", func() bool { return s.Webhooks()[0].Waiting == 50*nodes })
	}
	mu.Lock()
	down = false
	mu.Unlock()
	r.until(t, "all are sent", func(ids []string) bool { return each(ids, 50*nodes) })
	for _, s := range all {
		eventually(t, "all know that", func() bool { return s.Webhooks()[0].Waiting == 0 })
	}
	if n := len(r.ids()); n != 50*nodes {
		t.Errorf("%d sent of %d", n, 50*nodes)
	}
	// The one that sends ends while some wait.
	mu.Lock()
	down = true
	mu.Unlock()
	all[0].emit(50, 60)
	all[1].emit(150, 160)
	for _, s := range all {
		eventually(t, "all have what waits", func() bool { return s.Webhooks()[0].Waiting == 20 })
	}
	all[0].stop()
	r.CloseClientConnections() // what was under way is answered while it is still down
	mu.Lock()
	down = false
	mu.Unlock()
	lead(2)
	r.until(t, "the next one sends it", func(ids []string) bool { return each(ids, 50*nodes+20) })
	// Cut off from the others, nobody sends, and nothing is lost.
	stream.set(true)
	lead(-1)
	all[1].emit(160, 170)
	eventually(t, "it waits", func() bool { return all[1].Webhooks()[0].Waiting >= 10 })
	stream.set(false)
	lead(2)
	r.until(t, "then it is sent", func(ids []string) bool { return each(ids, 50*nodes+30) })
	if n := len(r.ids()); n != 50*nodes+30 {
		t.Errorf("%d sent of %d", n, 50*nodes+30)
	}
	// What is said once more, by whomever and by whatever id, is nothing new.
	stream.mu.Lock()
	stream.words = append(stream.words, stream.words...)
	heard := uint64(len(stream.words))
	stream.mu.Unlock()
	stream.set(false)
	for _, s := range all[1:] {
		eventually(t, "it is heard again", func() bool { return s.Store.heardTo.Load() >= heard })
	}
	if n := len(r.ids()); n != 50*nodes+30 {
		t.Errorf("%d sent of %d after all was said again", n, 50*nodes+30)
	}
	// A stream that is made anew while they run is heard from its beginning.
	stream.mu.Lock()
	stream.words, stream.ids = nil, make(map[string]bool)
	stream.life++
	stream.mu.Unlock()
	lead(1)
	all[2].emit(270, 280)
	r.until(t, "what is in the new one is sent", func(ids []string) bool { return each(ids, 50*nodes+40) })
	// An older copy of a node's disk is put back.
	cfg := all[1].cfg
	older := t.TempDir()
	all[1].stop()
	if err := os.CopyFS(older, os.DirFS(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	all[1] = serve(t, cfg)
	all[1].emit(170, 190)
	r.until(t, "what it told after that", func(ids []string) bool { return each(ids, 50*nodes+60) })
	eventually(t, "all of that is told", func() bool {
		return all[1].Store.Stats().Unshared == 0
	})
	all[1].stop()
	cfg.Dir = older
	all[1] = serve(t, cfg)
	all[1].emit(190, 200)
	r.until(t, "what it tells then", func(ids []string) bool { return each(ids, 50*nodes+70) })
	for _, s := range all[1:] {
		eventually(t, "nothing waits", func() bool { return s.Webhooks()[0].Waiting == 0 })
		eventually(t, "each is counted once", func() bool {
			usage, _, err := s.Usage("2000-01-01", "2100-01-01", nil)
			missed := 0
			for _, u := range usage {
				missed += u.Missed
			}
			if err != nil || missed > 50*nodes+70 {
				t.Fatalf("%d counted: %v", missed, err)
			}
			return missed == 50*nodes+70
		})
	}
}
