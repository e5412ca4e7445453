package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"turnhub/cluster"
	"turnhub/cluster/placement"
)

// world is many nodes in many regions, over a day. Calls are simulated one by one, each
// of which stands for weight calls; people who are in none are counts.
type world struct {
	plan
	random *rand.Rand
	nodes  []*node
	region [][]*node
	names  []string  // of the regions
	people []float64 // of each region, as a share of all
	ends   map[int][]*call
	serial int
	now    int // seconds

	sum result
}

// plan is what is simulated.
type plan struct {
	nodes, regions int
	sessions       int // at the world's peak, in calls or not
	calls          int // of these, at the peak, with two people each
	weight         int // calls that one simulated call stands for
	processors     int
	capacity       float64 // Load.PerProcessor at which all processors are busy
	talk           int     // seconds that a call lasts in the mean
	relayed        float64 // share of calls that need the relay, two allocations each
	deaths         float64 // of a node, in a day
	down           int     // seconds until a dead node is back
	lost           int     // region that is lost at its peak; -1: none
	lostFor        int     // seconds
	seed           uint64
}

type node struct {
	name   string
	region int
	up     bool
	back   int // second in which it serves again
	calls  int // simulated ones
	idle   float64
	held   map[*call]struct{}
	heard  placement.Node // what the others have heard last
}

type call struct {
	room   string
	region int
	at     *node
}

// result is what came of it.
type result struct {
	placed, moved, abroad, nowhere int // simulated calls
	deaths                         int
	worst                          float64 // the fullest node of a region against the region's mean, in the worst second
	imbalance                      []float64
	peakCalls                      int
	fullSeconds                    int // seconds in which any node took no more rooms
	mostOnOne                      int
	movedAtOnce                    int // calls, in the worst second
}

func newWorld(p plan) *world {
	w := &world{plan: p, random: rand.New(rand.NewPCG(p.seed, 7)), ends: make(map[int][]*call), region: make([][]*node, p.regions)}
	// Regions are of different size, the largest seven times the smallest.
	total := 0.0
	for r := range p.regions {
		size := 1 + 6*float64(r)/float64(max(p.regions-1, 1))
		w.people = append(w.people, size)
		w.names = append(w.names, fmt.Sprint(r))
		total += size
	}
	left := p.nodes
	for r := range p.regions {
		w.people[r] /= total
		count := max(2, int(math.Round(float64(p.nodes)*w.people[r])))
		if r == p.regions-1 {
			count = left
		}
		left -= count
		for i := range count {
			n := &node{name: fmt.Sprintf("r%02d-%03d", r, i), region: r, up: true, held: make(map[*call]struct{})}
			w.nodes = append(w.nodes, n)
			w.region[r] = append(w.region[r], n)
		}
	}
	return w
}

// wave is how much there is to do in a region, from 0.2 at night to 1. Regions lie evenly
// around the world.
func (w *world) wave(region, now int) float64 {
	hour := float64(now)/3600 + 24*float64(region)/float64(w.regions)
	return 0.2 + 0.8*math.Pow(0.5-0.5*math.Cos(2*math.Pi*(hour-4)/24), 1.5)
}

// crest is the most that all waves together come to.
func (w *world) crest() (most float64) {
	for now := 0; now < 86400; now += 600 {
		sum := 0.0
		for r := range w.regions {
			sum += w.people[r] * w.wave(r, now)
		}
		most = max(most, sum)
	}
	return most
}

// load is what a node says of itself.
func (w *world) load(n *node) placement.Node {
	calls := float64(n.calls * w.weight)
	l := cluster.Load{Processors: w.processors, Sessions: int(n.idle + 2*calls), Allocations: int(2 * calls * w.relayed)}
	per := l.PerProcessor()
	return placement.Node{Name: n.name, Region: w.names[n.region], Load: per, Full: per > 0.85*w.capacity}
}

// beat lets all nodes hear of each other, and spreads those who are in no call.
func (w *world) beat(crest float64) {
	idle := float64(w.sessions - 2*w.calls)
	homeless := 0.0
	up := 0
	for r, nodes := range w.region {
		here := idle * w.people[r] * w.wave(r, w.now) / crest
		alive := 0
		for _, n := range nodes {
			if n.up {
				alive++
			}
		}
		up += alive
		if alive == 0 {
			homeless += here
			continue
		}
		for _, n := range nodes {
			if n.idle = 0; n.up {
				n.idle = here / float64(alive)
			}
		}
	}
	full := false
	for _, n := range w.nodes {
		if n.up {
			n.idle += homeless / float64(up)
			n.heard = w.load(n)
			full = full || n.heard.Full
		}
	}
	if full {
		w.sum.fullSeconds++
	}
}

// candidates are those that placement may choose from for somebody in a region. Where one
// of the region is not full, no other can come first: the rest is left out, which makes it
// twenty times as fast. TestShort holds that.
func (w *world) candidates(region int) (list []placement.Node, of []*node) {
	take := func(nodes []*node) (free bool) {
		for _, n := range nodes {
			if n.up {
				list, of = append(list, n.heard), append(of, n)
				free = free || !n.heard.Full
			}
		}
		return free
	}
	if !take(w.region[region]) {
		list, of = nil, nil
		take(w.nodes)
	}
	return list, of
}

// place gives a call a node.
func (w *world) place(c *call) {
	list, of := w.candidates(c.region)
	if len(list) == 0 {
		w.sum.nowhere++
		return
	}
	first := placement.Order(list, c.room, w.names[c.region])[0].Name
	for i, n := range of {
		if list[i].Name == first {
			c.at = n
			n.calls++
			n.held[c] = struct{}{}
			if n.region != c.region {
				w.sum.abroad++
			}
			return
		}
	}
}

// kill ends a node. Its calls get another.
func (w *world) kill(n *node, back int) (moved int) {
	n.up, n.back = false, back
	calls := n.held
	n.held, n.calls = make(map[*call]struct{}), 0
	// In the order of their names: the map has none, and a run is to be the same again.
	for _, c := range inOrder(calls) {
		c.at = nil
		w.place(c)
		moved++
	}
	w.sum.moved += moved
	return moved
}

// second is one second of the world.
func (w *world) second(crest float64) {
	for _, n := range w.nodes {
		if !n.up && n.back <= w.now {
			n.up = true
		}
	}
	w.beat(crest)
	moved := 0
	for _, n := range w.nodes {
		if n.up && w.random.Float64() < w.deaths/86400 {
			w.sum.deaths++
			moved += w.kill(n, w.now+w.down)
		}
	}
	if w.lost >= 0 && w.now == w.peakOf(w.lost) {
		for _, n := range w.region[w.lost] {
			n.up, n.back = false, w.now+w.lostFor // all before the first call looks for another
		}
		for _, n := range w.region[w.lost] {
			moved += w.kill(n, n.back)
		}
	}
	w.sum.movedAtOnce = max(w.sum.movedAtOnce, moved)
	for _, c := range w.ends[w.now] {
		if c.at != nil {
			c.at.calls--
			delete(c.at.held, c)
		}
	}
	delete(w.ends, w.now)
	running := 0
	for r := range w.regions {
		rate := float64(w.calls) * w.people[r] * w.wave(r, w.now) / crest / float64(w.talk) / float64(w.weight)
		for range poisson(w.random, rate) {
			w.serial++
			c := &call{room: fmt.Sprint("room-", w.serial), region: r}
			w.sum.placed++
			w.place(c)
			end := w.now + 1 + int(w.random.ExpFloat64()*float64(w.talk))
			w.ends[end] = append(w.ends[end], c)
		}
	}
	for _, n := range w.nodes {
		running += n.calls
		w.sum.mostOnOne = max(w.sum.mostOnOne, n.calls)
	}
	w.sum.peakCalls = max(w.sum.peakCalls, running)
}

// peakOf is the second of a region's peak.
func (w *world) peakOf(region int) (at int) {
	most := 0.0
	for now := 0; now < 86400; now += 60 {
		if v := w.wave(region, now); v > most {
			most, at = v, now
		}
	}
	return at
}

// measure compares the fullest node of each region with the mean of its region.
func (w *world) measure() {
	for _, nodes := range w.region {
		sum, most, up := 0.0, 0.0, 0
		for _, n := range nodes {
			// One that has just come back fills up within a call's length.
			if n.up && n.back+3*w.talk <= w.now {
				load := w.load(n).Load
				sum, most, up = sum+load, max(most, load), up+1
			}
		}
		if up > 1 && sum > 0 {
			ratio := most / (sum / float64(up))
			w.sum.imbalance = append(w.sum.imbalance, ratio)
			w.sum.worst = max(w.sum.worst, ratio)
		}
	}
}

// day runs from a second to another.
func (w *world) day(from, to int) {
	crest := w.crest()
	for w.now = from; w.now < to; w.now++ {
		w.second(crest)
		if w.now-from > 3*w.talk && w.now%60 == 0 {
			w.measure()
		}
	}
}
