package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"turnhub/cluster/natstest"
)

// TestHandOver: the rooms of people who leave a node together get one other node, which
// all name from then on, those without rooms the node of those with whom they are; with no
// other node there is none, and without NATS it is one of those that were heard last.
func TestHandOver(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	nodes := meet(t, s, "a", "b", "c")
	ctx := context.Background()
	a := nodes[0]
	var rooms []string
	for i := 0; len(rooms) < 4; i++ {
		if room := fmt.Sprint("room-", i); a.Place(ctx, room).Local {
			rooms = append(rooms, room)
		}
	}
	a.Drain(true)
	until(t, "the others know", func() bool {
		m, _ := find(nodes[1].Members(), "a")
		n, _ := find(nodes[2].Members(), "a")
		return m.Draining && n.Draining
	})
	for _, group := range [][]string{rooms[:3], rooms[3:]} {
		to := a.HandOver(ctx, group, nil, "s_x")
		if len(to) == 0 || strings.Contains(to[0], "//a.") {
			t.Fatalf("%v go to %v", group, to)
		}
		for _, room := range group {
			for _, n := range nodes[1:] {
				if p := n.Place(ctx, room); p.Signalings[0] != to[0] {
					t.Errorf("%s went to %s, and %s says %s", room, to[0], n.cfg.Node, p.Signalings[0])
				}
			}
		}
	}
	held := make(map[string]bool)
	for i := range 40 {
		held[a.HandOver(ctx, nil, nil, fmt.Sprint("s_", i))[0]] = true
	}
	if len(held) != 2 {
		t.Errorf("those without a room all go to %v", held)
	}
	for i := range 40 {
		name, session := []string{"b", "c"}[i%2], fmt.Sprint("s_", i)
		if to := a.HandOver(ctx, nil, []string{name}, session); !strings.Contains(to[0], "//"+name+".") {
			t.Errorf("who is with somebody on %s goes to %v", name, to)
		}
	}
	nodes[1].Drain(true)
	until(t, "b goes as well", func() bool { m, _ := find(a.Members(), "b"); return m.Draining })
	if to := a.HandOver(ctx, nil, []string{"b"}, "s_x"); !strings.Contains(to[0], "//c.") {
		t.Errorf("who is with somebody on a node that goes as well goes to %v", to)
	}
	nodes[1].Drain(false)
	until(t, "b stays", func() bool { m, _ := find(a.Members(), "b"); return !m.Draining })
	s.Kill()
	until(t, "NATS is missed", func() bool { return !a.Stats().Connected })
	if to := a.HandOver(ctx, rooms[:1], nil, "s_x"); len(to) == 0 || strings.Contains(to[0], "//a.") {
		t.Errorf("without NATS they go to %v", to)
	}
	until(t, "all others are silent", func() bool { return a.live() == "a" })
	if to := a.HandOver(ctx, nil, nil, "s_x"); len(to) == 0 || strings.Contains(to[0], "//a.") {
		t.Errorf("without NATS for long those without a room go to %v", to)
	}
	alone := meet(t, natstest.Start(t, true), "a")[0]
	alone.Drain(true)
	if to := alone.HandOver(ctx, []string{"blue"}, nil, "s_x"); to != nil {
		t.Errorf("with nobody else there they go to %v", to)
	}
}
