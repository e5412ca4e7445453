package signaling

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

// awayTopics are topics of which nothing can be said until they are back.
type awayTopics struct {
	Topics
	mu    sync.Mutex
	back  bool
	tried bool
	said  [][]byte
}

func (a *awayTopics) Others(string) map[string][]byte { return map[string][]byte{"b": nil} }

func (a *awayTopics) Say(_ string, body []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tried = true; a.back {
		a.said = append(a.said, body)
	}
	return a.back
}

// TestSeenWhileAway: who comes while NATS is away is told of when it is back, although nothing
// changes any more then.
func TestSeenWhileAway(t *testing.T) {
	topics := &awayTopics{}
	s := &seenElsewhere{
		topics: topics, relays: func() []netip.Addr { return nil },
		nodes: make(map[string]*seenThere), own: make(map[netip.Addr]struct{}), again: 10 * time.Millisecond,
	}
	s.met()
	s.change(netip.MustParseAddr("8.8.8.8"), true)
	waitFor(t, func() bool {
		topics.mu.Lock()
		defer topics.mu.Unlock()
		topics.back = topics.tried
		return topics.back
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		topics.mu.Lock()
		said := topics.said
		topics.mu.Unlock()
		if len(said) > 0 {
			if body := said[0]; body[0] != saidSeenAll || len(body) < 6 {
				t.Errorf("said %q", body)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("it is never told")
		}
	}
}
