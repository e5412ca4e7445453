package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// collectAt is how much garbage a heap may have, in percent of what is in use.
	collectAt = 50
	// collectLeast is how much it may have in any case where there are other nodes, in bytes.
	collectLeast = 16 << 20
)

// collectEarly has garbage collected early: the relay's buffers are its own and its data path
// makes no garbage, so a small heap stays small. What nodes say to each other makes some: there
// a small heap may have more, or a sixth of all time is spent on collecting it. GOGC says
// something else.
func collectEarly(nodes bool) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(collectAt)
	if nodes {
		each := &collection{percent: collectAt, live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
		runtime.SetFinalizer(each, (*collection).over)
	}
}

// collection is told when a collection is over, and looks at what is in use.
type collection struct {
	percent int
	live    []metrics.Sample
}

func (c *collection) over() {
	metrics.Read(c.live)
	percent := collectAt
	if live := c.live[0].Value.Uint64(); live < collectLeast*100/collectAt {
		percent = int(collectLeast * 100 / max(live, 4<<20))
	}
	if percent < c.percent*9/10 || percent > c.percent*11/10 {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
	runtime.SetFinalizer(c, (*collection).over)
}
