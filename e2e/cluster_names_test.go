package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// device is a client of somebody who is called by name, on one node.
type device struct {
	t      *testing.T
	at     *server
	socket *websocket.Conn
	mu     sync.Mutex
	seq    int
	got    int
	all    []map[string]any
	ever   []map[string]any // with what is forgotten
	ended  error
	outbox []string

	session, token string // by which it comes back
}

// callAs opens a session of a user on a node.
func callAs(t *testing.T, n *server, user, secret string) *device {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 5 * time.Second}
	socket, _, err := dialer.DialContext(context.Background(), fmt.Sprintf("ws://127.0.0.1:%d/ws", n.port), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &device{t: t, at: n, socket: socket}
	t.Cleanup(func() { _ = c.socket.Close() })
	_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"hello","user":%q,"userSecret":%q}`, user, secret))
	go c.read(socket)
	return c
}

// read takes what comes from a socket, until its end.
func (c *device) read(socket *websocket.Conn) {
	for {
		_, b, err := socket.ReadMessage()
		if !c.take(socket, b, err) {
			return
		}
	}
}

func (c *device) take(socket *websocket.Conn, b []byte, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != socket {
		return false // it has come back meanwhile
	}
	if err != nil {
		c.ended = err
		return false
	}
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	if seq, ok := m["seq"].(float64); ok {
		c.got = int(seq)
	}
	if m["type"] == "welcome" {
		c.session, _ = m["session"].(string)
		resume, _ := m["resume"].(map[string]any)
		c.token, _ = resume["token"].(string)
	}
	c.all, c.ever = append(c.all, m), append(c.ever, m)
	return true
}

// comesBack resumes on whichever of some nodes lets it.
func (c *device) comesBack(nodes ...*server) {
	c.t.Helper()
	at := 0
	until(c.t, "a session goes on on another node", func() bool {
		n := nodes[at%len(nodes)]
		at++
		dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 5 * time.Second}
		socket, _, err := dialer.DialContext(context.Background(), fmt.Sprintf("ws://127.0.0.1:%d/ws", n.port), nil)
		if err != nil {
			return false
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"hello","resume":{"session":%q,"token":%q,"seq":%d}}`, c.session, c.token, c.got))
		var m struct {
			Resumed bool
			Ack     int
			Resume  struct{ Token string }
		}
		if socket.ReadJSON(&m) != nil {
			_ = socket.Close()
			return false
		}
		if !m.Resumed {
			c.t.Fatal("a fresh session")
		}
		c.at, c.socket, c.token, c.ended = n, socket, m.Resume.Token, nil
		for _, text := range c.outbox[m.Ack:] {
			_ = socket.WriteMessage(websocket.TextMessage, []byte(text))
		}
		go c.read(socket)
		return true
	})
}

func (c *device) say(text string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	text = fmt.Sprintf(`{%s,"seq":%d}`, fmt.Sprintf(text, args...), c.seq)
	c.outbox = append(c.outbox, text)
	_ = c.socket.WriteMessage(websocket.TextMessage, []byte(text))
	_ = c.socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"ack","ack":%d}`, c.got))
}

// hears waits for a message with these members, and forgets it and what came before.
func (c *device) hears(want map[string]any) (m map[string]any) {
	c.t.Helper()
	until(c.t, fmt.Sprint("one hears ", want), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, got := range c.all {
			is := true
			for k, v := range want {
				is = is && fmt.Sprint(got[k]) == fmt.Sprint(v)
			}
			if is {
				m = got
				c.all = c.all[i+1:]
				return true
			}
		}
		return false
	})
	return m
}

// finds waits until whom it will call can be found on its node: whoever is welcome on another one
// is so a moment later.
func (c *device) finds(user string) {
	c.t.Helper()
	c.say(`"type":"subscribe","users":[%q],"id":900`, user)
	c.hears(map[string]any{"type": "presence", "users": map[string]any{user: "online"}})
	c.say(`"type":"unsubscribe","users":[%q],"id":901`, user)
	c.hears(map[string]any{"type": "ok", "id": 901})
}

// hasHeard reports whether one has heard something with these members, and has not yet forgotten it.
func (c *device) hasHeard(want map[string]any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return among(c.all, want)
}

// everHeard reports whether one has ever heard something with these members.
func (c *device) everHeard(want map[string]any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return among(c.ever, want)
}

func among(all []map[string]any, want map[string]any) bool {
	return slices.ContainsFunc(all, func(got map[string]any) bool {
		for k, v := range want {
			if fmt.Sprint(got[k]) != fmt.Sprint(v) {
				return false
			}
		}
		return true
	})
}

// TestNamesAcrossNodes: on three real nodes and a real NATS server a user is one person:
// all his devices ring, one answer stops the others, the two who talk reach each other, all
// see whether he is there, another secret does not get his name, and a call goes on when the
// node of either side is killed, and rings on when that of the caller is or of a device.
func TestNamesAcrossNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	knowEachOther(t, nodes)
	const secret, another = "the first secret", "another secret"
	rounds := 2
	if os.Getenv("E2E_LONG") != "" {
		rounds = 30
	}
	for round := range rounds {
		// Names of each round meet on other nodes.
		ann, bob := fmt.Sprint("ann", round), fmt.Sprint("bob", round)
		at := func(i int) *server { return nodes[(round+i)%3] }
		caller := callAs(t, at(0), ann, secret)
		watcher := callAs(t, at(1), "", "")
		watcher.say(`"type":"subscribe","users":[%q]`, bob)
		watcher.hears(map[string]any{"type": "presence"})
		first, second := callAs(t, at(1), bob, secret), callAs(t, at(2), bob, secret)
		watcher.hears(map[string]any{"type": "presence", "users": map[string]any{bob: "online"}})
		thief := callAs(t, at(0), bob, another)
		until(t, "the other secret is refused", func() bool {
			thief.mu.Lock()
			defer thief.mu.Unlock()
			return websocket.IsCloseError(thief.ended, 4003)
		})
		first.hears(map[string]any{"type": "welcome"})
		second.hears(map[string]any{"type": "welcome"})
		caller.finds(bob)
		caller.say(`"type":"invite","user":%q,"data":"hello","id":1`, bob)
		id := caller.hears(map[string]any{"type": "calling"})["call"]
		for _, c := range []*device{first, second} {
			c.hears(map[string]any{"state": "incoming", "call": id, "user": ann, "data": "hello"})
		}
		caller.hears(map[string]any{"state": "ringing"})
		// A node dies while it rings: that of a device, in another round that of who calls. Nobody
		// is told anything, and the device takes it as soon as it is there again.
		for _, n := range nodes {
			until(t, "another node could go on", func() bool { return covered(n) })
		}
		comeBack := func(dead *server) {
			for _, c := range []*device{caller, first, second} {
				if c.at == dead {
					c.comesBack(slices.DeleteFunc(slices.Clone(nodes), func(n *server) bool { return n == dead })...)
				}
			}
		}
		dead := at(2 * (round % 2))
		dead.kill(t)
		if round/2%2 == 1 {
			comeBack(dead)
		}
		second.say(`"type":"accept","call":%q,"data":"yes","id":1`, id)
		comeBack(dead)
		second.hears(map[string]any{"type": "ok", "id": 1})
		for _, c := range []*device{caller, first, second} {
			if c.hasHeard(map[string]any{"state": "ended", "call": id, "reason": "lost"}) {
				t.Fatal("a call that rang was lost with a node")
			}
		}
		from := second.hears(map[string]any{"state": "accepted", "polite": false})["peer"]
		to := caller.hears(map[string]any{"state": "accepted", "polite": true, "data": "yes"})["peer"]
		first.hears(map[string]any{"state": "ended", "reason": "elsewhere"})
		watcher.hears(map[string]any{"type": "presence", "users": map[string]any{bob: "busy"}})
		caller.say(`"type":"signal","to":%q,"data":"offer","id":2`, to)
		caller.hears(map[string]any{"type": "ok", "id": 2})
		second.hears(map[string]any{"type": "signal", "from": from, "data": "offer"})
		second.say(`"type":"signal","to":%q,"data":"answer","id":2`, from)
		caller.hears(map[string]any{"type": "signal", "from": to, "data": "answer"})
		dead.run(t)
		knowEachOther(t, nodes)
		// Who is busy is not rung, on whatever node, and hears of it.
		other := callAs(t, second.at, "", "")
		other.say(`"type":"invite","user":%q,"id":1`, bob)
		other.hears(map[string]any{"state": "ended", "reason": "busy"})
		first.hears(map[string]any{"type": "missed"})
		// The node of the one who has answered dies, in another round that of who calls. The call
		// goes on, and nobody is told anything of it.
		for _, n := range nodes {
			until(t, "another node could go on", func() bool { return covered(n) })
		}
		dead = at(2 - 2*(round%2))
		dead.kill(t)
		comeBack(dead)
		caller.say(`"type":"signal","to":%q,"data":"still here","id":5`, to)
		caller.hears(map[string]any{"type": "ok", "id": 5})
		second.hears(map[string]any{"type": "signal", "from": from, "data": "still here"})
		second.say(`"type":"signal","to":%q,"data":"me too","id":5`, from)
		caller.hears(map[string]any{"type": "signal", "from": to, "data": "me too"})
		ends, hears := caller, second
		if round/2%2 == round%2 {
			ends, hears = second, caller
		}
		ends.say(`"type":"hangup","call":%q,"id":6`, id)
		ends.hears(map[string]any{"type": "ok", "id": 6})
		if m := hears.hears(map[string]any{"state": "ended"}); m["call"] != id || m["reason"] != "hangup" {
			t.Errorf("the call ends with %v", m)
		}
		// Nobody is busy any more, and all devices ring.
		caller.say(`"type":"subscribe","users":[%q],"id":7`, bob)
		caller.hears(map[string]any{"type": "presence", "users": map[string]any{bob: "online"}})
		caller.say(`"type":"invite","user":%q,"id":8`, bob)
		id = caller.hears(map[string]any{"type": "calling"})["call"]
		second.hears(map[string]any{"state": "incoming", "call": id})
		first.hears(map[string]any{"state": "incoming", "call": id})
		first.say(`"type":"decline","call":%q,"reason":"later","id":8`, id)
		first.hears(map[string]any{"type": "ok", "id": 8})
		caller.hears(map[string]any{"state": "ended", "reason": "declined", "detail": "later"})
		if round < rounds-1 {
			dead.run(t)
			knowEachOther(t, nodes)
		}
		for _, c := range []*device{caller, watcher, first, second, other} {
			_ = c.socket.Close()
		}
	}
}
