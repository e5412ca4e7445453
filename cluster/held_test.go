package cluster

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"turnhub/cluster/natstest"
)

// holder is a node that tells what is held of it.
type heldNode struct {
	*testNode
	says []Held
	all  map[string][]Held
}

func (n *heldNode) tell(says ...Held) { n.get(func() { n.says = says }) }

// hears is what it has heard last, in short.
func (n *heldNode) hears() (short string) {
	n.get(func() {
		for _, node := range slices.Sorted(maps.Keys(n.all)) {
			for _, h := range n.all[node] {
				short += fmt.Sprintf("%s:%s %s%s %d; ", node, h.What, h.User, h.At, h.N)
			}
		}
	})
	return short
}

func startHeld(t *testing.T, s *natstest.Server, names ...string) (all []*heldNode) {
	t.Helper()
	for _, name := range names {
		n := &heldNode{}
		ready := make(chan struct{})
		n.testNode = start(t, s, name, nil, func(c *Cluster) {
			c.ShareHeld(func() (says []Held) {
				<-ready
				n.get(func() { says = slices.Clone(n.says) })
				return says
			}, func(all map[string][]Held) {
				<-ready
				n.get(func() { n.all = maps.Clone(all) })
			})
		})
		close(ready)
		all = append(all, n)
	}
	for _, n := range all {
		until(t, "all know all", func() bool { return n.live() == strings.Join(names, " ") && n.topics.up.Load() })
	}
	return all
}

// TestHeld: what is held on a node is known on the others until it is not any more, the node
// is emptied or dead, or NATS is away. What strangers say, or somebody says again, what
// cannot be read and what cannot be changes nothing.
func TestHeld(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, false)
	home := netip.MustParsePrefix("192.0.2.7/32")
	stranger, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	taken := make(chan *nats.Msg, 4096)
	if _, err := stranger.ChanSubscribe("turnhub.topic.*", taken); err != nil {
		t.Fatal(err)
	}
	nodes := startHeld(t, s, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	a.tell(Held{What: "user", User: "anna", N: 7}, Held{What: "address", At: home, N: 9, Share: 1})
	b.tell(Held{What: "user", User: "anna", N: 2})
	const ofA, ofB = "a:address 192.0.2.7/32 9; a:user annainvalid Prefix 7; ", "b:user annainvalid Prefix 2; "
	until(t, "c knows all", func() bool { return c.hears() == ofA+ofB })
	until(t, "the others know each other's", func() bool { return a.hears() == ofB && b.hears() == ofA })
	b.tell(Held{What: "user", User: "anna", N: 3})
	const laterB = "b:user annainvalid Prefix 3; "
	until(t, "c knows b's news", func() bool { return c.hears() == ofA+laterB })

	// All that was said, once more, as it was and changed; garbage on the same subjects; and
	// what is sealed by another secret.
	refusedBefore := func() (n uint64) {
		for _, count := range c.Stats().Refused {
			n += count
		}
		return n
	}
	before, sent := refusedBefore(), uint64(0)
	foreign := newKeyring([]string{"another secret"})
	for len(taken) > 0 {
		m := <-taken
		if e, why := readTopicEnvelope(m.Data); why != "" || e.node == "c" {
			continue
		}
		broken := slices.Clone(m.Data)
		broken[len(broken)-1]++
		e, _ := readTopicEnvelope(m.Data)
		huge := newTopicKey(e.node, e.run).sealTopic(foreign, m.Subject, e.node, e.run, e.number+1000, make([]byte, 1<<10))
		for _, data := range [][]byte{m.Data, broken, huge, []byte("garbage"), nil} {
			if err := stranger.Publish(m.Subject, data); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	if err := stranger.Flush(); err != nil || sent < 5*3 {
		t.Fatalf("only %d were sent: %v", sent, err)
	}
	until(t, "all of it is refused", func() bool { return refusedBefore() >= before+sent*4/5 })
	if got := c.hears(); got != ofA+laterB {
		t.Errorf("c believes %q", got)
	}

	// What a node itself should never say: none of it counts.
	for _, bad := range []string{
		`{}`, `[`, `[{"w":"user","u":"anna","n":-5}]`, `[{"w":"user","u":"anna","n":9223372036854775807}]`, `[{"w":"user","u":"anna","n":1e30}]`,
		`[{"w":"address","p":"192.0.2.7/8","n":1}]`, `[{"w":"address","p":"x","n":1}]`, `[{"w":"","n":1}]`, `[{"w":"volume","u":"anna","n":1,"a":86400}]`,
		`[{"w":"user","u":"` + strings.Repeat("x", maxHeldUser+1) + `","n":1}]`, `[{"w":"user","n":1},{"w":"user","n":0}]`,
		"[" + strings.Repeat(`{"w":"user","n":1},`, maxHeldBytes/10) + `{"w":"user","n":1}]`,
	} {
		if all, err := readHeld([]byte(bad)); err == nil {
			t.Errorf("%.60s is read as %v", bad, all)
		}
	}
	a.topics.State(heldTopic, []byte(`[{"w":"user","u":"anna","n":9223372036854775807}]`))
	until(t, "c refuses a's", func() bool { return c.Stats().Refused[badForm] > 0 && c.hears() == laterB })
	a.tell(Held{What: "user", User: "anna", N: 8})
	const laterA = "a:user annainvalid Prefix 8; "
	until(t, "c hears a again", func() bool { return c.hears() == laterA+laterB })

	a.Drain(true)
	until(t, "nobody holds anything of a node that is emptied", func() bool { return c.hears() == laterB })
	a.Drain(false)
	until(t, "it is filled again", func() bool { return c.hears() == laterA+laterB })
	a.stop()
	until(t, "a has ended", func() bool { return c.hears() == laterB })

	s.Kill()
	until(t, "each is for itself", func() bool { return c.hears() == "" && b.hears() == "" })
	s.Run()
	until(t, "NATS is back", func() bool { return c.hears() == laterB })
}

// TestHeldIsBounded: of very many those are told who are nearest to their limits.
func TestHeldIsBounded(t *testing.T) {
	t.Parallel()
	var all []Held
	for i := range 50_000 {
		all = append(all, Held{What: "user", User: fmt.Sprint("user", i), N: int64(i + 1), Share: float64(i)})
	}
	all = append(all, Held{What: "user", User: strings.Repeat("x", maxHeldUser+1), N: 1, Share: math.Inf(1)})
	state := packHeld(all)
	read, err := readHeld(state)
	if err != nil || len(state) > maxHeldBytes || len(read) < 1000 || read[0].N != 50_000 || read[len(read)-1].N != int64(50_000-len(read)+1) {
		t.Errorf("%d bytes, %d people: %v", len(state), len(read), err)
	}
	if packHeld(nil) != nil {
		t.Error("something is said of nobody")
	}
}

// FuzzHeld: what is read is within its bounds.
func FuzzHeld(f *testing.F) {
	f.Add([]byte(`[{"w":"user","u":"anna","p":"2001:db8::/64","n":3},{"w":"volume","n":1152921504606846976,"a":86399}]`))
	f.Add([]byte(`[{"w":"address","p":"192.0.2.7/8","n":1}]`))
	f.Fuzz(func(t *testing.T, state []byte) {
		all, err := readHeld(state)
		for _, h := range all {
			if err == nil && (h.N <= 0 || h.N > maxHeldN || h.Age < 0 || h.Age >= maxHeldAge || h.At.IsValid() && h.At != h.At.Masked()) {
				t.Fatalf("%+v", h)
			}
		}
	})
}
