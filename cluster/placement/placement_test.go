package placement

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// order is where a node stands for a room: the highest comes first.
func order(room, node string) uint64 {
	sum := sha256.Sum256([]byte(room + "\x00" + node))
	return binary.BigEndian.Uint64(sum[:])
}

// reference is Order by other means: it compares every two nodes by the rules of its
// comment, one after the other.
func reference(nodes []Node, room, region string) []string {
	rank := map[string]int{}
	for _, n := range nodes {
		if n.Full {
			rank[n.Name] = 2
		} else if n.Region != region {
			rank[n.Name] = 1
		}
	}
	var names []string
	for most := 0; most <= 2; most++ {
		var group []string
		for _, n := range nodes {
			if rank[n.Name] == most {
				group = append(group, n.Name)
			}
		}
		slices.SortFunc(group, func(a, b string) int {
			if order(room, a) > order(room, b) {
				return -1
			}
			return 1
		})
		names = append(names, group...)
	}
	load := map[string]float64{}
	for _, n := range nodes {
		load[n.Name] = n.Load
	}
	if len(names) > 1 && rank[names[0]] == rank[names[1]] && load[names[1]] < load[names[0]] {
		names[0], names[1] = names[1], names[0]
	}
	return names
}

func names(nodes []Node) (list []string) {
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return list
}

// TestModel: random clusters against the reference, in whatever order they are told.
func TestModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		var nodes []Node
		for i := range random.IntN(9) {
			nodes = append(nodes, Node{fmt.Sprint("n", i), fmt.Sprint("r", random.IntN(3)), float64(random.IntN(4)), random.IntN(4) == 0})
		}
		room, region := fmt.Sprint("room", round), fmt.Sprint("r", random.IntN(3))
		got := names(Order(nodes, room, region))
		if want := reference(nodes, room, region); !slices.Equal(got, want) {
			t.Fatalf("%v in %s of %v: %v, want %v", room, region, nodes, got, want)
		}
		random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		if again := names(Order(nodes, room, region)); !slices.Equal(got, again) {
			t.Fatalf("%v: told in another order: %v, before %v", room, again, got)
		}
	}
}

// TestSpread: rooms whose loads are heard of a hundred rooms late spread over the nodes
// to within a fifth of the mean, and a node that goes moves its own alone.
func TestSpread(t *testing.T) {
	const count, rooms = 20, 20_000
	nodes := make([]Node, count)
	for i := range nodes {
		nodes[i].Name = fmt.Sprint("n", i)
	}
	held := make(map[string]int)
	for i := range rooms {
		if i%100 == 0 {
			for n := range nodes {
				nodes[n].Load = float64(held[nodes[n].Name])
			}
		}
		held[Order(nodes, fmt.Sprint("room", i), "")[0].Name]++
	}
	for name, n := range held {
		if n*5 > rooms/count*6 {
			t.Errorf("%s has %d of %d rooms, more than 1.2 times the mean", name, n, rooms)
		}
	}
	for i := range nodes {
		nodes[i].Load = 0
	}
	for i := range 1000 {
		room := fmt.Sprint("room", i)
		before, after := Order(nodes, room, ""), Order(nodes[1:], room, "")
		if before[0].Name != nodes[0].Name && before[0].Name != after[0].Name {
			t.Fatalf("%s went from %s to %s though %s has gone", room, before[0].Name, after[0].Name, nodes[0].Name)
		}
	}
}

// BenchmarkOrder is what one room costs among so many nodes.
func BenchmarkOrder(b *testing.B) {
	for _, count := range []int{3, 50, 1000} {
		nodes := make([]Node, count)
		for i := range nodes {
			nodes[i] = Node{Name: fmt.Sprint("node-", i), Region: fmt.Sprint(i % 20), Load: float64(i % 7)}
		}
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for i := range b.N {
				Order(nodes, fmt.Sprint("room-", i), "3")
			}
		})
	}
}
