// Command scale simulates a cluster that no machine here could hold, with the placement
// code that nodes run, and counts what would go through NATS. docs/scale.md has what came
// of it.
//
//	go run ./bench/scale
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

func main() {
	p := plan{processors: 16, talk: 600, relayed: 0.2, deaths: 1.0 / 30, down: 600, lostFor: 3600}
	flag.IntVar(&p.nodes, "nodes", 1000, "how many `nodes`")
	flag.IntVar(&p.regions, "regions", 20, "how many `regions`")
	flag.IntVar(&p.sessions, "sessions", 10_000_000, "`sessions` at the peak")
	flag.IntVar(&p.calls, "calls", 3_000_000, "`calls` at the peak")
	flag.IntVar(&p.weight, "weight", 100, "`calls` that one simulated call stands for")
	flag.Float64Var(&p.capacity, "capacity", 2000, "what a processor holds: sessions, and allocations as four each")
	flag.IntVar(&p.lost, "lost", 10, "`region` that is lost for an hour at its peak; -1: none")
	flag.Uint64Var(&p.seed, "seed", 1, "of chance")
	from := flag.Int("from", 0, "first `second` of the day")
	to := flag.Int("to", 86400, "`second` of the day at which it ends")
	flag.Parse()
	began := time.Now()
	w := newWorld(p)
	w.day(*from, *to)
	s := &w.sum
	fmt.Printf("%d nodes in %d regions, %d calls at the peak, one simulated for %d, seed %d, %v\n",
		p.nodes, p.regions, s.peakCalls*p.weight, p.weight, p.seed, time.Since(began).Round(time.Second))
	fmt.Printf("calls placed                %d\n", s.placed*p.weight)
	fmt.Printf("node deaths                 %d\n", s.deaths)
	fmt.Printf("calls moved                 %d, of these at most %d in one second\n", s.moved*p.weight, s.movedAtOnce*p.weight)
	fmt.Printf("calls outside their region  %d\n", s.abroad*p.weight)
	fmt.Printf("calls without a node        %d\n", s.nowhere*p.weight)
	fmt.Printf("seconds with a full node    %d\n", s.fullSeconds)
	fmt.Printf("most calls on one node      %d\n", s.mostOnOne*p.weight)
	slices.Sort(s.imbalance)
	if len(s.imbalance) > 0 {
		at := func(q float64) float64 { return s.imbalance[int(q*float64(len(s.imbalance)-1))] }
		fmt.Printf("fullest node / region mean  %.3f in the middle, %.3f in 99 of 100 minutes, %.3f at worst\n", at(0.5), at(0.99), s.worst)
	}
	fmt.Print(traffic(p))
}

// inOrder are the calls of a set by the names of their rooms.
func inOrder(set map[*call]struct{}) []*call {
	list := make([]*call, 0, len(set))
	for c := range set {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *call) int { return cmp.Or(len(a.room)-len(b.room), strings.Compare(a.room, b.room)) })
	return list
}

// poisson is how often something happens that does so rate times in the mean.
func poisson(random *rand.Rand, rate float64) (n int) {
	for limit, product := math.Exp(-rate), random.Float64(); product > limit; product *= random.Float64() {
		n++
	}
	return n
}
