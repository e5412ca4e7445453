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
		"The figure is processor time for a packet, in microseconds, without what the same run costs from client to peer with no server in between (the last column): that of server and generator, in whose clocks the kernel's work for their packets is, and of the kernel's threads for softirqs. Beside it in brackets the same of the *whole machine*, what is not idle in /proc/stat: equal but for noise where nothing else runs. " +
		kernelRate + " packets a second of 16 clients in steps of 1 ms; the generator sleeps from step to step.\n\n" +
		"| load | coturn | coturn-new | coturn-mux | turnhub, off | **turnhub, on** | to coturn (aim) | to the best of 4.17.1 (aim) | without a server |\n|---|--:|--:|--:|--:|--:|---|---|--:|\n")
	for _, r := range kernelRows {
		if !r.spin {
			s.WriteString(b.kernelLine(r))
		}
	}
	header := "\nMicroseconds p50 / p99 / p99.9 of the one-way latency, and what was lost:\n\n| load | coturn | coturn-new | coturn-mux | turnhub, off | **turnhub, on** | without a server | |\n|---|--:|--:|--:|--:|--:|--:|---|\n"
	for _, r := range kernelRows {
		if r.spin && b.figures[r.name] != nil {
			s.WriteString(header + b.kernelLine(r))
			header = ""
		}
	}
	if few, many := b.figures["kernel-few"], b.figures["kernel-many"]; few != nil && many != nil {
		a, c := kernelCost(few, "turnhub-kernel", systemCost), kernelCost(many, "turnhub-kernel", systemCost)
		fmt.Fprintf(s, "\nWith 2,000 flows among 10,000 allocations a packet costs %.2f times what it does with 10 flows (aim 1.1: %s); the run without a server, whose sockets are as many, is %.2f times as dear.\n",
			c/a, met(c <= 1.1*a), median(values(many[kernelDirect], systemCost))/median(values(few[kernelDirect], systemCost)))
	}
	s.WriteString(b.kernelBindLine() + "\n| row | measured | turnhub | rounds | load average |\n|---|---|---|---|---|\n")
	for _, r := range append(kernelRows, kernelRow{name: kernelBind}) {
		if p, ok := b.Rows[r.name]; ok {
			fmt.Fprintf(s, "| %s | %s to %s | %s | %d of %s | %s |\n", r.name, p.Begun, p.Ended, p.Turnhub, p.Rounds, p.Duration, p.Busy)
		}
	}
	s.WriteString("\nWhere the load average is well above 2, other work ran on the machine: then what stands in brackets says nothing, a loss is that of a server that got no processor in time, and the figures are good to about 1 µs, which is more than a packet inside the kernel costs.\n\n")
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
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
		for _, name := range append(kernelNames, kernelDirect) {
			fmt.Fprintf(&s, " %s |", latency(by[name]))
		}
		half, quarter := true, true
		for _, name := range coturns {
			if by[name] != nil {
				quarter = quarter && median(values(by["turnhub-kernel"], p50)) <= median(values(by[name], p50))/4
				half = half && median(values(by["turnhub-kernel"], p99)) <= median(values(by[name], p99))/2
			}
		}
		fmt.Fprintf(&s, " p50 at most a quarter of the best coturn's: %s; p99 at most half: %s |\n", met(quarter), met(half))
		return s.String()
	}
	for _, name := range kernelNames {
		cell := "–"
		if by[name] != nil {
			cell = fmt.Sprintf("%.2f (%.2f)", kernelCost(by, name, systemCost), kernelCost(by, name, machineCost))
			if l := median(values(by[name], loss)); l > 0.001 {
				cell += fmt.Sprintf(", %.2g %% lost", 100*l)
			}
		}
		fmt.Fprintf(&s, " %s |", cell)
	}
	best := kernelCost(by, "coturn-new", systemCost)
	if by["coturn-mux"] != nil {
		best = min(best, kernelCost(by, "coturn-mux", systemCost))
	}
	own := kernelCost(by, "turnhub-kernel", systemCost)
	fmt.Fprintf(&s, " %s | %s | %.2f |\n", kernelRatio(own, kernelCost(by, "coturn", systemCost), r.old), kernelRatio(own, best, r.recent),
		median(values(by[kernelDirect], systemCost)))
	return s.String()
}

// kernelRatio says how many times cheaper a packet is.
func kernelRatio(own, rival, aim float64) string {
	if rival != rival { // it took no part
		return "–"
	}
	text := fmt.Sprintf("1/%.1f", rival/own)
	if aim > 0 {
		text += fmt.Sprintf(" (1/%.0f: %s)", 1/aim, met(own <= aim*rival))
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
		}
	}
	return text + "\n"
}
