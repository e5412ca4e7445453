package main

import (
	"fmt"
	"slices"
	"strings"

	"turnhub/bench/hub"
)

// clusterSection is what several nodes cost.
func (b *bench) clusterSection(s *strings.Builder) {
	parts := []string{b.clusterIdleLine(), b.clusterPresenceLine(), b.clusterDeathLine()}
	for i, r := range clusterRelays {
		parts = slices.Insert(parts, i, b.clusterRelayLine(r))
	}
	text := strings.Join(parts, "")
	if text == "" {
		return
	}
	s.WriteString("## Several nodes\n\nNodes meet at one NATS server with JetStream; all servers share one core, and their processor time, that of NATS with it, is summed. Everything over TLS. Messages at NATS are those that come to it, and those of its streams that go out again, without the beats, of which each node sends one a second to each other.\n\n" + text + crossing +
		"| row | measured | turnhub | rounds | load average |\n|---|---|---|---|---|\n")
	for _, name := range []string{"cluster-relay", "cluster-relay-2k", "cluster-relay-full", "cluster-idle", "cluster-presence", "cluster-death"} {
		if p, ok := b.Rows[name]; ok {
			fmt.Fprintf(s, "| %s | %s | %s | %d | %s |\n", name, p.when(), p.Turnhub, p.Rounds, p.Busy)
		}
	}
	s.WriteString("\n")
}

// crossing is what perf says of all three processes, on a busy machine.
const crossing = "\nWhere the time of a message between two nodes goes, by perf of both nodes and NATS under `cluster-relay`, in times of what a message costs on one node without a cluster, on a busy machine (2026-11-30, 11:05 to 12:10 UTC): before is b70f656; now is 389635c, which the rows of messages above are like:\n\n" +
	"| | one node | two nodes, before | now |\n|---|---|---|---|\n" +
	"| reading from the clients' sockets, with the event loop | 0.52 | 0.62 | 0.52 |\n" +
	"| writing to them | 0.38 | 0.56 | 0.50 |\n" +
	"| what a message means | 0.08 | 0.23 | 0.24 |\n" +
	"| images on the second node, and what goes to and fro | | 0.34 | 0.37 |\n" +
	"| packets: sealing them, nats.go, its sockets | | 0.26 | 0.29 |\n" +
	"| Go's scheduler and collector | 0.01 | 0.27 | 0.37 |\n" +
	"| Go's monitor | 0.01 | 0.28 | 0.03 |\n" +
	"| NATS: messages | | 0.28 | 0.30 |\n" +
	"| NATS: its scheduler, monitor and collector | | 0.39 | 0.31 |\n" +
	"| all | 1.00 | 3.24 | 2.93 |\n\n" +
	"With both builds at once on one processor, two rounds, now is 1.17 and 1.11 times before. The aim of 0.5 is 2.0 in this table. The clients' sockets and NATS take 1.6 of it: NATS gets 1,000 packets a second from each node, of 15 to 25 messages each, and hardly more can gather, as each message goes over three times (there, to the image of its receiver, and back that this is whole) while 200 are in flight. What is left for all else, 0.4, takes 1.3. Tried since, without a difference that could be measured: nodes that speak in turn, so that a packet answers a packet (30 % fewer and larger ones, 0.99 and 0.99 times the messages), loops that rest for a millisecond, and NATS with GOGC=400. Before, without one: telling the second less (no record of what it has said itself, none of a message that is not confirmed yet).\n\n" +
	"Each message is put into the image of its session on a second node before it goes on, there and back, on one node of a cluster as well: 100 pairs that are all on one of two nodes did 66 to 69 k messages for a second of processor time, when two nodes did two thirds of that. What happens while a node rests goes as one: four times as long as sending has taken, half a millisecond at most.\n\n" +
	"Each node asks the store for each of its rooms every 30 s, which may fall into a part of `cluster-death`: 2 messages for a room and node. The rest of the store's are the question who has the room and the answer, and the same for the new entry.\n\n"

// clusterRelayLine compares messages between two nodes.
func (b *bench) clusterRelayLine(r hubRow) string {
	by := b.figures[r.name]
	if by == nil {
		return ""
	}
	one, two, other := by[oneNode].score(), by[twoNodes].score(), by[twoCentrifugo].score()
	p99 := func(name string) string { return duration(median(each(by[name].Hub, hubP99))) }
	return fmt.Sprintf("- `%s`: messages of %s, for a second of processor time, %d alternating rounds: %.1f k where both are on one node without a cluster (p99 %s), **%.1f k** where each pair is on two nodes (p99 %s), %.1f k on two of Centrifugo's with its NATS broker (p99 %s). Two nodes do %.2f of one (aim 0.5: %s), and %.1f times Centrifugo's (aim 2: %s).\n",
		r.name, r.title, len(by[twoNodes].Hub), one/1000, p99(oneNode), two/1000, p99(twoNodes), other/1000, p99(twoCentrifugo),
		two/one, met(two >= 0.5*one), two/other, met(two >= 2*other))
}

// clusterIdleLine compares the memory of idle sessions.
func (b *bench) clusterIdleLine() string {
	by := b.figures["cluster-idle"]
	if by == nil {
		return ""
	}
	weight := func(h hub.Result) float64 { return h.PerConnection }
	mean := func(name string) (sum float64) {
		for _, w := range each(by[name].Hub, weight) {
			sum += w / float64(len(by[name].Hub))
		}
		return sum
	}
	clients, busy := 0, 0.0
	for _, h := range by[threeNodes].Hub {
		clients += h.Clients
		busy += h.IdleBusy
	}
	one, three, nats := mean(oneNode), mean(threeNodes), by[natsOfThree].Hub[0].PerConnection
	return fmt.Sprintf("- `cluster-idle`: %d idle sessions over three nodes: %.2f KB each, and %.2f KB of NATS; %d on one node without a cluster: %.2f KB each. %.3f times, with NATS %.3f times (aim 1.1: %s). The three are busy for %.1f %% of a core, the one for %.1f %%.\n",
		clients, three/1000, nats/1000, by[oneNode].Hub[0].Clients, one/1000, three/one, (three+nats)/one, met(three+nats <= 1.1*one), 100*busy, 100*by[oneNode].Hub[0].IdleBusy)
}

// clusterPresenceLine tells what it costs that somebody comes and goes.
func (b *bench) clusterPresenceLine() string {
	by := b.figures["cluster-presence"]
	if by == nil {
		return ""
	}
	var s strings.Builder
	s.WriteString("- `cluster-presence`: somebody comes to a room and leaves it again. Messages between nodes for each such visit, and that they have come: ")
	var told, history []string
	few, same := make(map[int]float64), true // with three nodes, by those that have members
	for _, n := range []string{"3", "6"} {
		if by[n] == nil {
			continue
		}
		for _, p := range by[n].Presence {
			visits := float64(p.Visits)
			links := float64(p.Tally.Links) / visits
			told = append(told, fmt.Sprintf("%.2f with members on %d of %s nodes", links, p.Members, n))
			history = append(history, fmt.Sprintf("%.0f", float64(p.Tally.History)/visits))
			if n == "3" {
				few[p.Members] = links
			} else if was, ok := few[p.Members]; ok && links > 1.15*was+0.1 {
				same = false
			}
		}
	}
	fmt.Fprintf(&s, "%s (aim: by how many have members, not by how many there are: %s). Twelve are for the visitor's image on a second node. The history of calls, which every node keeps, adds %s.\n",
		strings.Join(told, ", "), met(same), strings.Join(history, ", "))
	return s.String()
}

// clusterDeathLine tells what a node's death and coming cost.
func (b *bench) clusterDeathLine() string {
	by := b.figures["cluster-death"]
	if by == nil || by[oneNode] == nil {
		return ""
	}
	var s strings.Builder
	s.WriteString("- `cluster-death`: one of three nodes is killed that has rooms with one member here and one on another node, starts again, and its people come back; messages at NATS for each of its rooms (between nodes, about which node has it, and of the history of calls, which goes to every node):")
	each := func(t hub.Tally, rooms int) string {
		per := func(n int) float64 { return float64(n) / float64(rooms) }
		return fmt.Sprintf("%.2f (%.2f, %.2f, %.2f)", per(t.Links+t.Rooms+t.History+t.Others), per(t.Links), per(t.Rooms), per(t.History))
	}
	for i, d := range by[oneNode].Death {
		if i > 0 {
			s.WriteString(";")
		}
		fmt.Fprintf(&s, " %d rooms: death %s, start %s, people back %s", d.Rooms, each(d.Death, d.Rooms), each(d.Start, d.Rooms), each(d.Back, d.Rooms))
	}
	s.WriteString(".\n")
	return s.String()
}
