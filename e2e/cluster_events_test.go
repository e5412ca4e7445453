package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"turnhub/cluster/natstest"
)

// TestEventsAcrossNodes: on three real nodes, with a real NATS server, every node shows the
// calls of all, and each event is sent to a webhook once; while its receiver is down, two
// nodes are killed, that on which the calls were with them: the one that is left sends all.
func TestEventsAcrossNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	var mu sync.Mutex
	down := false
	calls := make(map[string][]string) // types of events
	ends := make(map[string]string)    // people, and the reason
	got := make(map[string]int)        // requests that were taken, by id
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e struct {
			ID, Type string
			Data     struct {
				Call   struct{ ID string }
				People []any
				Reason string
			}
		}
		err := json.Unmarshal(body, &e)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			t.Error(err)
		case down:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			got[e.ID]++
			calls[e.Data.Call.ID] = append(calls[e.Data.Call.ID], strings.TrimPrefix(e.Type, "call."))
			if e.Type == "call.ended" {
				ends[e.Data.Call.ID] = fmt.Sprint(len(e.Data.People), " ", e.Data.Reason)
			}
		}
	}))
	t.Cleanup(receiver.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := startNodes(t, nats, map[string]map[string]any{"events": {"webhooks": []map[string]any{{"url": receiver.URL, "secret_file": secret}}}})
	knowEachOther(t, nodes)
	ask := func(n *server, what string, into any) bool {
		answer, err := http.Get(n.admin + "/api/v1/" + what)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return json.NewDecoder(answer.Body).Decode(into) == nil
	}
	rows := func(n *server) int {
		var page struct{ Rows []any }
		ask(n, "history", &page)
		return len(page.Rows)
	}
	waiting := func(n *server) int {
		var all struct{ Webhooks []struct{ Waiting int } }
		if !ask(n, "webhooks", &all) || len(all.Webhooks) != 1 {
			return -1
		}
		return all.Webhooks[0].Waiting
	}
	// miss makes a missed call on a node: one event and one row.
	miss := func(n *server) {
		d := callAs(t, n, "", "")
		d.hears(map[string]any{"type": "welcome"})
		d.say(`"type":"invite","user":"nobody","id":1`)
		d.hears(map[string]any{"state": "ended", "reason": "unavailable"})
		d.say(`"type":"bye"`)
		_ = d.socket.Close()
	}
	taken := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == n }
	}
	for _, n := range nodes {
		miss(n)
	}
	until(t, "each is sent", taken(3))
	for _, n := range nodes {
		until(t, "every node shows all", func() bool { return rows(n) == 3 })
		until(t, "and has nothing left", func() bool { return waiting(n) == 0 })
	}
	// A call by name between two nodes is one call, and so it is where the first of them dies.
	talk := func(from, to *server, user string) (call string, caller, callee *device) {
		caller, callee = callAs(t, from, "ann"+user, "the secret of ann"), callAs(t, to, user, "the secret of "+user)
		caller.hears(map[string]any{"type": "welcome"})
		callee.hears(map[string]any{"type": "welcome"})
		caller.finds(user)
		caller.say(`"type":"invite","user":%q,"id":1`, user)
		callee.hears(map[string]any{"state": "incoming"})
		call = fmt.Sprint(caller.hears(map[string]any{"state": "ringing"})["call"])
		callee.say(`"type":"accept","call":%q,"id":1`, call)
		caller.hears(map[string]any{"state": "accepted"})
		return call, caller, callee
	}
	told := func(call, end string) {
		t.Helper()
		until(t, "its end is told", func() bool { mu.Lock(); defer mu.Unlock(); return ends[call] != "" && len(calls[call]) >= 5 })
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(calls[call])
		if all := fmt.Sprint(calls[call]); ends[call] != end || all != "[began ended joined joined left left]" || strings.Count(all, "ended") != 1 {
			t.Errorf("%s: %s, %s", call, all, ends[call])
		}
	}
	call, caller, callee := talk(nodes[0], nodes[1], "bob")
	callee.say(`"type":"hangup","call":%q,"id":2`, call)
	caller.hears(map[string]any{"state": "ended"})
	until(t, "all of it is told", taken(9))
	told(call, "2 hangup")
	for _, n := range nodes {
		until(t, "every node shows it", func() bool { return rows(n) == 4 })
	}
	call, caller, callee = talk(nodes[0], nodes[1], "eve")
	until(t, "it has begun", taken(12))
	for _, n := range nodes {
		until(t, "all know what was sent", func() bool { return waiting(n) == 0 })
	}
	until(t, "another node could go on", func() bool { return covered(nodes[0]) })
	nodes[0].kill(t)
	caller.comesBack(nodes[1:]...)
	callee.say(`"type":"hangup","call":%q,"id":2`, call)
	caller.hears(map[string]any{"state": "ended", "reason": "hangup"})
	until(t, "its end is told", taken(15))
	told(call, "2 hangup")
	nodes[0].run(t)
	for _, n := range nodes {
		until(t, "all are there", func() bool {
			p, _ := n.config(t, "room=first")
			return len(p.Signalings) == 3 && rows(n) == 5 && waiting(n) == 0
		})
	}

	mu.Lock()
	down = true
	mu.Unlock()
	for range 4 {
		miss(nodes[0])
	}
	miss(nodes[1])
	for _, n := range nodes {
		until(t, "all have what waits", func() bool { return waiting(n) == 5 && rows(n) == 10 })
	}
	nodes[0].kill(t)
	nodes[1].kill(t)
	mu.Lock()
	down = false
	mu.Unlock()
	until(t, "the one that is left sends all", taken(20))
	until(t, "and has nothing left", func() bool { return waiting(nodes[2]) == 0 })
	nodes[0].run(t)
	until(t, "who comes back knows that", func() bool { return waiting(nodes[0]) == 0 && rows(nodes[0]) == 10 })
	miss(nodes[0])
	until(t, "the next one is sent", taken(21))
	mu.Lock()
	defer mu.Unlock()
	for id, n := range got {
		if n != 1 {
			t.Errorf("%s is sent %d times", id, n)
		}
	}
}
