package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"turnhub/cluster/natstest"
)

// wrongWith is what a node's console says that is wrong with one of the cluster; known: it is there.
func wrongWith(t *testing.T, s *server, node string) (wrong string, known bool) {
	t.Helper()
	answer, err := http.Get(s.admin + "/state")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var state struct {
		Nodes []struct {
			Name  string
			Wrong []string
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&state); err != nil {
		t.Fatal(err)
	}
	for _, n := range state.Nodes {
		if n.Name == node {
			return strings.Join(n.Wrong, "; "), true
		}
	}
	return "", false
}

// TestNodesWithoutSecond: console and check name the node with whose sessions no other one could
// go on, why, and what to do. They say that of none that has just begun.
func TestNodesWithoutSecond(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	node := func(name string) *server {
		return start(t, map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"}})
	}
	const ends = "its sessions would end with it: "
	says := func(by *server, node, what string) func() bool {
		return func() bool {
			wrong, known := wrongWith(t, by, node)
			return known && strings.Contains(wrong, ends) == (what != "") && strings.Contains(wrong, what)
		}
	}
	check := func(s *server) string {
		output, _ := runTurnhub(t, nil, "check", "--config", s.file)
		return output
	}
	a := node("a")
	if wrong, _ := wrongWith(t, a, "a"); wrong != "" {
		t.Errorf("it has just begun, and its console says: %s", wrong)
	}
	until(t, "the console says that it is alone", says(a, "a", "it is alone"))
	wantLines(t, check(a), "warn node a "+ends+"it is alone", "Start another one.")

	b := node("b")
	for _, by := range []*server{a, b} {
		until(t, "one could go on with the other one's sessions", func() bool { return covered(by) })
		for _, name := range []string{"a", "b"} {
			until(t, "its console says so", says(by, name, ""))
		}
	}
	node("c")
	output := check(a)
	if strings.Contains(output, ends) {
		t.Errorf("of one that has just begun the check says:\n%s", output)
	}
	wantLines(t, output, "ok node a ", "ok node b ", "node c ")

	nats.Kill()
	until(t, "the console says that NATS is away", says(a, "a", "it is without NATS"))
}

// TestSessionsHearOfNodes: a session that is older than the other nodes is told of them, and
// resumes there.
func TestSessionsHearOfNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	var nodes []*server
	var urls []string
	var people []*device
	for i, name := range []string{"b", "a", "c"} {
		nodes = append(nodes, start(t, map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"}}))
		urls = append(urls, fmt.Sprintf("ws://127.0.0.1:%d/ws", nodes[i].port))
		people = append(people, callAs(t, nodes[i], "", ""))
	}
	for i, own := range urls {
		until(t, "a session knows all nodes, its own first", func() bool {
			people[i].mu.Lock()
			defer people[i].mu.Unlock()
			return slices.ContainsFunc(people[i].ever, func(m map[string]any) bool {
				config, _ := m["config"].(map[string]any)
				all, _ := config["signalings"].([]any)
				return len(all) == len(urls) && all[0] == own && !slices.ContainsFunc(urls, func(url string) bool { return !slices.Contains(all, any(url)) })
			})
		})
	}
	until(t, "another node could go on", func() bool { return covered(nodes[0]) })
	nodes[0].kill(t)
	people[0].comesBack(nodes[1], nodes[2])
}
