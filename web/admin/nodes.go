package admin

import (
	"turnhub/cluster"
)

// Node is one node of the cluster as the console shows it.
type Node struct {
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Region      string   `json:"region,omitempty"`
	Version     string   `json:"version"`
	Self        bool     `json:"self,omitempty"`
	Gone        bool     `json:"gone,omitempty"`
	Draining    bool     `json:"draining,omitempty"`
	Silent      float64  `json:"silent"` // seconds
	Sessions    int      `json:"sessions"`
	Rooms       int      `json:"rooms"`
	Allocations int      `json:"allocations"`
	CPU         float64  `json:"cpu"` // 0 to 1
	Wrong       []string `json:"wrong,omitempty"`
}

// stateOfNode is a label of the metric.
func stateOfNode(n Node) string {
	switch {
	case n.Gone:
		return "gone"
	case n.Draining:
		return "draining"
	}
	return "alive"
}

func collectCluster(nodes []Node, s cluster.Stats, put func(metric, float64, ...string)) {
	states := map[string]int{"alive": 0, "draining": 0, "gone": 0}
	for _, n := range nodes {
		states[stateOfNode(n)]++
	}
	for state, count := range states {
		put(clusterNodes, float64(count), state)
	}
	up := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	put(clusterUp, up(s.Connected), "nats")
	put(clusterUp, up(s.Store), "store")
	put(clusterUp, up(s.Second), "second")
	put(clusterLost, float64(s.Disconnect))
	put(clusterBeats, float64(s.Beats))
	put(clusterPackets, float64(s.Packets))
	put(clusterTopics, float64(s.Topics))
	put(clusterSaid, float64(s.TopicsSaid), "said")
	put(clusterSaid, float64(s.TopicsUnsaid), "unsaid")
	put(clusterSaid, float64(s.TopicsHeard), "heard")
	put(clusterLoose, float64(s.DatagramsSaid), "said")
	put(clusterLoose, float64(s.DatagramsUnsaid), "unsaid")
	put(clusterLoose, float64(s.DatagramsHeard), "heard")
	put(clusterVoid, float64(s.Void))
	put(clusterMoved, float64(s.Moved))
	each(s.Refused, clusterRefused, put)
	each(s.Placed, clusterPlaced, put)
	each(s.Questions, clusterQuestions, put)
}
