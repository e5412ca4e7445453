package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// dialectSocket is a client of a dialect on one node.
type dialectSocket struct {
	t  *testing.T
	ws *websocket.Conn
	n  *server
}

func dialect(t *testing.T, n *server, path string) *dialectSocket {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: 20 * time.Second}
	ws, _, err := dialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d%s", n.port, path), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return &dialectSocket{t, ws, n}
}

func (d *dialectSocket) say(text string) {
	d.t.Helper()
	if err := d.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dialectSocket) hears(want string) {
	d.t.Helper()
	_ = d.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, got, err := d.ws.ReadMessage(); err != nil || string(got) != want {
		d.t.Fatalf("got %.200s, %v; want %.200s\n%s", got, err, want, d.n.log)
	}
}

// closes waits for a Close.
func (d *dialectSocket) closes(code int) {
	d.t.Helper()
	_ = d.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		if _, got, err := d.ws.ReadMessage(); websocket.IsCloseError(err, code) {
			return
		} else if err != nil {
			d.t.Fatalf("got %v; want the Close %d", err, code)
		} else {
			d.t.Logf("before the Close: %.100s", got)
		}
	}
}

// dialectNodes starts three real nodes on a real NATS server, which know each other.
func dialectNodes(t *testing.T, more map[string]map[string]any) (nats *natstest.Server, nodes []*server) {
	t.Helper()
	nats = natstest.Start(t, true)
	for _, name := range []string{"a", "b", "c"} {
		settings := map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"}}
		for section, values := range more {
			settings[section] = values
		}
		nodes = append(nodes, start(t, settings))
	}
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { p, _ := n.config(t, "room=first"); return len(p.Signalings) == 3 })
	}
	return nats, nodes
}

// TestDialectsAcrossNodes: on three real nodes and a real NATS server a raw channel and a
// topic of Yjs are one, with their limits; one node is killed and the others go on; NATS is
// killed, each goes on alone, and they are together again when it is back.
func TestDialectsAcrossNodes(t *testing.T) {
	t.Parallel()
	nats, nodes := dialectNodes(t, nil)

	t.Run("raw", func(t *testing.T) {
		a, b, c := dialect(t, nodes[0], "/relay/blue?max=3"), dialect(t, nodes[1], "/relay/blue"), dialect(t, nodes[2], "/relay/blue")
		// Whoever is in hears at once what is said.
		for i := range 100 {
			a.say(fmt.Sprint(i))
		}
		for i := range 100 {
			b.hears(fmt.Sprint(i))
			c.hears(fmt.Sprint(i))
		}
		c.say("to both")
		a.hears("to both")
		b.hears("to both")
		dialect(t, nodes[2], "/relay/blue").closes(4006)
	})
	t.Run("yjs", func(t *testing.T) {
		a, b := dialect(t, nodes[0], "/yjs"), dialect(t, nodes[1], "/yjs")
		for _, d := range []*dialectSocket{a, b} {
			d.say(`{"type":"subscribe","topics":["blue"]}`)
			d.say(`{"type":"ping"}`)
			d.hears(`{"type":"pong"}`)
		}
		// A node listens a moment after it has taken a subscription in, and what is said before is lost:
		// clients announce themselves when they come, so of two the later one is heard. b says it until a hears.
		heard := make(chan string, 1000)
		go func() {
			defer close(heard)
			for {
				_, got, err := a.ws.ReadMessage()
				if err != nil {
					return
				}
				heard <- string(got)
			}
		}()
		until(t, "it is heard on the other node", func() bool {
			b.say(`{"type":"publish","topic":"blue","data":"announce"}`)
			select {
			case got := <-heard:
				return strings.Contains(got, `"data":"announce"`)
			default:
				return false
			}
		})
		a.say(`{"type":"publish","topic":"blue","data":"answer"}`)
		until(t, "it is answered", func() bool {
			_ = b.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
			_, got, err := b.ws.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			return string(got) == `{"clients":2,"data":"answer","topic":"blue","type":"publish"}`
		})
	})
	t.Run("death", func(t *testing.T) {
		a, b, c := dialect(t, nodes[0], "/relay/red?max=3"), dialect(t, nodes[1], "/relay/red"), dialect(t, nodes[2], "/relay/red")
		nodes[2].kill(t)
		_ = c.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, _, _ = c.ws.ReadMessage()
		a.say("go on")
		b.hears("go on")
		// The place of who was on the dead node is free as soon as that counts as dead.
		tries := 0
		until(t, "there is room again", func() bool {
			again := dialect(t, nodes[1], "/relay/red")
			tries++
			b.say(fmt.Sprint(tries)) // heard by whoever is in
			_ = again.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
			_, got, err := again.ws.ReadMessage()
			if err != nil && !websocket.IsCloseError(err, 4006) {
				t.Fatal(err)
			}
			return string(got) == fmt.Sprint(tries)
		})
	})
	t.Run("alone", func(t *testing.T) {
		a, b := dialect(t, nodes[0], "/relay/green"), dialect(t, nodes[1], "/relay/green")
		near := dialect(t, nodes[0], "/relay/green")
		heard := make(chan string, 1000)
		go func() {
			defer close(heard)
			for {
				_, got, err := b.ws.ReadMessage()
				if err != nil {
					return
				}
				heard <- string(got)
			}
		}()
		nats.Kill()
		n := 0
		next := func() string {
			n++
			a.say(fmt.Sprint(n))
			near.hears(fmt.Sprint(n)) // whatever becomes of NATS
			return fmt.Sprint(n)
		}
		until(t, "they hear each other no more", func() bool {
			want := next()
			for {
				select {
				case got := <-heard:
					if got == want {
						return false
					}
				case <-time.After(time.Second):
					return true
				}
			}
		})
		nats.Run()
		until(t, "they are together again", func() bool {
			next()
			select {
			case <-heard:
				return true
			default:
				return false
			}
		})
	})
}

// TestPeerJSAcrossNodes: on three real nodes and a real NATS server PeerJS ids are one name
// space: an offer goes to the node that has the peer, or waits for one that comes to another
// node; an id is taken on all nodes; the same token takes it along; and a node that is killed
// frees its ids. Rooms of Socket.IO are one as well.
func TestPeerJSAcrossNodes(t *testing.T) {
	t.Parallel()
	_, nodes := dialectNodes(t, map[string]map[string]any{"signaling": {"peerjs_discovery": true}})
	peer := func(n *server, id, token string) *dialectSocket {
		return dialect(t, n, "/peerjs?key=peerjs&id="+id+"&token="+token+"&version=1.5.5")
	}
	const open, taken = `{"type":"OPEN"}`, `{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}`
	ann, bob := peer(nodes[0], "ann", "t"), peer(nodes[1], "bob", "t")
	ann.hears(open)
	bob.hears(open)
	ann.say(`{"type":"OFFER","dst":"bob","payload":1}`)
	bob.hears(`{"type":"OFFER","src":"ann","dst":"bob","payload":1}`)
	bob.say(`{"type":"ANSWER","dst":"ann","payload":2}`)
	ann.hears(`{"type":"ANSWER","src":"bob","dst":"ann","payload":2}`)
	for i := range 50 {
		ann.say(fmt.Sprintf(`{"type":"CANDIDATE","dst":"bob","payload":%d}`, i))
	}
	for i := range 50 {
		bob.hears(fmt.Sprintf(`{"type":"CANDIDATE","src":"ann","dst":"bob","payload":%d}`, i))
	}
	ann.say(`{"type":"OFFER","dst":"carl","payload":3}`)
	carl := peer(nodes[2], "carl", "t")
	carl.hears(open)
	carl.hears(`{"type":"OFFER","src":"ann","dst":"carl","payload":3}`)
	ann.say(`{"type":"OFFER","dst":"nobody","payload":4}`)
	ann.hears(`{"type":"EXPIRE","src":"nobody","dst":"ann"}`)
	go func() { // it answers pings
		for {
			if _, _, err := carl.ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	peer(nodes[0], "carl", "another").hears(taken)
	again := peer(nodes[2], "bob", "t")
	again.hears(open)
	bob.closes(4001)
	ann.say(`{"type":"CANDIDATE","dst":"bob","payload":5}`)
	again.hears(`{"type":"CANDIDATE","src":"ann","dst":"bob","payload":5}`)
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/peerjs/peers", nodes[1].port))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if string(list) != `["ann","bob","carl"]`+"\n" {
		t.Errorf("the list is %s", list)
	}

	socketIO := func(n *server) *dialectSocket {
		d := dialect(t, n, "/socket.io/?EIO=4&transport=websocket")
		_, _, _ = d.ws.ReadMessage()
		d.say("40")
		_, _, _ = d.ws.ReadMessage()
		return d
	}
	x, y, z := socketIO(nodes[0]), socketIO(nodes[2]), socketIO(nodes[1])
	x.say(`42["join","r"]`)
	x.hears(`42["created","r"]`)
	y.say(`421["join","r"]`)
	y.hears(`431["joined"]`)
	z.say(`42["join","r"]`)
	z.hears(`42["full","r"]`)
	x.say(`42["message",{"a":1}]`)
	y.hears(`42["message",{"a":1}]`)

	nodes[2].kill(t)
	x.hears(`42["bye"]`)
	until(t, "the place is free on a node that hears of the death later", func() bool {
		z.say(`421["join","r"]`)
		_ = z.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, got, err := z.ws.ReadMessage()
		if err != nil || string(got) != `42["full","r"]` && string(got) != `431["joined"]` {
			t.Fatalf("got %s, %v", got, err)
		}
		if string(got) == `431["joined"]` {
			return true
		}
		z.hears(`431["full"]`)
		return false
	})
	back := peer(nodes[1], "bob", "another")
	back.hears(open)
	ann.say(`{"type":"OFFER","dst":"bob","payload":6}`)
	back.hears(`{"type":"OFFER","src":"ann","dst":"bob","payload":6}`)
}
