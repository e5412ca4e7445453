package yjs

import (
	"context"
	"strings"
	"testing"
	"time"

	"turnhub/signaling"
	"turnhub/signaling/internal/topicstest"
	"turnhub/signaling/internal/wstest"
)

// TestNodes: a topic is one over two nodes: what is published comes to all, once, with how
// many there are, also from somebody who is not in it, and nobody is left behind.
func TestNodes(t *testing.T) {
	net := topicstest.New("a", "b")
	t.Cleanup(net.Run())
	var urls []string
	for _, name := range []string{"a", "b"} {
		hub := signaling.NewHub(signaling.Config{})
		s := New(Config{Hub: hub, Topics: net.Node(name)})
		server := wstest.NewServer(s)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
			server.Close()
			hub.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.topics) > 0 {
				t.Error("a topic is left behind")
			}
		})
		urls = append(urls, "ws"+strings.TrimPrefix(server.URL, "http")+Path)
	}
	a, b, c, outside := dial(t, urls[0]), dial(t, urls[1]), dial(t, urls[1]), dial(t, urls[0])
	say(t, a, `{"type":"subscribe","topics":["blue","red"]}`)
	say(t, b, `{"type":"subscribe","topics":["blue"]}`)
	settle(t, a)
	settle(t, b)
	wstest.Until(t, "they know each other", func() bool {
		return len(net.Node("a").Others("yjs\x00blue")) == 1 && len(net.Node("b").Others("yjs\x00blue")) == 1
	})
	say(t, a, `{"type":"publish","topic":"blue","data":"<1>"}`)
	if got := hear(t, a); got["data"] != "<1>" || got["clients"] != float64(2) {
		t.Errorf("a: %v", got)
	}
	if got := hear(t, b); got["data"] != "<1>" || got["clients"] != float64(2) {
		t.Errorf("b: %v", got)
	}
	before := string(net.Node("a").Others("yjs\x00blue")["b"])
	say(t, c, `{"type":"subscribe","topics":["blue"]}`)
	settle(t, c)
	wstest.Until(t, "a knows of c", func() bool {
		now := string(net.Node("a").Others("yjs\x00blue")["b"])
		return now != before && len(now) == len(before) // it is in, and nobody is about to be
	})
	say(t, c, `{"type":"publish","topic":"red","data":"from outside"}`)
	if got := hear(t, a); got["data"] != "from outside" || got["clients"] != float64(1) {
		t.Errorf("a: %v", got)
	}
	say(t, outside, `{"type":"publish","topic":"blue","data":"2"}`)
	if got := hear(t, b); got["data"] != "2" || got["clients"] != float64(3) {
		t.Errorf("b: %v", got)
	}
	if got := hear(t, c); got["data"] != "2" || got["clients"] != float64(3) {
		t.Errorf("c: %v", got)
	}
	if got := hear(t, a); got["data"] != "2" || got["clients"] != float64(3) {
		t.Errorf("a: %v", got)
	}
	net.Kill("a")
	wstest.Until(t, "a has gone", func() bool { return len(net.Node("b").Others("yjs\x00blue")) == 0 })
	say(t, b, `{"type":"publish","topic":"blue","data":"3"}`)
	if got := hear(t, c); got["data"] != "3" || got["clients"] != float64(2) {
		t.Errorf("c: %v", got)
	}
}
