package main

import (
	"fmt"
	"strings"
)

// kernelSection is what passes inside the kernel.
func (b *bench) kernelSection(s *strings.Builder) {
	if b.figures[kernelRows[0].name] == nil {
		return
	}
	s.WriteString("## Inside the kernel\n\nturnhub with `relay.kernel: on` beside the same server with it off and the coturns, all in one network namespace, clients and peers in two others, joined by pairs of interfaces (veth) without joined packets (GRO). " +
		"The figure is processor time for a packet, in microseconds, that of server and generator, in whose clocks the kernel's work for their packets is, and of the kernel's threads for softirqs, without what the same run costs with no server, over the same two pairs of interfaces, between which the server's namespace hands packets on as they are (tc mirred). Beside it in brackets the same without a run from client to peer over one pair of interfaces: then the second pair is the server's. The aims are judged by both. " +
		kernelRate + " packets a second of 16 clients in steps of 1 ms; the generator sleeps from step to step. The kernel's own and the runs without a server have three turns in each round.\n\n" +
		"| load | coturn | coturn-new | coturn-mux | turnhub, off | **turnhub, on** | to coturn (aim) | to the best of 4.17.1 (aim) | no server, two pairs (one) |\n|---|--:|--:|--:|--:|--:|---|---|--:|\n")
	for _, r := range kernelRows {
		if !r.spin {
			s.WriteString(b.kernelLine(r))
		}
	}
	s.WriteString(b.kernelMachine())
	header := "\nMicroseconds p50 / p99 / p99.9 of the one-way latency, and what was lost:\n\n| load | coturn | coturn-new | coturn-mux | turnhub, off | **turnhub, on** | no server, two pairs | one pair | |\n|---|--:|--:|--:|--:|--:|--:|--:|---|\n"
	for _, r := range kernelRows {
		if r.spin && b.figures[r.name] != nil {
			s.WriteString(header + b.kernelLine(r))
			header = ""
		}
	}
	if few, many := b.figures["kernel-few"], b.figures["kernel-many"]; few != nil && many != nil && few[kernelThrough] != nil && many[kernelThrough] != nil {
		a, c := kernelCost(few, "turnhub-kernel", kernelThrough, systemCost), kernelCost(many, "turnhub-kernel", kernelThrough, systemCost)
		fmt.Fprintf(s, "\nWith 2,000 flows among 10,000 allocations a packet costs %.2f µs more than with 10 flows, %.2f times as much (aim 1.1: %s); the run without a server, with as many flows, is dearer by %.2f µs.\n",
			c-a, c/a, met(c <= 1.1*a), median(values(many[kernelThrough], systemCost))-median(values(few[kernelThrough], systemCost)))
		s.WriteString(manyFlows)
	}
	s.WriteString(b.kernelBindLine() + "\n| row | measured | turnhub | rounds | load average |\n|---|---|---|---|---|\n")
	for _, r := range append(kernelRows, kernelRow{name: kernelBind}) {
		if p, ok := b.Rows[r.name]; ok {
			fmt.Fprintf(s, "| %s | %s | %s | %d of %s | %s |\n", r.name, p.when(), p.Turnhub, p.Rounds, p.Duration, p.Busy)
		}
	}
	s.WriteString("\nWhere the load average is well above 2, other work ran on the machine: then a loss is that of a server that got no processor in time, and the figures are good to about 1 µs, which is more than a packet inside the kernel costs.\n\n")
}

// manyFlows is why it is so much, by the figures of `go test -bench Flows ./turnsrv/internal/kernel`
// and of a chase of pointers on the machine of RESULTS.md.
const manyFlows = "The table's bucket, the flow and the counters of its allocation are three places in memory each of which names the next. " +
	"With 10 flows they are in the processor's cache; with 2,000 the sockets of generator and sink, several KB each, leave nothing there, and each is a miss of 52 ns at least: 0.57 + 3 · 0.052 µs, " +
	"**1.27 times, is the least that this table can have** on the AMD EPYC where that was taken apart, and where it came to 1.61. On the Intel Xeon of the rows above a packet of the few costs half as much, and many flows add 0.6 µs to it as they do to the run without a server (1.7 µs); that was not taken apart. What a packet touches was cut to one line of memory for the counters and two for the flow, which took some 15 % off the program's time with 2,000 flows; " +
	"fetching the counters early gained nothing, and half of what many flows cost stays where other memory is touched between the packets of 10. " +
	"A table that the process itself lays out in memory shared with the program, by a hash that both compute, would have one miss less, and the counters inside it two: it would have to be read while it is written. It was not built.\n"

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

// kernelMachine is the same by what is not idle in /proc/stat.
func (b *bench) kernelMachine() string {
	var s strings.Builder
	for _, r := range kernelRows {
		by := b.figures[r.name]
		if r.spin || by == nil || by["coturn"] == nil || by[kernelThrough] == nil {
			continue
		}
		if s.Len() == 0 {
			s.WriteString("\nBy the processor time of the *whole machine* (what is not idle in /proc/stat; where other work ran it says nothing), in the same way, coturn and turnhub with it on:")
		} else {
			s.WriteString(";")
		}
		fmt.Fprintf(&s, " %s %.2f and %.2f", r.title, kernelCost(by, "coturn", kernelThrough, machineCost), kernelCost(by, "turnhub-kernel", kernelThrough, machineCost))
	}
	if s.Len() > 0 {
		s.WriteString(".\n")
	}
	return s.String()
}

// kernelLine is a row of one of the two tables.
func (b *bench) kernelLine(r kernelRow) string {
	by := b.figures[r.name]
	if by == nil {
		return ""
	}
	var s strings.Builder
	fmt.Fprintf(&s, "| %s |", r.title)
	if r.spin {
		for _, name := range append(kernelNames, kernelThrough, kernelDirect) {
			fmt.Fprintf(&s, " %s |", latency(by[name]))
		}
		half, quarter, beyond := true, true, ""
		for _, name := range coturns {
			if by[name] != nil {
				quarter = quarter && median(values(by["turnhub-kernel"], p50)) <= median(values(by[name], p50))/4
				half = half && median(values(by["turnhub-kernel"], p99)) <= median(values(by[name], p99))/2
			}
		}
		if by[kernelThrough] != nil && by["coturn"] != nil {
			own, old, none := median(values(by["turnhub-kernel"], p50)), median(values(by["coturn"], p50)), median(values(by[kernelThrough], p50))
			beyond = fmt.Sprintf("; p50 beyond that without a server %.0f, coturn's %.0f", own-none, old-none)
		}
		fmt.Fprintf(&s, " p50 at most a quarter of the best coturn's: %s; p99 at most half: %s%s |\n", met(quarter), met(half), beyond)
		return s.String()
	}
	for _, name := range kernelNames {
		cell := "–"
		if by[name] != nil {
			cell = fmt.Sprintf("%s (%s)", microseconds(kernelCost(by, name, kernelThrough, systemCost)), microseconds(kernelCost(by, name, kernelDirect, systemCost)))
			if l := median(values(by[name], loss)); l > 0.001 {
				cell += fmt.Sprintf(", %.2g %% lost", 100*l)
			}
		}
		fmt.Fprintf(&s, " %s |", cell)
	}
	var old, recent, own [2]float64
	for i, without := range [2]string{kernelThrough, kernelDirect} {
		old[i], own[i] = kernelCost(by, "coturn", without, systemCost), kernelCost(by, "turnhub-kernel", without, systemCost)
		recent[i] = kernelCost(by, "coturn-new", without, systemCost)
		if by["coturn-mux"] != nil {
			recent[i] = min(recent[i], kernelCost(by, "coturn-mux", without, systemCost))
		}
	}
	without := func(name string) string {
		if by[name] == nil { // the row is older than these runs
			return "–"
		}
		return microseconds(median(values(by[name], systemCost)))
	}
	fmt.Fprintf(&s, " %s | %s | %s (%s) |\n", kernelRatio(own, old, r.old), kernelRatio(own, recent, r.recent),
		without(kernelThrough), without(kernelDirect))
	return s.String()
}

func microseconds(n float64) string {
	if n != n {
		return "–"
	}
	return fmt.Sprintf("%.2f", n)
}

// kernelRatio says how many times cheaper a packet is, by both runs without a server.
func kernelRatio(own, rival [2]float64, aim float64) string {
	if rival[0] != rival[0] { // it took no part
		return "–"
	}
	times := func(i int) string {
		if own[i] <= 0 {
			return "too little to tell"
		}
		return fmt.Sprintf("1/%.1f", rival[i]/own[i])
	}
	text := fmt.Sprintf("%s (%s)", times(0), times(1))
	if aim > 0 {
		text += fmt.Sprintf("; 1/%.0f: %s (%s)", 1/aim, met(own[0] <= aim*rival[0]), met(own[1] <= aim*rival[1]))
	}
	return text
}

func (b *bench) kernelBindLine() string {
	by := b.figures[kernelBind]
	if by["turnhub"] == nil || by["turnhub-kernel"] == nil {
		return ""
	}
	bind := func(name string) float64 { return median(each(by[name].Bind, bindCost)) }
	first := func(name string) float64 { return median(each(by[name].Bind, packetCost)) }
	text := fmt.Sprintf("\nSetting a channel up to a new peer costs the server's process %.1f µs with it on and %.1f µs with it off, %.2f times (aim 1.2: %s); the first packet, which enters the flow in both directions, %.1f and %.1f µs.",
		bind("turnhub-kernel"), bind("turnhub"), bind("turnhub-kernel")/bind("turnhub"), met(bind("turnhub-kernel") <= 1.2*bind("turnhub")),
		first("turnhub-kernel"), first("turnhub"))
	for _, name := range coturns {
		if by[name] != nil {
			text += fmt.Sprintf(" %s: %.1f and %.1f µs.", name, bind(name), first(name))
			if n := by[name].Bind[len(by[name].Bind)-1]; n.Failed > 0 {
				text += fmt.Sprintf(" It refused %d of %d (%s).", n.Failed, n.Channels, n.Refusal)
			}
		}
	}
	return text + "\n"
}
