package e2e

import (
	"maps"
	"testing"

	"turnhub/cluster/natstest"
)

// startNodes starts three servers of one cluster, a, b and c, with more in the configuration of
// each.
func startNodes(t *testing.T, nats *natstest.Server, more map[string]map[string]any) (nodes []*server) {
	t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		config := map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"}}
		maps.Copy(config, more)
		nodes = append(nodes, start(t, config))
	}
	return nodes
}

// knowEachOther waits until every node names all of them to who asks for a room.
func knowEachOther(t *testing.T, nodes []*server) {
	t.Helper()
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { p, _ := n.config(t, "room=first"); return len(p.Signalings) == len(nodes) })
	}
}
