package cluster

import (
	"testing"

	"turnhub/cluster/placement"
)

// TestHeirs: when a node is gone its people come to its second first, and then to the others as
// they follow by name.
func TestHeirs(t *testing.T) {
	nodes := []placement.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	for _, x := range []struct{ node, second, want string }{
		{"b", "", "cdab"}, {"b", "c", "cdab"}, {"b", "a", "acdb"}, {"d", "", "abcd"}, {"d", "c", "cabd"}, {"b", "gone", "cdab"}, {"e", "", "abcd"},
	} {
		c := &Cluster{cfg: Config{Node: x.node}}
		if x.second != "" {
			c.second.Store(&x.second)
		}
		got := ""
		for _, n := range c.heirs(nodes) {
			got += n.Name
		}
		if got != x.want {
			t.Errorf("%s with %q: %s, want %s", x.node, x.second, got, x.want)
		}
	}
}
