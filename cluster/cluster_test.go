package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/natstest"
)

var secrets = []string{"a secret of all nodes"}

// testNode is a node of the tests: the real cluster, without a relay or a hub.
type testNode struct {
	*Cluster
	stop func()

	mu      sync.Mutex
	rooms   []string
	sent    map[string][]string // signalings by room, see Config.Elsewhere
	revoked map[string]time.Time
	did     []string
}

func (n *testNode) get(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// start starts a node on a NATS server. more changes its configuration, before what is made.
func start(t *testing.T, s *natstest.Server, name string, more func(*Config), before ...func(*Cluster)) *testNode {
	t.Helper()
	n := &testNode{sent: make(map[string][]string), revoked: make(map[string]time.Time)}
	cfg := Config{
		NATS: []string{s.URL()}, Node: name, URL: "https://" + name + ".example.org", Software: "test", reconnect: 20 * time.Millisecond,
		State: func() State {
			return State{
				URLs: []string{"turn:" + name + ".example.org:3478?transport=udp"},
				Load: Load{Processors: 1}, Digests: map[string]string{"peers": "1"},
			}
		},
		Rooms: func() (rooms []string) { n.get(func() { rooms = slices.Clone(n.rooms) }); return rooms },
		Elsewhere: func(room, _ string, signalings []string) {
			n.get(func() { n.sent[room] = signalings })
		},
		Revoked:     func(all map[string]time.Time) { n.get(func() { maps.Copy(n.revoked, all) }) },
		Revocations: func() (all map[string]time.Time) { n.get(func() { all = maps.Clone(n.revoked) }); return all },
		Do: func(action, argument string) (json.RawMessage, error) {
			if action == "fail" {
				return nil, fmt.Errorf("this version does not know it")
			}
			n.get(func() { n.did = append(n.did, action+" "+argument) })
			return json.RawMessage(`{"sessions":1}`), nil
		},
	}
	if more != nil {
		more(&cfg)
	}
	var err error
	if n.Cluster, err = New(cfg, secrets); err != nil {
		t.Fatal(err)
	}
	for _, f := range before {
		f(n.Cluster)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Serve(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// until waits for something that must become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatal("did not come: ", what)
		case <-look.C:
		}
	}
}

// live are the nodes that one takes for alive, itself with them.
func (n *testNode) live() string {
	var names []string
	for _, m := range n.Members() {
		if !m.Gone {
			names = append(names, m.Node)
		}
	}
	return strings.Join(names, " ")
}

// meet starts nodes and waits until each knows all, and has the store.
func meet(t *testing.T, s *natstest.Server, names ...string) []*testNode {
	t.Helper()
	var all []*testNode
	for _, name := range names {
		all = append(all, start(t, s, name, nil))
	}
	for _, n := range all {
		until(t, "all know all", func() bool { return n.live() == strings.Join(names, " ") && n.Stats().Store })
	}
	return all
}

// crash ends a node's connection as the end of its process does.
func (n *testNode) crash() {
	n.Cluster.mu.Lock()
	defer n.Cluster.mu.Unlock()
	n.conn.Close()
}

// TestPlace: whoever is asked names the same node of a room, at once too, and another
// one as soon as that has ended.
func TestPlace(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	nodes := meet(t, s, "a", "b", "c")
	held := make(map[string]int)
	for i := range 12 {
		room := fmt.Sprint("room-", i)
		var group sync.WaitGroup
		got := make([]Placement, len(nodes))
		for k, n := range nodes {
			group.Go(func() { got[k] = n.Place(context.Background(), room) })
		}
		group.Wait()
		for k, p := range got {
			if p.Node != got[0].Node || p.Local != (p.Node == nodes[k].cfg.Node) {
				t.Fatalf("%s: %+v", room, got)
			}
			if p.Signalings[0] != "wss://"+p.Node+".example.org/ws" || len(p.Signalings) != 3 || len(p.Next) != 1 || p.URLs[0] == p.Next[0] {
				t.Fatalf("%+v", p)
			}
		}
		held[got[0].Node]++
	}
	if len(held) < 2 {
		t.Errorf("all rooms are on one node: %v", held)
	}
	first := nodes[0].Place(context.Background(), "room-0").Node
	at := slices.IndexFunc(nodes, func(n *testNode) bool { return n.cfg.Node == first })
	nodes[at].crash()
	rest := slices.Delete(slices.Clone(nodes), at, at+1)
	// Who was heard a moment ago is not asked whether it lives.
	until(t, "its beat is a quarter old", func() bool { return rest[0].Place(context.Background(), "room-0").Node != first })
	one, two := rest[0].Place(context.Background(), "room-0"), rest[1].Place(context.Background(), "room-0")
	if one.Node == first || one.Node != two.Node {
		t.Errorf("%s has ended; then %+v and %+v", first, one, two)
	}
	if alone := nodes[at].Place(context.Background(), "another"); alone.Node != first {
		t.Errorf("without NATS %s sends people to %+v", first, alone)
	}
}

// TestClaim: a room that has people on a node which another one has is sent there; one
// that nobody has is the node's own.
func TestClaim(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	nodes := meet(t, s, "a", "b")
	a, b := nodes[0], nodes[1]
	b.RoomOpened("blue")
	until(t, "b has blue", func() bool { return a.Place(context.Background(), "blue").Node == "b" })
	a.get(func() { a.rooms = []string{"blue", "green"} })
	a.look() // as when NATS is back
	want := []string{"wss://b.example.org/ws", "wss://a.example.org/ws"}
	until(t, "a sends those in blue to b", func() (is bool) {
		a.get(func() { is = slices.Equal(a.sent["blue"], want) })
		return is
	})
	// Whoever asks for it before that gets a node for it, which may be another one.
	until(t, "a has said that it has green", func() bool { return a.placedAt.get("green") == "a" })
	if p := b.Place(context.Background(), "green"); p.Node != "a" {
		t.Errorf("b sends those who ask for green to %s", p.Node)
	}
	a.get(func() {
		if a.sent["green"] != nil {
			t.Error("a sends people away from its own room")
		}
	})
	// A node that goes has no rooms any more.
	a.Drain(true)
	until(t, "b knows", func() bool { return b.Members()[0].Draining })
	if p := b.Place(context.Background(), "green"); p.Node != "b" {
		t.Errorf("%+v has a room while it goes down", p)
	}
}

// TestRevocations: those of a node are everybody's, before and after it comes and
// whether NATS was there at the time or not.
func TestRevocations(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	a := meet(t, s, "a")[0]
	at := time.Now().Add(-time.Hour).Round(0).UTC()
	if err := a.KeepRevoked(context.Background(), "vasya@example.org", at); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	until(t, "NATS is lost", func() bool { return !a.Stats().Connected })
	if err := a.KeepRevoked(context.Background(), "petya", at); err == nil {
		t.Fatal("a revocation is said to be in the store, which is away")
	}
	a.get(func() { a.revoked["petya"] = at })
	s.Run()
	b := start(t, s, "b", nil)
	for _, name := range []string{"vasya@example.org", "petya"} {
		until(t, "b knows that "+name+" is revoked", func() (is bool) {
			b.get(func() { is = b.revoked[name].Equal(at) })
			return is
		})
	}
}

// TestTell: what the operator does is done on every other node, and it is said which one
// has not.
func TestTell(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	a, b := start(t, s, "a", nil), start(t, s, "b", nil)
	until(t, "they meet", func() bool { return a.live() == "a b" })
	answers := a.Tell(context.Background(), "revoke", "vasya")
	if len(answers) != 1 || answers[0].Err != nil || string(answers[0].Body) != `{"sessions":1}` {
		t.Fatalf("%+v", answers)
	}
	b.get(func() {
		if !slices.Equal(b.did, []string{"revoke vasya"}) {
			t.Errorf("b did %v", b.did)
		}
	})
	if answers := a.Tell(context.Background(), "fail", ""); len(answers) != 1 || answers[0].Err == nil || answers[0].Node != "b" {
		t.Errorf("%+v", answers)
	}
	b.crash()
	until(t, "NATS knows that b has ended", func() bool {
		_, err := a.ask(context.Background(), "b", askPing, "", pingPatience)
		return errors.Is(err, errNobody)
	})
	if answers := a.Tell(context.Background(), "revoke", "vasya"); len(answers) != 0 {
		t.Errorf("a node that has ended: %+v", answers)
	}
}

// TestWithoutStore: without JetStream all nodes find the same node by a room's name.
func TestWithoutStore(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	a, b := start(t, s, "a", nil), start(t, s, "b", nil)
	until(t, "they meet", func() bool { return a.live() == "a b" && b.live() == "a b" })
	held := make(map[string]int)
	for i := range 20 {
		room := fmt.Sprint("room-", i)
		one, two := a.Place(context.Background(), room), b.Place(context.Background(), room)
		if one.Node != two.Node {
			t.Fatalf("%s: %s and %s", room, one.Node, two.Node)
		}
		held[one.Node]++
	}
	if len(held) != 2 || a.Stats().Placed[placedByName] != 20 {
		t.Errorf("%v, %v", held, a.Stats().Placed)
	}
}

// TestNATSDies: while there is none, a node has its rooms itself, and with it back all
// meet again.
func TestNATSDies(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	nodes := meet(t, s, "a", "b")
	a := nodes[0]
	before := a.Place(context.Background(), "blue")
	s.Kill()
	until(t, "NATS is lost", func() bool { return !a.Stats().Connected })
	if p := a.Place(context.Background(), "blue"); p.Node != before.Node {
		t.Errorf("blue was on %s and is on %s now", before.Node, p.Node)
	}
	if p := a.Place(context.Background(), "new"); !p.Local || p.Signalings[0] != "wss://a.example.org/ws" {
		t.Errorf("%+v", p)
	}
	beats := a.Stats().Beats
	s.Run()
	until(t, "they meet again", func() bool { return a.Stats().Connected && a.Stats().Beats > beats && a.live() == "a b" })
	until(t, "the store is back", func() bool {
		known := a.Stats().Placed[placedKnown] + a.Stats().Placed[placedNew]
		a.Place(context.Background(), "again")
		return a.Stats().Placed[placedKnown]+a.Stats().Placed[placedNew] > known
	})
}

// TestSameName: of two processes with one name the younger is the node; when it has
// ended, the older one is again.
func TestSameName(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	old := start(t, s, "a", nil)
	other := start(t, s, "b", nil)
	until(t, "they meet", func() bool { return other.live() == "a b" })
	young := start(t, s, "a", func(c *Config) { c.URL = "https://young.example.org" })
	until(t, "the older one is silent", func() bool { return !old.speaks() })
	until(t, "b knows the younger one", func() bool { return other.Members()[0].URL == "https://young.example.org" })
	if !young.speaks() {
		t.Error("both are silent")
	}
	if p := old.Place(context.Background(), "blue"); !p.Local {
		t.Errorf("who speaks for nobody sends people to %+v", p)
	}
	young.stop()
	until(t, "the older one is the node again", func() bool { return old.speaks() && other.Members()[0].URL == "https://a.example.org" })
}

// TestHostile: what a stranger with access to NATS sends is counted by reason, and
// harms nobody.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	a := start(t, s, "a", nil)
	tap, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	beats, err := tap.SubscribeSync(beatSubject("b"))
	if err == nil {
		err = tap.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, s, "b", nil)
	until(t, "they meet", func() bool { return a.live() == "a b" && a.Stats().Store && b.Stats().Store })
	heard, err := beats.NextMsg(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(secret string, change func(*Record)) []byte {
		body, _ := a.keys.Load().open(heard.Subject, heard.Data)
		var r Record
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		change(&r)
		body, _ = json.Marshal(r)
		return newKeyring([]string{secret}).seal(heard.Subject, body)
	}
	changed := slices.Clone(heard.Data)
	changed[len(changed)-2] ^= 1
	for _, x := range []struct {
		subject string
		data    []byte
		want    string
	}{
		{beatSubject("b"), heard.Data, badReplay},
		{beatSubject("a"), heard.Data, badSeal},
		{beatSubject("b"), changed, badSeal},
		{beatSubject("b"), []byte("{}"), badForm},
		{beatSubject("b"), nil, badForm},
		{beatSubject("b"), make([]byte, 1<<20-1), badSize},
		{beatSubject("b"), append([]byte("turnhub2 "), heard.Data[len(magic):]...), badVersion},
		{beatSubject("b"), forged("another secret", func(*Record) {}), badSecret},
		{beatSubject("b"), forged(secrets[0], func(r *Record) { r.Version = 2 }), badVersion},
		{beatSubject("b"), forged(secrets[0], func(r *Record) { r.Node = "c" }), badName},
		{beatSubject("b"), forged(secrets[0], func(r *Record) { r.Seq, r.At = 1e6, r.At-int64(time.Hour/time.Millisecond) }), badClock},
		{beatSubject("b"), forged(secrets[0], func(r *Record) { r.URL = "javascript:alert(1)" }), badForm},
		{beatSubject("b"), forged(secrets[0], func(r *Record) { r.URLs = []string{"http://x"} }), badForm},
		{beatSubject("b"), forged(secrets[0], func(r *Record) { r.Run, r.Since = "older", r.Since-1 }), badOld},
		{askSubject("a"), []byte("?"), badForm},
		{askSubject("a"), newKeyring(secrets).seal(askSubject("a"), []byte(`{"v":1,"from":"b","id":"x","at":1,"ask":"revoke"}`)), badClock},
	} {
		before := a.Stats().Refused[x.want]
		if err := tap.Publish(x.subject, x.data); err != nil {
			t.Fatal(err)
		}
		until(t, fmt.Sprintf("%.60q is refused as %s (%v)", x.data, x.want, a.Stats().Refused), func() bool { return a.Stats().Refused[x.want] > before })
	}
	question := newKeyring(secrets).seal(askSubject("a"), fmt.Appendf(nil, `{"v":1,"from":"b","id":"y","at":%d,"ask":"revoke","argument":"vasya"}`, wall()))
	before := a.Stats().Refused[badReplay]
	for range 2 {
		_ = tap.Publish(askSubject("a"), question)
	}
	until(t, "a question is heard once", func() bool { return a.Stats().Refused[badReplay] > before })
	until(t, "and done", func() (is bool) { a.get(func() { is = slices.Equal(a.did, []string{"revoke vasya"}) }); return is })
	if m := a.Members()[1]; m.URL != "https://b.example.org" || m.Gone {
		t.Errorf("b is %+v to a", m)
	}
	// The store as well.
	js, err := tap.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(roomsBucket)
	if err == nil {
		_, err = kv.Put(keyOf("blue"), []byte(`{"node":"evil"}`))
	}
	if err != nil {
		t.Fatal(err)
	}
	if one, two := a.Place(context.Background(), "blue"), b.Place(context.Background(), "blue"); one.Node != two.Node {
		t.Errorf("%s and %s", one.Node, two.Node)
	}
}

// TestLook: who is no node sees who differs in what, by name.
func TestLook(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	const beat = 200 * time.Millisecond
	a := start(t, s, "a", func(c *Config) { c.beat = beat })
	start(t, s, "b", func(c *Config) {
		c.beat = beat
		state := c.State
		c.State = func() State { x := state(); x.Digests = map[string]string{"peers": "2"}; return x }
	})
	stranger := start(t, s, "c", func(c *Config) { c.beat = beat })
	stranger.SetSecrets([]string{"another secret"})
	// One of another version, in beats of a form that nobody knows, and one that differs in what
	// nodes say to each other.
	later := func(name string, change func(*Record) []byte) {
		r := Record{Version: version, Node: name, Run: "abcdefghijkl", Since: wall(), At: wall(), URL: "https://d.example.org", Link: linkVersion + 1}
		conn, err := nats.Connect(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		done := make(chan struct{})
		var group sync.WaitGroup
		t.Cleanup(func() { close(done); group.Wait() })
		group.Go(func() {
			for ; ; r.Seq++ {
				select {
				case <-done:
					return
				case <-time.After(beat / 4):
				}
				r.At = wall()
				_ = conn.Publish(beatSubject(name), change(&r))
			}
		})
	}
	sealed := func(r *Record) []byte {
		body, _ := json.Marshal(r)
		return newKeyring(secrets).seal(beatSubject(r.Node), body)
	}
	later("d", func(r *Record) []byte { r.Version = version + 1; return sealed(r) })
	later("e", sealed)
	// One that has just begun, and one with whose sessions nobody could go on for long.
	later("f", func(r *Record) []byte {
		if r.Bare = "behind"; r.Seq > 40 {
			r.Bare = ""
		}
		return sealed(r)
	})
	later("g", func(r *Record) []byte { r.Bare, r.BareFor = "slow", settles.Milliseconds(); return sealed(r) })
	v, err := Look(context.Background(), Config{NATS: []string{s.URL()}, beat: beat}, secrets, map[string]string{"peers": "1"})
	if err != nil || v.Store != nil || v.Server == "" {
		t.Fatal(err, v.Store, v.Server)
	}
	if len(v.Members) < 2 || v.Members[0].Node != "a" || v.Members[0].Differs != nil || !slices.Equal(v.Members[1].Differs, []string{"peers"}) {
		t.Errorf("%+v", v.Members)
	}
	if !slices.Equal(v.Strangers, []string{"c"}) {
		t.Errorf("strangers: %v", v.Strangers)
	}
	if !slices.Equal(v.Others, []string{"d"}) {
		t.Errorf("of another version: %v", v.Others)
	}
	for _, m := range v.Members {
		if m.Speaks() != (m.Node < "e") {
			t.Errorf("%s, link %d", m.Node, m.Link)
		}
	}
	if len(v.Members) != 5 || v.Members[3].Bare != "" || !v.Members[4].Unkept() {
		t.Errorf("members: %+v", v.Members)
	}
	// There is no stream to it, and its name is told.
	if a.lineOf("e") != nil || a.lineOf("d") != nil {
		t.Error("there are streams to nodes that do not understand them")
	}
	if n := a.Stats().Refused[badVersion]; n == 0 {
		t.Error("nothing was refused for its version")
	}
}
