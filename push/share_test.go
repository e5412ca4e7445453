package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// shelf is a place that the stores of a test share, as the cluster's is.
type shelf struct {
	mu     sync.Mutex
	values map[string][]byte
	heard  map[string]*follower // by node
	away   bool
	refuse string // of keys with this end
}

func (s *shelf) Change(_ context.Context, key string, change func([]byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away || s.refuse != "" && strings.HasSuffix(key, s.refuse) {
		return errors.New("nobody is there")
	}
	old := s.values[key]
	value := change(old)
	if bytes.Equal(old, value) && (old == nil) == (value == nil) {
		return nil
	}
	if value == nil {
		delete(s.values, key)
	} else {
		s.values[key] = value
	}
	for _, f := range s.heard {
		f.tell(key, value)
	}
	return nil
}

// follower hears of changes later, in their order.
type follower struct {
	hear  func(key string, value []byte)
	mu    sync.Mutex
	queue []func()
}

func (f *follower) tell(key string, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queue = append(f.queue, func() { f.hear(key, value) }); len(f.queue) == 1 {
		go f.run()
	}
}

func (f *follower) run() {
	for {
		f.mu.Lock()
		next := f.queue[0]
		f.mu.Unlock()
		next()
		f.mu.Lock()
		f.queue = f.queue[1:]
		done := len(f.queue) == 0
		f.mu.Unlock()
		if done {
			return
		}
	}
}

func (s *shelf) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

// together is a cluster of stores.
type together struct {
	t            *testing.T
	users, rings *shelf
	key          *Key
	tune         tuning
	service      *service
	mu           sync.Mutex
	dead         map[string]bool
}

func newTogether(t *testing.T) *together {
	key, err := OpenKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	make := func() *shelf {
		return &shelf{values: make(map[string][]byte), heard: make(map[string]*follower)}
	}
	return &together{t: t, users: make(), rings: make(), key: key, service: newService(t), dead: map[string]bool{}}
}

func (g *together) node(name, dir string) *running {
	cfg := at(g.service)
	cfg.Key, cfg.Dir, cfg.tune = g.key, dir, g.tune
	cfg.Shared = &Shared{Users: g.users, Rings: g.rings, Node: name, Run: "1", Lives: func(node, _ string) (bool, bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return !g.dead[node], true
	}}
	r := serve(g.t, cfg)
	g.follow(name, r)
	return r
}

// follow tells a store what is on the shelves, as the cluster does when it opens them.
func (g *together) follow(name string, r *running) {
	for shelf, hear := range map[*shelf]func(string, []byte){g.users: r.HeardUser, g.rings: r.HeardRing} {
		shelf.mu.Lock()
		if shelf == g.users {
			r.Begin()
		}
		for key, value := range shelf.values {
			hear(key, value)
		}
		if shelf == g.users {
			r.Complete()
		}
		shelf.heard[name] = &follower{hear: hear}
		shelf.mu.Unlock()
	}
}

func (g *together) kill(name string, r *running) {
	for _, shelf := range []*shelf{g.users, g.rings} {
		shelf.mu.Lock()
		delete(shelf.heard, name)
		shelf.mu.Unlock()
	}
	g.mu.Lock()
	g.dead[name] = true
	g.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
}

// TestUnshared: one record that cannot be put on the shelf keeps no other one from it, and it
// can be seen that it is not there.
func TestUnshared(t *testing.T) {
	g := newTogether(t)
	a, b := g.node("a", t.TempDir()), g.node("b", t.TempDir())
	g.users.mu.Lock()
	g.users.refuse = "/foreign"
	g.users.mu.Unlock()
	for _, user := range []string{"foreign", "petya", "masha"} {
		if err := a.subscribe(user, g.service.subscribe(user).text); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "b knows the others", func() bool { return b.Reachable("petya") && b.Reachable("masha") })
	eventually(t, "one is counted", func() bool { return a.Store.Stats().Unshared == 1 })
	g.users.mu.Lock()
	g.users.refuse = ""
	g.users.mu.Unlock()
	eventually(t, "b knows that one too", func() bool { return b.Reachable("foreign") })
	eventually(t, "none is counted", func() bool { return a.Store.Stats().Unshared == 0 })
}

// TestMemoryOfManyIsBounded: whoever comes and goes under ever new names fills neither the
// nodes nor the shelf, and pushes nobody out who is still there.
func TestMemoryOfManyIsBounded(t *testing.T) {
	g := newTogether(t)
	g.tune = usualTuning
	g.tune.total = 20
	a, b := g.node("a", t.TempDir()), g.node("b", t.TempDir())
	if err := b.subscribe("petya", g.service.subscribe("petya").text); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		user := fmt.Sprintf("user%d", i)
		dev := g.service.subscribe(user)
		a.Subscribe(user, proof, netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), []byte(dev.text), func(error) {})
		eventually(t, "it is there", func() bool { return a.Reachable(user) })
		a.Forget(user)
	}
	for _, r := range []*running{a, b} {
		eventually(t, "a bounded memory", func() bool { return r.Store.Stats().Users <= 3*g.tune.total })
		eventually(t, "whoever is there", func() bool { return r.Reachable("petya") })
	}
	eventually(t, "a bounded shelf", func() bool { return g.users.count() <= 3*g.tune.total })
}

// TestTogether: what is subscribed at one node rings by another, what is gone at one is gone
// at all, missed calls are known everywhere and seen everywhere, and a name is one person's.
func TestTogether(t *testing.T) {
	g := newTogether(t)
	a, b := g.node("a", t.TempDir()), g.node("b", t.TempDir())
	phone, desk := g.service.subscribe("phone"), g.service.subscribe("desk")
	if err := a.subscribe("petya", phone.text); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b knows petya", func() bool { return b.Reachable("petya") })
	if got, kept := b.Keeper("petya"); !kept || got != proof {
		t.Error("b does not keep his name")
	}
	if err := b.subscribe("petya", desk.text); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a knows both", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.Store.mu.Lock()
		defer a.Store.mu.Unlock()
		return len(a.users["petya"].Subs) == 2
	})
	if !a.ring("c1", "petya") {
		t.Fatal("nobody is rung")
	}
	for _, dev := range []*browser{phone, desk} {
		eventually(t, "it rings", func() bool { return len(g.service.said(dev)) == 1 })
	}
	eventually(t, "b knows where it rings", func() bool { return b.RingsAt("c1") == "a" })
	a.Miss("petya", Missed{Call: "c1", User: "vasya", Reason: "timeout", At: 5})
	a.Settle("c1", Unseen, "")
	for _, dev := range []*browser{phone, desk} {
		eventually(t, "it stops", func() bool { got := g.service.said(dev); return len(got) == 2 && got[1].Type == "stop" })
	}
	eventually(t, "the shelf is empty", func() bool { return g.rings.count() == 0 })
	eventually(t, "b knows what was missed", func() bool { return len(b.Missed("petya")) == 1 })
	b.Seen("petya", []string{"c1"})
	eventually(t, "a knows that it was seen", func() bool { return len(a.Missed("petya")) == 0 })
	// 410 at one is gone at all.
	g.service.mu.Lock()
	delete(g.service.browsers, "/desk")
	g.service.mu.Unlock()
	a.ring("c2", "petya")
	a.Settle("c2", Elsewhere, "")
	only := func(r *running, n int) func() bool {
		return func() bool {
			r.Store.mu.Lock()
			defer r.Store.mu.Unlock()
			return r.users["petya"].kept() == (n > 0) && len(r.users["petya"].Subs) == n
		}
	}
	b.ring("c3", "petya")
	eventually(t, "b has one", only(b, 1))
	eventually(t, "a has one", only(a, 1))
	b.Settle("c3", Elsewhere, "")
	// So is the last one that is taken back, while the shelf is away too.
	g.users.set(true)
	done := make(chan error, 1)
	b.Unsubscribe("petya", g.service.server.URL+"/phone", func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, kept := b.Keeper("petya"); kept || !a.Reachable("petya") {
		t.Fatal("it is kept, or gone too early")
	}
	g.users.set(false)
	eventually(t, "a has none", func() bool { _, kept := a.Keeper("petya"); return !kept })
	// Neither comes back from a disk that has not heard of it.
	if err := a.subscribe("petya", phone.text); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b knows petya again", func() bool { return b.Reachable("petya") })
	dir := b.cfg.Dir
	b.end()
	g.kill("b", b)
	a.Forget("petya")
	eventually(t, "the shelf knows", func() bool {
		g.users.mu.Lock()
		defer g.users.mu.Unlock()
		return !bytes.Contains(g.users.values[a.place("petya")], []byte("endpoint"))
	})
	b = g.node("b", dir)
	if b.Reachable("petya") {
		t.Error("he is back")
	}
}

// TestInherited: of the nodes that live one finishes the call of another one that has died:
// it was missed, once, and each device is told once that it does not ring any more.
func TestInherited(t *testing.T) {
	g := newTogether(t)
	a, b, c := g.node("a", t.TempDir()), g.node("b", t.TempDir()), g.node("c", t.TempDir())
	const users = 20
	devices := make([]*browser, users)
	for i := range devices {
		devices[i] = g.service.subscribe(fmt.Sprint("d", i))
		if err := a.subscribe(fmt.Sprint("u", i), devices[i].text); err != nil {
			t.Fatal(err)
		}
	}
	for i, dev := range devices {
		for _, r := range []*running{b, c} {
			eventually(t, "all know him", func() bool { return r.Reachable(fmt.Sprint("u", i)) })
		}
		if !a.Ring(Call{ID: fmt.Sprint("c", i), To: fmt.Sprint("u", i), User: "vasya", For: patience, From: netip.AddrFrom4([4]byte{10, byte(i), 1, 1})}) {
			t.Fatal("nobody is rung")
		}
		eventually(t, "it rings", func() bool { return len(g.service.said(dev)) == 1 })
		eventually(t, "all know that it rings", func() bool { return b.RingsAt(fmt.Sprint("c", i)) == "a" && c.RingsAt(fmt.Sprint("c", i)) == "a" })
	}
	g.kill("a", a)
	for i, dev := range devices {
		user := fmt.Sprint("u", i)
		for _, r := range []*running{b, c} {
			eventually(t, "it was missed", func() bool { m := r.Missed(user); return len(m) == 1 && m[0].Reason == "lost" })
		}
		eventually(t, "it stops", func() bool { return len(g.service.said(dev)) >= 2 })
	}
	eventually(t, "the shelf is empty", func() bool { return g.rings.count() == 0 })
	for i, dev := range devices {
		if got := g.service.said(dev); len(got) != 2 || got[1].Type != "stop" || got[1].Reason != Unseen || got[1].topic != got[0].topic {
			t.Errorf("device %d is told %+v", i, got)
		}
	}
	// The one that was taken for dead says nothing more when it comes back.
	for i := range devices {
		a.HeardRing(fmt.Sprint("c", i), fmt.Appendf(nil, `{"node":"b","run":"1","call":"c%d"}`, i))
		a.Settle(fmt.Sprint("c", i), Unseen, "")
	}
	a.end()
	for i, dev := range devices {
		if got := g.service.said(dev); len(got) != 2 {
			t.Errorf("device %d is told %+v", i, got)
		}
	}
}

// TestResumed: a call of a node that has died is gone on with by another one: it is not missed,
// its devices are told nothing until it is over, and then once. What somebody else has finished
// already is not gone on with.
func TestResumed(t *testing.T) {
	g := newTogether(t)
	a, b, c := g.node("a", t.TempDir()), g.node("b", t.TempDir()), g.node("c", t.TempDir())
	dev := g.service.subscribe("d")
	if err := a.subscribe("petya", dev.text); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*running{b, c} {
		eventually(t, "all know him", func() bool { return r.Reachable("petya") })
	}
	call := Call{ID: "c1", To: "petya", User: "vasya", For: patience, From: netip.MustParseAddr("10.0.0.1")}
	if b.Resume(call) {
		t.Fatal("a call goes on that nobody has begun")
	}
	if !a.Ring(call) {
		t.Fatal("nobody is rung")
	}
	eventually(t, "it rings", func() bool { return len(g.service.said(dev)) == 1 })
	eventually(t, "all know that it rings", func() bool { return b.RingsAt("c1") == "a" && c.RingsAt("c1") == "a" })
	g.kill("a", a)
	if !b.Resume(call) {
		t.Fatal("it does not go on")
	}
	eventually(t, "all know where it rings", func() bool { return b.RingsAt("c1") == "b" && c.RingsAt("c1") == "b" })
	// Longer than another node waits until it finishes it.
	time.Sleep(b.cfg.tune.adopt + 3*adoptEvery)
	if said, missed := g.service.said(dev), c.Missed("petya"); len(said) != 1 || len(missed) != 0 {
		t.Fatalf("it is told %+v, and was missed %v", said, missed)
	}
	b.Settle("c1", Elsewhere, "")
	eventually(t, "it stops", func() bool { return len(g.service.said(dev)) == 2 })
	eventually(t, "the shelf is empty", func() bool { return g.rings.count() == 0 })
	if said := g.service.said(dev); said[1].Type != "stop" || said[1].Reason != Elsewhere {
		t.Errorf("it is told %+v", said)
	}
	// One that was finished by another node.
	call.ID, call.From = "c2", netip.MustParseAddr("10.0.1.1")
	if !b.Ring(call) {
		t.Fatal("nobody is rung")
	}
	eventually(t, "all know that it rings", func() bool { return c.RingsAt("c2") == "b" })
	g.kill("b", b)
	eventually(t, "it was missed", func() bool { return len(c.Missed("petya")) == 1 && c.RingsAt("c2") == "" })
	if c.Resume(call) {
		t.Error("it goes on although it is over")
	}
}
