package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/natstest"
)

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// TestFlood: thousands of bad messages under as many names, up to 1 MB long, are counted
// one by one and fill neither the log nor what is said once; meanwhile rooms get their
// nodes and the nodes know each other.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	log := &lines{}
	a := start(t, s, "a", func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	b := start(t, s, "b", nil)
	until(t, "they meet", func() bool { return a.live() == "a b" && b.live() == "a b" && a.Stats().Store && b.Stats().Store })
	stranger, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	foreign, own := newKeyring([]string{"another secret"}), newKeyring(secrets)
	const messages = 4000
	large := make([]byte, 1<<20-1)
	for i := range messages {
		subject := beatSubject(fmt.Sprint("n", i))
		if random.IntN(4) == 0 {
			subject = askSubject("a")
		}
		body := fmt.Appendf(nil, `{"v":%d,"node":"n%d","from":"n%d","id":"%d","seq":1,"at":%d}`, random.IntN(3), i, i, random.IntN(9), wall()-int64(random.IntN(1<<21)))
		data := [][]byte{nil, body, foreign.seal(subject, body), own.seal(subject, body[:random.IntN(len(body))]), own.seal("elsewhere", body)}[random.IntN(5)]
		if i%400 == 0 {
			data = large
		}
		if err := stranger.Publish(subject, data); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			_ = stranger.Flush()
			room := fmt.Sprint("room-", i)
			if one, two := a.Place(context.Background(), room), b.Place(context.Background(), room); one.Node != two.Node {
				t.Errorf("%s is on %s and on %s", room, one.Node, two.Node)
			}
		}
	}
	total := func() (n uint64) {
		for _, count := range a.Stats().Refused {
			n += count
		}
		return n
	}
	until(t, fmt.Sprintf("all are refused: %v", a.Stats().Refused), func() bool { return total() >= messages })
	if a.live() != "a b" || len(a.Members()) != 2 {
		t.Errorf("a knows %v", a.Members())
	}
	said := log.count("is not heard")
	if said == 0 || said > maxRefusedNames*len(explanations) {
		t.Errorf("%d lines of what is not heard", said)
	}
	a.once("something else", func() { a.log.Info("something else is said still") })
	if log.count("something else is said still") != 1 {
		t.Error("a stranger has silenced the log")
	}
}

// TestStoreReplay: an entry of a room that is older than any can be does not count.
func TestStoreReplay(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	nodes := meet(t, s, "a", "b")
	a := nodes[0]
	kv := a.store.Load().rooms
	ctx := context.Background()
	home := a.Place(ctx, "blue").Node
	other := "a"
	if home == "a" {
		other = "b"
	}
	put := func(node string, age time.Duration) {
		value, err := a.sealed(roomsBucket, keyOf("blue"), entryOfRoom{node, wall() - age.Milliseconds()})
		if err == nil {
			_, err = kv.Put(ctx, keyOf("blue"), value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(other, 0)
	if got := a.Place(ctx, "blue").Node; got != other {
		t.Fatalf("a fresh entry is not heard: %s", got)
	}
	before := a.Stats().Refused[badClock]
	put(other, time.Hour)
	placed := a.Stats().Placed[placedNew]
	if a.Place(ctx, "blue"); a.Stats().Refused[badClock] != before+1 || a.Stats().Placed[placedNew] != placed+1 {
		t.Errorf("an old entry counts: %+v", a.Stats())
	}
}

// FuzzMessage: whatever comes sealed or not is read without harm, and what is heard is
// within the bounds.
func FuzzMessage(f *testing.F) {
	keys := newKeyring(secrets)
	record, _ := json.Marshal(Record{Version: version, Node: "b", Run: "r", Seq: 1, At: wall(), URL: "https://b.example.org"})
	f.Add(record, true)
	f.Add(keys.seal(beatSubject("b"), record), false)
	f.Add([]byte(`{"v":1,"node":"b","run":"r","url":"https://b","urls":["turn:x","http://x"],"load":{"cpu":2}}`), true)
	f.Add([]byte("turnhub1 01234567 AAAA\n{}"), false)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = keys.seal(beatSubject("b"), data)
		}
		r, why := readBeat(keys, &nats.Msg{Subject: beatSubject("b"), Data: data})
		if why != "" {
			if explanations[why] == "" {
				t.Fatalf("nobody explains %q", why)
			}
			return
		}
		if !sealed && !bytes.HasPrefix(data, []byte(magic)) {
			t.Fatal("heard without a seal")
		}
		if r.Node != "b" || len(data) > maxMessage || len(r.URLs) > maxURLs || len(r.Digests) > maxDigests || r.Load.CPU > 1 || !webURL(r.URL) {
			t.Fatalf("heard %+v", r)
		}
		b := newBook(time.Second)
		if _, wrong := b.hear(r, 0, r.At); wrong != "" {
			t.Fatalf("not heard: %s", wrong)
		}
		if _, wrong := b.hear(r, 0, r.At); wrong != badReplay {
			t.Fatalf("heard twice: %q", wrong)
		}
	})
}
