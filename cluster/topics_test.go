package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/natstest"
)

// ear is one that listens on a topic of a node.
type ear struct {
	mu      sync.Mutex
	said    map[string][]string // by node
	changes int
}

func (e *ear) get(node string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said[node]
}

// listen opens a topic and waits until it is settled.
func listen(t *testing.T, x *Topics, topic, state string) *ear {
	t.Helper()
	e := &ear{said: make(map[string][]string)}
	x.Open(topic, []byte(state), func(node string, body []byte) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.said[node] = append(e.said[node], string(body))
	}, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.changes++
	})
	settled := make(chan struct{})
	if !x.Settled(topic, func() { close(settled) }) {
		<-settled
	}
	return e
}

func others(x *Topics, topic string) string {
	all := x.Others(topic)
	var list []string
	for _, node := range []string{"a", "b", "c"} {
		if state, is := all[node]; is {
			list = append(list, node+"="+string(state))
		}
	}
	return strings.Join(list, " ")
}

// topicNodes starts nodes that have topics, and waits until all know all.
func topicNodes(t *testing.T, s *natstest.Server, names ...string) (nodes []*testNode, all []*Topics) {
	t.Helper()
	for _, name := range names {
		var x *Topics
		n := start(t, s, name, func(*Config) {}, func(c *Cluster) { x = c.Topics() })
		nodes, all = append(nodes, n), append(all, x)
	}
	for i, n := range nodes {
		until(t, "all know all", func() bool { return n.live() == strings.Join(names, " ") && all[i].up.Load() })
	}
	return nodes, all
}

// TestTopics: what one says on a topic comes to all others that have it open, once, in order
// and whole, to nobody else, and not back; who opens it knows the states of the others when
// it is settled; a node that dies has none, and NATS comes back without anybody's doing.
func TestTopics(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	nodes, x := topicNodes(t, s, "a", "b", "c")
	const blue = "blue room.*>\x00 with ümlauts"
	a := listen(t, x[0], blue, "1")
	if got := others(x[0], blue); got != "" {
		t.Fatalf("alone with %q", got)
	}
	if x[0].Say(blue, []byte("nobody")) {
		t.Error("a is said to reach somebody")
	}
	b := listen(t, x[1], blue, "2")
	if got := others(x[1], blue); got != "a=1" {
		t.Fatalf("b knows %q when it is settled", got)
	}
	c := listen(t, x[2], blue, "3")
	if got := others(x[2], blue); got != "a=1 b=2" {
		t.Fatalf("c knows %q when it is settled", got)
	}
	until(t, "a knows all", func() bool { return others(x[0], blue) == "b=2 c=3" })
	x[1].State(blue, []byte("two"))
	until(t, "a knows b's new state", func() bool { return others(x[0], blue) == "b=two c=3" })
	elsewhere := listen(t, x[1], "red", "")

	large := make([]byte, 5*maxPiece/2)
	rand.Read(large)
	var want []string
	for i := range 500 {
		text := fmt.Sprint(i)
		if i%50 == 0 {
			text += string(large)
		}
		want = append(want, text)
		for _, each := range x {
			if !each.Say(blue, []byte(text)) {
				t.Fatal("it is said to reach nobody")
			}
		}
	}
	same := func(got []string) bool {
		if len(got) != len(want) {
			return false
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%d is %.20q", i, got[i])
			}
		}
		return true
	}
	for name, e := range map[string]*ear{"a": a, "b": b, "c": c} {
		for _, from := range []string{"a", "b", "c"} {
			if from != name {
				until(t, from+" is heard by "+name, func() bool { return same(e.get(from)) })
			}
		}
		if len(e.get(name)) > 0 {
			t.Error("own words come back")
		}
	}
	if len(elsewhere.get("a"))+len(elsewhere.get("c")) > 0 {
		t.Error("it is heard on another topic")
	}
	// Who does not have it open is heard too.
	x[2].Close(blue)
	until(t, "c is away", func() bool { return others(x[0], blue) == "b=two" })
	x[2].Say(blue, []byte("from outside"))
	until(t, "c is heard", func() bool { return len(a.get("c")) == len(want)+1 && len(b.get("c")) == len(want)+1 })

	s.Kill()
	until(t, "NATS is away", func() bool { return !x[0].Say(blue, []byte("lost")) })
	x[0].State(blue, []byte("one"))
	d := listen(t, x[2], blue, "back") // at once: nobody can be asked
	// However long it takes, nobody has left.
	until(t, "the beats are missed", func() bool {
		for _, m := range nodes[0].book.list(nodes[0].now()) {
			if m.Node == "b" && m.Gone {
				return true
			}
		}
		return false
	})
	time.Sleep(2 * nodes[0].cfg.beat)
	if got := others(x[0], blue); got != "b=two" {
		t.Errorf("without NATS a knows %q", got)
	}
	s.Run()
	until(t, "all are together again", func() bool {
		return others(x[0], blue) == "b=two c=back" && others(x[1], blue) == "a=one c=back" && others(x[2], blue) == "a=one b=two"
	})
	x[0].Say(blue, []byte("again"))
	until(t, "a is heard", func() bool { return len(d.get("a")) == 1 })

	nodes[1].stop()
	until(t, "b has gone", func() bool { return others(x[0], blue) == "c=back" })
	// A node that is not heard for long counts as dead, and is asked again when it is back.
	nodes[2].Cluster.mu.Lock()
	beats := nodes[2].conn
	nodes[2].Cluster.mu.Unlock()
	beats.Close()
	until(t, "c is taken for dead", func() bool { return others(x[0], blue) == "" })
}

// TestTopicsClosedUnheard: a node that has closed a topic while NATS was away has closed it, for
// the others too.
func TestTopicsClosedUnheard(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	_, x := topicNodes(t, s, "a", "b", "c")
	for i, state := range []string{"1", "2", "3"} {
		listen(t, x[i], "blue", state)
	}
	until(t, "a knows all", func() bool { return others(x[0], "blue") == "b=2 c=3" })
	s.Kill()
	until(t, "NATS is away", func() bool { return !x[1].up.Load() && !x[0].up.Load() })
	x[1].Close("blue")
	s.Run()
	until(t, "a knows that b has closed it", func() bool {
		got := others(x[0], "blue")
		if !strings.HasSuffix(got, "c=3") {
			t.Fatalf("a knows %q: c has it open", got)
		}
		return got == "c=3"
	})
}

// TestTopicsBySecret: nodes meet while one after the other takes another secret.
func TestTopicsBySecret(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	nodes, x := topicNodes(t, s, "a", "b")
	a := listen(t, x[0], "blue", "1")
	listen(t, x[1], "blue", "2")
	said := 0
	both := func(what string) {
		t.Helper()
		until(t, what, func() bool { return others(x[0], "blue") == "b=2" && others(x[1], "blue") == "a=1" })
		x[1].Say("blue", []byte(what))
		said++
		until(t, what+": it is heard", func() bool { return len(a.get("b")) == said })
	}
	both("at first")
	for _, step := range [][]string{{secrets[0], "next"}, {"next", secrets[0]}, {"next"}} {
		for i := range nodes {
			nodes[i].SetSecrets(step)
			both(fmt.Sprint(step, i))
		}
	}
}

// TestTopicsHostile: who has access to NATS and not the secret reads nothing, and what he
// changes, makes up, or sends again is counted and heard by nobody; the topic works on.
func TestTopicsHostile(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	_, x := topicNodes(t, s, "a", "b")
	stranger, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	var mu sync.Mutex
	var seen []*nats.Msg
	made := make(map[string]bool)
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 1))
	const text = "nobody else is to read this"
	say := func(m *nats.Msg) {
		if err := stranger.PublishMsg(m); err != nil && !stranger.IsClosed() {
			t.Errorf("the stranger cannot say it: %v", err)
		}
	}
	if _, err := stranger.Subscribe(">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(m.Subject, "turnhub.topic.") && !strings.HasPrefix(m.Subject, "_INBOX.") || made[string(m.Data)] || len(m.Data) == 0 {
			return
		}
		seen = append(seen, m)
		if bytes.Contains(m.Data, []byte(text)) || strings.Contains(m.Subject, "blue") {
			t.Error("a stranger can read it")
		}
		bad := bytes.Clone(m.Data)
		bad[random.IntN(len(bad))] ^= 1 << random.IntN(8)
		short := bytes.Clone(m.Data[:random.IntN(len(m.Data))])
		long := append(bytes.Clone(m.Data), make([]byte, maxPacket)...)
		other := seen[random.IntN(len(seen))]
		for _, data := range [][]byte{bad, short, long} {
			made[string(data)] = true
			say(&nats.Msg{Subject: m.Subject, Reply: m.Reply, Data: data})
		}
		made[string(m.Data)] = true
		say(&nats.Msg{Subject: m.Subject, Reply: m.Reply, Data: m.Data})     // again
		say(&nats.Msg{Subject: m.Subject, Reply: m.Reply, Data: other.Data}) // of another subject or moment
	}); err != nil {
		t.Fatal(err)
	}
	_ = stranger.Flush()
	a := listen(t, x[0], "blue", "1")
	b := listen(t, x[1], "blue", "2")
	listen(t, x[1], "red", "2")
	listen(t, x[0], "red", "2")
	const messages = 300
	for i := range messages {
		x[0].Say("blue", fmt.Appendf(nil, "%d %s", i, text))
		x[0].Say("red", []byte(text))
		x[1].Say("blue", fmt.Appendf(nil, "%d %s", i, text))
	}
	for _, e := range []struct {
		*ear
		from string
	}{{a, "b"}, {b, "a"}} {
		until(t, "all is heard", func() bool { return len(e.get(e.from)) >= messages })
	}
	_ = stranger.Flush()
	x[0].Say("blue", []byte("the end"))
	until(t, "the end is heard", func() bool { return slices.Contains(b.get("a")[messages:], "the end") })
	for i, got := range b.get("a")[:messages] {
		if want := fmt.Sprintf("%d %s", i, text); got != want {
			t.Fatalf("%d is %q", i, got)
		}
	}
	if len(a.get("b")) != messages || len(b.get("a")) != messages+1 {
		t.Errorf("heard %d and %d", len(a.get("b")), len(b.get("a")))
	}
	if others(x[0], "blue") != "b=2" || others(x[1], "blue") != "a=1" {
		t.Errorf("a knows %q, b knows %q", others(x[0], "blue"), others(x[1], "blue"))
	}
	for _, why := range []string{badSeal, badForm, badReplay, badSize} {
		// What he makes is left to chance, and of few packets not of every kind: he gets more.
		until(t, "something is refused for its "+why, func() bool {
			x[0].Say("red", []byte(text))
			return x[1].c.Stats().Refused[why] > 0
		})
	}
	// What was said before a node listened is not heard when it does.
	mu.Lock()
	old := seen
	mu.Unlock()
	x[1].Close("blue")
	b = listen(t, x[1], "blue", "3")
	for _, m := range old {
		_ = stranger.Publish(m.Subject, m.Data)
	}
	_ = stranger.Flush()
	x[0].Say("blue", []byte("now"))
	until(t, "what is said now is heard", func() bool { return len(b.get("a")) > 0 })
	if got := b.get("a"); len(got) != 1 || got[0] != "now" {
		t.Errorf("heard %.100q", got)
	}
	// Nor does a packet of a process that there is not cause any work.
	for _, m := range old {
		made := bytes.Clone(m.Data)
		if e, why := readTopicEnvelope(made); why == "" && e.node == "b" {
			made[topicRunAt] ^= 1
			x[0].packet(&nats.Msg{Subject: m.Subject, Data: made})
			x[0].mu.Lock()
			if len(x[0].missed) > 0 {
				t.Error("all are to be asked for the word of a stranger")
			}
			x[0].mu.Unlock()
			return
		}
	}
	t.Error("b has said nothing")
}

// FuzzTopicPacket: whatever comes on a topic is read without harm, and heard only with its seal.
// What is refused because a clock was set is asked for again; what was said once more is not.
func TestTopicsClockSet(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	_, x := topicNodes(t, s, "a", "b")
	listen(t, x[0], "blue", "1")
	listen(t, x[1], "blue", "2")
	until(t, "they know of each other", func() bool { return others(x[0], "blue") == "b=2" && others(x[1], "blue") == "a=1" })
	keys := x[0].c.keys.Load()
	subject := topicSubject(keys.topicToken(keys.ids[0], "blue"))
	stranger, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	late := func(number uint64) {
		plain := binary.BigEndian.AppendUint64(nil, uint64(wall()-2*maxTopicAge.Milliseconds()))
		plain = append(append(plain, topicState), "3"...)
		before := x[1].c.Stats().Refused[badClock]
		_ = stranger.Publish(subject, newTopicKey("a", x[0].c.run).sealTopic(keys, subject, "a", x[0].c.run, number, plain))
		_ = stranger.Flush()
		until(t, "it is refused for its clock", func() bool { return x[1].c.Stats().Refused[badClock] > before })
	}
	late(1)
	if x[1].deaf.Load() {
		t.Error("all are to be asked for what was heard long ago")
	}
	heard := x[0].c.Stats().TopicsHeard
	late(x[0].said.Add(1))
	until(t, "all are asked again", func() bool { return x[0].c.Stats().TopicsHeard > heard })
}

func FuzzTopicPacket(f *testing.F) {
	keys := newKeyring(secrets)
	const subject, run = "turnhub.topic.x", "abcdefghijkl"
	key := newTopicKey("b", run)
	whole := key.sealTopic(keys, subject, "b", run, 7, []byte("12345678\x05hello"))
	f.Add(whole)
	f.Add(whole[:40])
	f.Add(answerBody("token", []string{"a", "b"}, []byte("state")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, names, _, _ := readAnswer(data)
		if len(names) > maxNodes {
			t.Fatal("too many names")
		}
		e, why := readTopicEnvelope(data)
		if why != "" {
			if explanations[why] == "" {
				t.Fatalf("nobody explains %q", why)
			}
			return
		}
		if _, why = key.openTopic(keys, &e, subject, data); why == "" && !bytes.Equal(data, whole) {
			t.Fatal("opened without a seal")
		}
	})
}
