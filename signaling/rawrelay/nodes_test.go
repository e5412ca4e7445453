package rawrelay

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/topicstest"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// nodes starts relays of so many nodes and returns the URLs of their WebSockets.
func nodes(t *testing.T, names ...string) (net *topicstest.Nodes, urls []string, all []*Relay) {
	t.Helper()
	net = topicstest.New(names...)
	t.Cleanup(net.Run())
	for _, name := range names {
		url, relay := run(t, signaling.Config{}, Config{Topics: net.Node(name)})
		urls, all = append(urls, url+Prefix), append(all, relay)
	}
	return net, urls, all
}

// TestNodes: a channel is one over two nodes, each message comes once to all others, in the
// order of its sender, and not to other channels.
func TestNodes(t *testing.T) {
	net, urls, relays := nodes(t, "a", "b")
	a, b, other := join(t, urls[0]+"blue"), join(t, urls[1]+"blue"), join(t, urls[1]+"red")
	c := join(t, urls[1]+"blue")
	relays[0].entered(t, "blue", 1)
	relays[1].entered(t, "blue", 2)
	relays[1].entered(t, "red", 1)
	large := strings.Repeat("x", 100<<10)
	for i := range 50 {
		send(t, a, websocket.TextMessage, fmt.Sprint("a", i))
		send(t, b, websocket.BinaryMessage, fmt.Sprint("b", i))
	}
	send(t, a, websocket.TextMessage, large)
	for i := range 50 {
		want(t, b, websocket.TextMessage, fmt.Sprint("a", i))
		want(t, a, websocket.BinaryMessage, fmt.Sprint("b", i))
	}
	want(t, b, websocket.TextMessage, large)
	for n := 0; n < 101; n++ { // from both, each in its order
		if _, _, err := wstest.Read(c); err != nil {
			t.Fatal(err)
		}
	}
	net.Kill("a")
	wstest.Until(t, "a has gone", func() bool { return len(net.Node("b").Others("relay\x00blue")) == 0 })
	send(t, b, websocket.TextMessage, "go on")
	want(t, c, websocket.TextMessage, "go on")
	send(t, other, websocket.TextMessage, "alone")
	other.Close()
}

// TestNodesFull: a channel for two has room for two on all nodes together, of many who come at
// the same moment too, and one whose network is lost makes room for whoever comes to another
// node.
func TestNodesFull(t *testing.T) {
	for range 3 {
		_, urls, relays := nodes(t, "a", "b", "c")
		var full, ended atomic.Int64
		for i := range 6 {
			go func() {
				ws, _, err := websocket.DefaultDialer.Dial(urls[i%3]+"blue?max=2", nil)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { ws.Close() })
				// Who is in answers pings here until the end.
				if _, _, err = ws.ReadMessage(); websocket.IsCloseError(err, int(wire.CloseFull)) {
					full.Add(1)
				}
				ended.Add(1)
			}()
		}
		wstest.Until(t, "two are in, and four are told that it is full", func() bool {
			have := 0
			for _, r := range relays {
				have += r.inside("blue")
			}
			return full.Load() == 4 && ended.Load() == 4 && have == 2
		})
	}
	_, urls, relays := nodes(t, "a", "b")
	lost, stays := join(t, urls[0]+"red?max=2"), join(t, urls[1]+"red?max=2")
	go func() { // it answers pings
		for {
			if _, _, err := stays.ReadMessage(); err != nil {
				return
			}
		}
	}()
	relays[0].entered(t, "red", 1)
	relays[1].entered(t, "red", 1)
	wstest.LoseNetwork(t, lost.NetConn())
	back := join(t, urls[1]+"red?max=2")
	relays[1].entered(t, "red", 2)
	send(t, stays, websocket.TextMessage, "there you are")
	want(t, back, websocket.TextMessage, "there you are")
}
