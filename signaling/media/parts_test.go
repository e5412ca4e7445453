package media

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

// TestAcrossParts: when a node sends a session away, the sockets of the two, wherever they are,
// go on until they have met anew, and the other one hears of it at once.
func TestAcrossParts(t *testing.T) {
	for _, at := range []string{"ab", "cb", "ac", "cc"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := startNodes(t, Config{}, "a", "b", "c")
			p, q := b.together()
			open := func(node string, who, peer *person) *end {
				e := b.nodes[node].end()
				e.hello(who.id, who.token, peer.id)
				return e
			}
			meets := func(e *end) {
				t.Helper()
				for {
					if text, _ := e.next(); text == `{"type":"peer","here":true}` || text == `{"type":"ready","here":true}` {
						return
					}
				}
			}
			n := 0
			pass := func(ends ...*end) {
				t.Helper()
				for i := range ends {
					n++
					frame := numbered(Message, n, 100)
					ends[i].send(frame)
					for {
						text, got := ends[1-i].next()
						if bytes.Equal(got, frame) {
							break
						}
						if text != "" && text != `{"type":"peer","here":true}` {
							t.Fatalf("%s came", text)
						}
					}
				}
			}
			x, y := open(at[:1], p, q), open(at[1:], q, p)
			meets(x)
			meets(y)
			pass(x, y)
			leaving := b.nodes["a"].hub.Depart()
			for leaving.Next(time.Second, func(_, nodes []string, _ string) []string {
				if fmt.Sprint(nodes) != "[b]" {
					t.Errorf("they are with others on %v", nodes)
				}
				return []string{"wss://c.example.org/ws"}
			}) {
			}
			if m := q.hear("peer-left"); m["peer"] != p.id || m["reason"] != "lost" {
				t.Errorf("told: %v", m)
			}
			p.hear("restart")
			for began := time.Now(); time.Since(began) < goneAfter+beatEvery; time.Sleep(50 * time.Millisecond) {
				pass(x, y) // what is said again and again is heard
			}
			b.nodes["b"].hub.Elsewhere("room", "c", []string{"wss://c.example.org/ws"})
			r := b.nodes["c"].person("room")
			q.hear("peer-joined")
			z := open(at[1:], q, r)
			z.want(`{"type":"ready","here":false}`)
			pass(x, y)
			w := open("c", r, q)
			meets(w)
			meets(z)
			pass(w, z)
			pass(x, y)
			q.leaves(w, z)
		})
	}
}

// TestAcrossPartsAll: who has as many sockets as may be, and whose others all go with their
// node, has room for as many anew.
func TestAcrossPartsAll(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b", "c")
	p, q := b.together()
	all := []*person{p}
	for range maxSockets - 1 {
		all = append(all, b.nodes["a"].person("room"))
		q.hear("peer-joined")
	}
	sockets := func(with []*person, last string) {
		t.Helper()
		for i, o := range with {
			want := `{"type":"ready","here":false}`
			if i == maxSockets {
				want = last
			}
			if text, _ := q.open(o).next(); text != want {
				t.Fatalf("socket %d: %s", i, text)
			}
		}
	}
	sockets(all, "")
	leaving := b.nodes["a"].hub.Depart()
	for leaving.Next(time.Second, func(_, _ []string, _ string) []string { return []string{"wss://c.example.org/ws"} }) {
	}
	for range all {
		q.hear("peer-left")
	}
	b.nodes["b"].hub.Elsewhere("room", "c", []string{"wss://c.example.org/ws"})
	var anew []*person
	for range maxSockets + 1 {
		anew = append(anew, b.nodes["c"].person("room"))
		q.hear("peer-joined")
	}
	sockets(anew, fmt.Sprintf(`{"type":"error","code":%q,"message":"a session may have %d media sockets: close one first","retry":false}`, wire.CodeTooMany, maxSockets))
}
