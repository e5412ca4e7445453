package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"turnhub/cluster/natstest"
)

// sharer is a node with a shelf.
type sharer struct {
	*Cluster
	shelf *Shelf
	end   func()

	mu    sync.Mutex
	heard map[string][]byte
}

func share(t *testing.T, s *natstest.Server, name string, beat time.Duration) *sharer {
	n := &sharer{heard: make(map[string][]byte)}
	var err error
	n.Cluster, err = New(Config{
		NATS: []string{s.URL()}, Node: name, URL: "https://" + name + ".example.org", Software: "test", beat: beat, reconnect: 20 * time.Millisecond,
		State: func() State { return State{} }, Rooms: func() []string { return nil },
	}, secrets)
	if err != nil {
		t.Fatal(err)
	}
	n.shelf = n.Shelf(ShelfConfig{
		Bucket: "turnhub-test", MaxBytes: 1 << 20, Begin: func() {}, Complete: func() {},
		Heard: func(key string, value []byte) { n.mu.Lock(); defer n.mu.Unlock(); n.heard[key] = value },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.Serve(ctx) }()
	n.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(n.end)
	until(t, "the shelf is there", func() bool { return n.shelf.kv.Load() != nil })
	return n
}

// TestShelf: nodes that change a value at the same time all have their change in it, all hear
// it, over the loss of NATS too, and NATS itself cannot read it.
func TestShelf(t *testing.T) {
	s := natstest.Start(t, true)
	all := []*sharer{share(t, s, "a", 0), share(t, s, "b", 0), share(t, s, "c", 0)}
	number := func(b []byte) uint64 {
		if len(b) < 16 {
			return 0
		}
		return binary.BigEndian.Uint64(b[8:])
	}
	var group sync.WaitGroup
	const each = 30
	for _, n := range all {
		group.Go(func() {
			for i := 0; i < each; {
				err := n.shelf.Change(t.Context(), "a key/of anything", func(old []byte) []byte {
					return binary.BigEndian.AppendUint64([]byte("a secret"), number(old)+1)
				})
				if err == nil {
					i++
				} else if err != errOvertaken {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	heard := func(n *sharer) uint64 { n.mu.Lock(); defer n.mu.Unlock(); return number(n.heard["a key/of anything"]) }
	for _, n := range all {
		until(t, "all have heard all", func() bool { return heard(n) == uint64(len(all)*each) })
	}
	kv := *all[0].shelf.kv.Load()
	e, err := kv.Get(t.Context(), keyOf("a key/of anything"))
	if err != nil || bytes.Contains(e.Value(), []byte("secret")) {
		t.Errorf("NATS reads %q: %v", e.Value(), err)
	}
	// What somebody puts there who has no secret, or takes from another key, counts as nothing.
	if _, err := kv.Put(t.Context(), keyOf("other"), e.Value()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is refused", func() bool { return all[1].Stats().Refused[badSeal] > 0 })
	s.Kill()
	until(t, "NATS is away", func() bool {
		return all[2].shelf.Change(t.Context(), "x", func([]byte) []byte { return []byte("y") }) != nil
	})
	s.Run()
	until(t, "it is back", func() bool {
		return all[2].shelf.Change(t.Context(), "x", func([]byte) []byte { return []byte("y") }) == nil
	})
	until(t, "and heard", func() bool { all[0].mu.Lock(); defer all[0].mu.Unlock(); return string(all[0].heard["x"]) == "y" })
	until(t, "and taken away by another node, which comes back when it can", func() bool {
		return all[1].shelf.Change(t.Context(), "x", func([]byte) []byte { return nil }) == nil
	})
	until(t, "that it is gone too", func() bool {
		all[0].mu.Lock()
		defer all[0].mu.Unlock()
		v, is := all[0].heard["x"]
		return is && v == nil
	})
}

// TestLease: of several processes one has it; when that one is cut off, or ends, another one
// gets it, and never two at a time.
func TestLease(t *testing.T) {
	s := natstest.Start(t, true)
	const beat = 200 * time.Millisecond
	var all []*sharer
	leases := make(map[*sharer]*Lease)
	for _, name := range []string{"a", "b", "c"} {
		n := share(t, s, name, beat)
		all = append(all, n)
		leases[n] = n.shelf.Lease("the post")
		go leases[n].Hold(t.Context())
	}
	twice := 0
	holder := func() (who *sharer) {
		for _, n := range all {
			if leases[n].Held() {
				if who != nil && leases[who].Held() {
					twice++
				}
				who = n
			}
		}
		return who
	}
	for range 2 {
		var first *sharer
		until(t, "one has it", func() bool { first = holder(); return first != nil })
		// It loses NATS without a word.
		first.mu.Lock()
		first.Cluster.mu.Lock()
		conn := first.conn
		first.Cluster.mu.Unlock()
		first.mu.Unlock()
		conn.Close()
		until(t, "another one gets it", func() bool { n := holder(); return n != nil && n != first })
		for i, n := range all {
			if n == first {
				all = append(all[:i], all[i+1:]...)
				break
			}
		}
	}
	if twice > 0 {
		t.Errorf("two had it %d times", twice)
	}
}

// TestStream: everything is heard once, by all in one order, over the loss of NATS too.
func TestStream(t *testing.T) {
	s := natstest.Start(t, true)
	var mu sync.Mutex
	heard := make(map[string][]string)
	var streams []*Stream
	for _, name := range []string{"a", "b", "c"} {
		n := share(t, s, name, 0)
		stream := n.Stream(StreamConfig{Name: "test", MaxAge: time.Hour, MaxBytes: 1 << 20, Most: 1000})
		streams = append(streams, stream)
		go func() {
			after := uint64(0)
			for t.Context().Err() == nil {
				_ = stream.Follow(t.Context(), after, func(number uint64, body []byte) error {
					mu.Lock()
					defer mu.Unlock()
					if number <= after {
						t.Errorf("%s hears %d after %d", name, number, after)
					}
					after = number
					heard[name] = append(heard[name], string(body))
					return nil
				})
				<-time.After(20 * time.Millisecond)
			}
		}()
	}
	say := func(from, to int) {
		for i := from; i < to; i++ {
			for _, stream := range []*Stream{streams[i%3], streams[(i+1)%3]} { // twice, with one id
				until(t, "it is taken", func() bool { return stream.Publish(t.Context(), fmt.Sprint("id", i), fmt.Append(nil, i)) == nil })
			}
		}
	}
	all := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(heard["a"]) >= n && len(heard["b"]) >= n && len(heard["c"]) >= n
		}
	}
	say(0, 40)
	until(t, "all is heard", all(40))
	s.Kill()
	s.Run()
	say(40, 60)
	until(t, "all is heard again", all(60))
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"a", "b", "c"} {
		if fmt.Sprint(heard[name]) != fmt.Sprint(heard["a"]) || len(heard[name]) != 60 {
			t.Errorf("%s: %v\na: %v", name, heard[name], heard["a"])
		}
	}
	var asking sync.WaitGroup
	for range 2 { // at once
		asking.Go(func() {
			for range 20 {
				if _, _, err := streams[0].Last(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	last, life, err := streams[0].Last(t.Context())
	if err != nil || last != 60 || life == "" {
		t.Error(last, life, err)
	}
	// NATS itself cannot read it.
	js, stream, err := streams[0].open(t.Context())
	if err != nil {
		t.Fatal(js, err)
	}
	var m *jetstream.RawStreamMsg
	if m, err = stream.GetMsg(t.Context(), 11); err != nil || bytes.HasSuffix(m.Data, []byte("10")) {
		t.Errorf("%q: %v", m.Data, err)
	}
}

// TestShelfSecrets changes the secret under what is kept: it is sealed anew by each that has
// the new one first, nobody without it takes its place, and whoever has nothing but the new
// one reads it in the end. Two orders of the same secrets do not seal after each other for ever.
func TestShelfSecrets(t *testing.T) {
	s := natstest.Start(t, true)
	a, b := share(t, s, "a", 0), share(t, s, "b", 0)
	const key, value = "push", "what nobody may replace"
	write := func(n *sharer, text string) (had string, err error) {
		err = n.shelf.Change(t.Context(), key, func(old []byte) []byte {
			had = string(old)
			if old != nil {
				return old
			}
			return []byte(text)
		})
		return had, err
	}
	if _, err := write(a, value); err != nil {
		t.Fatal(err)
	}
	heard := func(n *sharer) string { n.mu.Lock(); defer n.mu.Unlock(); return string(n.heard[key]) }
	until(t, "both have heard it", func() bool { return heard(a) == value && heard(b) == value })
	revision := func() (uint64, bool) {
		e, err := (*a.shelf.kv.Load()).Get(t.Context(), keyOf(key))
		if err != nil {
			return 0, false
		}
		return e.Revision(), newKeyring([]string{"a new secret"}).newest(e.Value())
	}
	a.SetSecrets(append([]string{"a new secret"}, secrets...))
	until(t, "it is sealed anew", func() bool { _, renewed := revision(); return renewed })
	if _, err := write(b, "something else"); !errors.Is(err, ErrForeign) {
		t.Fatalf("who has not the secret: %v", err)
	}
	b.SetSecrets(append(slices.Clone(secrets), "a new secret"))
	until(t, "it can be opened", func() bool { had, err := write(b, "something else"); return err == nil && had == value })
	before, _ := revision()
	<-time.After(500 * time.Millisecond)
	if after, _ := revision(); after > before+2 {
		t.Errorf("%d revisions within half a second", after-before)
	}
	b.SetSecrets([]string{"a new secret"})
	a.SetSecrets([]string{"a new secret", secrets[0]})
	until(t, "it is sealed by the new one again", func() bool { _, renewed := revision(); return renewed })
	if had, err := write(b, "something else"); err != nil || had != value {
		t.Fatalf("who has nothing but the new secret: %q, %v", had, err)
	}
}
