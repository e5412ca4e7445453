package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// placed is what /config says of a room.
type placed struct {
	ICEServers []struct {
		URLs []string `json:"urls"`
	} `json:"iceServers"`
	Signaling  string   `json:"signaling"`
	Signalings []string `json:"signalings"`
}

// config asks one node for a room.
func (s *server) config(t *testing.T, query string) (p placed, status int) {
	t.Helper()
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/config?%s", s.port, query))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p, response.StatusCode
}

// TestThreeNodes: the real server three times, on a real NATS server: all name one node
// for a room, who comes to another one is sent there, a node that ends or freezes loses
// its rooms to another, and a revocation holds on all.
func TestThreeNodes(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 (make soak) runs this")
	}
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := make(map[string]*server)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		nodes[name] = start(t, map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "https://" + name + ".example.org"}})
	}
	nodeOf := func(p placed) string {
		return strings.TrimSuffix(strings.TrimPrefix(p.Signaling, "wss://"), ".example.org/ws")
	}
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { p, _ := n.config(t, "room=first"); return len(p.Signalings) == 3 })
	}
	// agreed is the node that all of some name for a room.
	agreed := func(room string, by ...string) string {
		var all []string
		for _, name := range by {
			p, _ := nodes[name].config(t, "room="+room)
			all = append(all, nodeOf(p))
			first := fmt.Sprintf(":%d", nodes[nodeOf(p)].port)
			if len(p.ICEServers) == 0 || !strings.Contains(strings.Join(p.ICEServers[0].URLs[:1], ""), first) {
				t.Errorf("%s is on %s, and its URLs are %v", room, nodeOf(p), p.ICEServers)
			}
		}
		if slices.Sort(all); len(slices.Compact(all)) != 1 {
			t.Fatalf("%s: the nodes say %v", room, all)
		}
		return all[0]
	}
	home := agreed("blue", names...)
	rest := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == home })

	// A person whom a balancer has taken to another node.
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 20 * time.Second}
	socket, _, err := dialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws", nodes[rest[0]].port), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, text := range []string{`{"type":"hello"}`, `{"type":"join","room":"blue","id":1,"seq":1}`} {
		if err := socket.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	_ = socket.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		var m struct {
			Type       string
			Signalings []string
		}
		if err := socket.ReadJSON(&m); err != nil {
			t.Fatalf("the room's node is not told: %v\n%s", err, nodes[rest[0]].log)
		}
		if m.Type == "elsewhere" {
			if want := "wss://" + home + ".example.org/ws"; m.Signalings[0] != want {
				t.Errorf("sent to %v, not to %s", m.Signalings, want)
			}
			break
		}
	}

	// What the operator does on one node holds on all.
	response, err := http.Post(nodes[home].admin+"/revoke", "application/json", strings.NewReader(`{"user":"mallory"}`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("revoke: %s", response.Status)
	}
	for _, name := range names {
		if _, status := nodes[name].config(t, "user=mallory"); status != http.StatusForbidden {
			t.Errorf("mallory gets credentials of %s: %d", name, status)
		}
	}

	// A node that freezes loses its rooms, and has them no more when it is back.
	if err := nodes[home].process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw := func() { _ = nodes[home].process.Signal(syscall.SIGCONT) }
	defer thaw()
	until(t, "blue is elsewhere", func() bool { p, _ := nodes[rest[0]].config(t, "room=blue"); return nodeOf(p) != home })
	second := agreed("blue", rest...)
	thaw()
	until(t, "who is back says so too", func() bool { p, _ := nodes[home].config(t, "room=blue"); return nodeOf(p) == second })

	// One that goes down has none from then on.
	if err := nodes[second].process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == second })
	until(t, "blue has another node", func() bool { p, _ := nodes[left[0]].config(t, "room=blue"); return nodeOf(p) != second })
	agreed("blue", left...)
}
