package socketio

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/topicstest"
	"turnhub/signaling/internal/wstest"
)

// startNodes starts servers of so many nodes; what happens between them comes in random order.
func startNodes(t *testing.T, names ...string) (net *topicstest.Nodes, nodes []*fixture) {
	t.Helper()
	net = topicstest.New(names...)
	random := rand.New(rand.NewPCG(rand.Uint64(), 1))
	net.Pick = func(n int) int { return random.IntN(n) }
	t.Cleanup(net.Run())
	for _, name := range names {
		nodes = append(nodes, run(t, signaling.Config{}, Config{Topics: net.Node(name)}))
	}
	return net, nodes
}

// TestNodes: rooms and channels are one over three nodes: created to the first, nothing to the
// second, full to the third, bye to the one left behind, by a leave and by the death of a node;
// attachments pass, and what is said right after a join is said in the room.
func TestNodes(t *testing.T) {
	net, nodes := startNodes(t, "a", "b", "c")
	f := nodes[0]
	a, b, c := nodes[0].socket("&channel=x"), nodes[1].socket("&channel=x"), nodes[2].connect("&channel=x")
	other := nodes[1].socket("")
	const header = `452-["message",{"x":{"_placeholder":true,"num":0},"y":{"_placeholder":true,"num":1}}]`
	f.send(a, `421["message",{"b": 1,"a":null}]`)
	f.want(a, "431[]")
	f.send(a, header)
	for _, part := range []string{"\x01\x02", ""} {
		_ = a.WriteMessage(websocket.BinaryMessage, []byte(part))
	}
	f.want(b, `42["message",{"b": 1,"a":null}]`)
	f.want(b, header)
	for _, part := range []string{"\x01\x02", ""} {
		if kind, got, err := wstest.Read(b); err != nil || kind != websocket.BinaryMessage || string(got) != part {
			t.Fatalf("attachment %q of kind %d, %v", got, kind, err)
		}
	}
	for _, want := range []string{`42["message",{"b": 1,"a":null}]`, header, "bAQI=", "b"} {
		c.want(want)
	}
	f.send(other, `42["message","elsewhere"]`)

	f.send(a, `42["join","r"]`)
	f.want(a, `42["created","r"]`)
	f.send(b, `421["join","r"]`)
	f.send(b, `42["message","at once"]`) // while the other nodes are asked
	f.want(a, `42["message","at once"]`)
	f.want(b, `431["joined"]`)
	c.post(`422["join","r"]`)
	c.want(`42["full","r"]`)
	c.want(`432["full"]`)
	c.post(`423["message","from outside"]`)
	c.want("433[]")
	f.send(a, `42["message","in the room"]`)
	f.want(b, `42["message","in the room"]`)
	b.Close()
	f.want(a, `42["bye"]`)
	c.post(`424["join","r"]`)
	c.want(`434["joined"]`)
	c.post(`42["message","now inside"]`)
	f.want(a, `42["message","now inside"]`)
	f.send(a, `42["join",7]`)
	c.want(`42["bye"]`)
	f.want(a, `42["created","7"]`)
	c.post(`425["join","7"]`)
	c.want(`435["joined"]`)
	net.Kill("a")
	c.want(`42["bye"]`)
	late := nodes[1].socket("&channel=x")
	f.send(late, `426["join","7"]`)
	f.want(late, `436["joined"]`)
}

// TestNodesJoin: of many who join a room on three nodes at the same moment one has created it,
// one has joined, and all others find it full.
func TestNodesJoin(t *testing.T) {
	_, nodes := startNodes(t, "a", "b", "c")
	var all []*websocket.Conn
	for i := range 6 {
		all = append(all, nodes[i%3].socket(""))
	}
	for round := range 20 {
		got := make(map[string]int)
		var mu sync.Mutex
		var group sync.WaitGroup
		for _, ws := range all {
			group.Go(func() {
				_ = ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `421["join","r%d"]`, round))
				for {
					_, text, err := wstest.Read(ws)
					if err != nil {
						t.Error(err)
						return
					}
					if result, is := strings.CutPrefix(string(text), "431"); is {
						mu.Lock()
						got[result]++
						mu.Unlock()
						return
					}
				}
			})
		}
		group.Wait()
		if got[`["created"]`] != 1 || got[`["joined"]`] != 1 || got[`["full"]`] != 4 {
			t.Fatalf("round %d: %v", round, got)
		}
	}
}

// FuzzPackets: what another node says is read without harm, and what this one says comes back
// as it was.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{}, []byte("x"))
	f.Add(encodePackets([]packet{{kind: packetMessage, data: []byte(`2["message"]`)}, {kind: packetMessage, binary: true}}), []byte(nil))
	f.Fuzz(func(t *testing.T, said, data []byte) {
		if packets, ok := decodePackets(said); ok && (len(packets) == 0 || len(packets) > maxAttachments+1) {
			t.Fatal(len(packets))
		}
		packets, ok := decodePackets(encodePackets([]packet{{kind: packetMessage, data: data}, {kind: packetMessage, binary: true, data: data}}))
		if !ok || len(packets) != 2 || string(packets[1].data) != string(data) || !packets[1].binary || packets[0].binary {
			t.Fatalf("%v %+v", ok, packets)
		}
	})
}
