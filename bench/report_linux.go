package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"turnhub/bench/load"
)

// report writes bench/RESULTS.md and the plots.
func (b *bench) report() error {
	var s strings.Builder
	b.head(&s)
	b.throughput(&s)
	b.allowed(&s)
	b.latencies(&s)
	b.allocations(&s)
	b.kernelSection(&s)
	b.scaling(&s)
	b.hostileSection(&s)
	b.passSection(&s)
	b.proxiedSection(&s)
	b.hubSection(&s)
	b.clusterSection(&s)
	if b.Profile != "" {
		s.WriteString("## Where the time goes\n\nturnhub, 172 B saturated, one core.\n\n" + b.Profile)
	}
	if err := os.WriteFile(filepath.Join("bench", "RESULTS.md"), []byte(strings.TrimRight(s.String(), "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return b.plots()
}

func (b *bench) head(s *strings.Builder) {
	fmt.Fprintf(s, `# Results

Measured by `+"`make bench`"+` (`+"`go run ./bench`"+`) in alternating rounds, medians; on which machine stands beside each part, and only what one part or row tells can be compared. The last was %s. Written by the program.

| | |
|---|---|
`, b.Machine)
	for _, name := range []string{"turnhub", "coturn", "coturn-new", "coturn-mux", "pion4", "pion5", "forwarder", "haproxy", "peer", "centrifugo", "nats", "go"} {
		version := b.Versions[name]
		if version == "" {
			version = "not measured"
		}
		fmt.Fprintf(s, "| %s | %s |\n", name, version)
	}
	s.WriteString("\n| part | measured | turnhub | rounds | load average |\n|---|---|---|---|---|\n")
	for name := range strings.SplitSeq(allParts, ",") {
		if name == "relay" && len(b.Rows) > 0 {
			b.pieces(s)
		} else if p, ok := b.Parts[name]; ok {
			fmt.Fprintf(s, "| %s | %s | %s | %d of %s | %s |\n", name, p.when(), p.Turnhub, p.Rounds, p.Duration, p.Busy)
		}
	}
	fmt.Fprintf(s, `
Every server runs pinned to one core, the generator on the other, so the load average of an undisturbed run is near 2. Well above that other work ran on the machine: then the packets per second of processor time and their ratios still mean something, the latencies little. A turn in which the generator, which never sleeps, got less than nine tenths of its core is taken again, up to three times; that happened %d times. The relay's rows may be measured by themselves; a rival that took no part in one then keeps its figure of the time before.

How the load looks: each client has a socket of its own and sends one packet a system call, round robin over all clients, so that independent packets arrive; each client's peer has an address of its own, which coturn-mux needs; a train is one UDP_SEGMENT send, which a server may take with UDP_GRO; 8 frames a write for TCP and TLS. Saturated means 256 packets in flight over 16 clients. turnhub's quotas and bandwidth limit are on and set out of the way; the rivals have none. [README.md](README.md) tells how to run each piece alone.

`, b.Disturbed)
}

// pieces tells when the relay's rows were measured: those one after the other of one
// build and in one way are one piece.
func (b *bench) pieces(s *strings.Builder) {
	var rows []string
	var p part
	write := func() {
		if len(rows) > 0 {
			fmt.Fprintf(s, "| relay: %s | %s | %s | %d of %s | %s |\n", strings.Join(rows, ", "), p.when(), p.Turnhub, p.Rounds, p.Duration, p.Busy)
		}
		rows = nil
	}
	for _, r := range relayRows {
		this, known := b.Rows[r.name]
		if !known {
			if this = b.Parts["relay"]; b.figures[r.name] == nil || this.Begun == "" {
				continue
			}
		}
		if len(rows) > 0 && (this.Turnhub != p.Turnhub || this.Machine != p.Machine || this.Rounds != p.Rounds || this.Duration != p.Duration || this.Begun[:10] != p.Begun[:10]) {
			write()
		}
		if len(rows) == 0 {
			p = this
		}
		rows = append(rows, r.name)
		p.Ended = max(p.Ended, this.Ended)
		p.Begun = min(p.Begun, this.Begun)
	}
	write()
}

// throughput is the table of packets per second of the server's processor time.
func (b *bench) throughput(s *strings.Builder) {
	s.WriteString("## Packets for a second of the server's processor time\n\nIn thousands; the ratio is turnhub to Debian's coturn; beside it, to the best of the three coturns in that row, where all were measured. The forwarder is no TURN server but what the machine allows one that sends each packet by itself: a packet in, the same packet out, in batches.\n\n" +
		"| load | coturn | coturn-new | coturn-mux | pion v4 | pion v5 | forwarder | **turnhub** | to the best | ratio | aim | |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range relayRows {
		by := b.figures[r.name]
		if r.kind != "media" || r.judge == "latency" || by == nil {
			continue
		}
		toBest := "–"
		if by["coturn-new"].score() > 0 {
			toBest = fmt.Sprintf("%.2f", by["turnhub"].score()/bestCoturn(by))
		}
		fmt.Fprintf(s, "| %s | %s | %s | %s | %s | %s | %s | **%s** | %s | %s |\n", r.title, thousands(by["coturn"]),
			thousands(by["coturn-new"]), thousands(by["coturn-mux"]), thousands(by["pion4"]), thousands(by["pion5"]),
			thousands(by["forwarder"]), thousands(by["turnhub"]), toBest, verdict(r.aim, by))
	}
	s.WriteString("\n![turnhub's packets per processor second against coturn's](plots/throughput.svg)\n\n")
}

func thousands(f *figure) string {
	if f.score() == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", f.score()/1000)
}

// verdict is ratio, aim and whether it is met, as three cells.
func verdict(aim float64, by map[string]*figure) string {
	base := by["coturn"].score()
	if base == 0 {
		return "– | – | "
	}
	ratio := by["turnhub"].score() / base
	switch {
	case aim == 0:
		return fmt.Sprintf("%.2f | – | ", ratio)
	case ratio >= aim:
		return fmt.Sprintf("%.2f | %.2f | met", ratio, aim)
	}
	return fmt.Sprintf("%.2f | %.2f | missed by %.0f %%", ratio, aim, 100*(1-ratio/aim))
}

// latencies is loss and one-way latency in all rows.
func (b *bench) latencies(s *strings.Builder) {
	s.WriteString("## Loss and one-way latency\n\nMicroseconds p50 / p99 / p99.9, and the packets lost where any were. The aim is no loss where coturn has none, and a p99 not above coturn's.\n\n" +
		"| load | coturn | coturn-new | coturn-mux | pion v4 | pion v5 | turnhub | |\n|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range relayRows {
		by := b.figures[r.name]
		if r.kind != "media" || by == nil {
			continue
		}
		mark := ""
		if by["coturn"] != nil && by["turnhub"] != nil {
			mark = "p99 met"
			if median(values(by["turnhub"], p99)) > median(values(by["coturn"], p99)) {
				mark = "p99 missed"
			}
			if median(values(by["turnhub"], loss)) > median(values(by["coturn"], loss)) {
				mark += ", loss"
			}
		}
		fmt.Fprintf(s, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", r.title, latency(by["coturn"]), latency(by["coturn-new"]),
			latency(by["coturn-mux"]), latency(by["pion4"]), latency(by["pion5"]), latency(by["turnhub"]), mark)
	}
	s.WriteString("\n![p99 of the one-way latency](plots/latency.svg)\n\n")
}

func latency(f *figure) string {
	if f == nil || len(f.Media) == 0 {
		return "–"
	}
	text := fmt.Sprintf("%.0f / %.0f / %.0f", median(values(f, p50)), median(values(f, p99)), median(values(f, p999)))
	if l := median(values(f, loss)); l > 0 {
		text += fmt.Sprintf(", %.2g %% lost", 100*l)
	}
	return text
}

func (b *bench) allocations(s *strings.Builder) {
	s.WriteString("## Allocations\n\n| | coturn | coturn-new | coturn-mux | pion v4 | pion v5 | **turnhub** | ratio | aim | |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	if by := b.figures["churn"]; by != nil {
		fmt.Fprintf(s, "| clients that come and go per processor second, thousands (new address, 401, Allocate, end) | %s | %s | %s | %s | %s | **%s** | %s |\n",
			thousands(by["coturn"]), thousands(by["coturn-new"]), thousands(by["coturn-mux"]), thousands(by["pion4"]), thousands(by["pion5"]), thousands(by["turnhub"]), verdict(2, by))
	}
	if by := b.figures["idle"]; by != nil {
		cell := func(name string) string {
			if by[name] == nil || len(by[name].Idle) == 0 {
				return "–"
			}
			return fmt.Sprintf("%.1f KB", by[name].Idle[0].PerAllocation/1000)
		}
		mark := ""
		if f := by["turnhub"]; f != nil {
			mark = "met"
			if f.Idle[0].PerAllocation > 6000 {
				mark = "missed"
			}
		}
		fmt.Fprintf(s, "| memory (RSS) for each of 10,000 idle allocations | %s | %s | %s | %s | %s | **%s** | – | 6 KB | %s |\n",
			cell("coturn"), cell("coturn-new"), cell("coturn-mux"), cell("pion4"), cell("pion5"), cell("turnhub"), mark)
	}
	s.WriteString("\n")
	if by := b.figures["hold"]; by != nil && by["turnhub"] != nil {
		h := by["turnhub"].Idle[0]
		fmt.Fprintf(s, "%d allocations held for a minute with %d refreshes: %d lost; %.1f KB each, %.1f %% of a core.\n\n",
			h.Allocations, h.Refreshes, h.Lost, h.PerAllocation/1000, 100*h.Busy)
	}
}

func (b *bench) scaling(s *strings.Builder) {
	by := b.figures[coresRow.name]
	if by == nil {
		return
	}
	one, two := by[oneCore], by[twoCores]
	fmt.Fprintf(s, "## One core and two\n\n%s.\n\n| | packets per processor second, thousands | times cores | generator's own processor time | busiest thread's share |\n|---|--:|--:|--:|--:|\n", coresRow.title)
	generator := func(r load.Result) float64 { return r.LoadCPU / r.Seconds }
	share := func(r load.Result) float64 {
		sum, most := 0.0, 0.0
		for _, t := range r.Threads {
			sum += t
			most = max(most, t)
		}
		return most / max(sum, 1e-9)
	}
	for i, f := range []*figure{one, two} {
		fmt.Fprintf(s, "| %d core | %.1f | %.1f | %.2f cores | %.0f %% |\n", i+1, f.score()/1000, float64(i+1)*f.score()/1000,
			median(values(f, generator)), 100*median(values(f, share)))
	}
	ratio := 2 * two.score() / one.score()
	mark := "met"
	if ratio < 1.8 {
		mark = "missed"
	}
	fmt.Fprintf(s, "\nTwice the cores carry %.2f times the packets (aim 1.8: %s). The machine has two cores, which server and generator share in the second row, so the figure is the server's own cost for each packet, not a rate seen at once.\n\n", ratio, mark)
}

// hubAims are the ratios asked for in messages per processor second, over TLS.
var hubAims = []struct {
	row, rival string
	aim        float64
}{
	{"hub-relay", "peer", 4}, {"hub-relay", "centrifugo", 3}, {"hub-relay-2k", "peer", 3}, {"hub-relay-2k", "centrifugo", 2.5},
}

func (b *bench) hubSection(s *strings.Builder) {
	s.WriteString("## The hub\n\nturnhub.v1 against PeerServer (npm `peer`) and Centrifugo, whose clients publish to each other's channels. The same messages, over TLS 1.3 with AES-128-GCM unless the row says otherwise, client process on the other core.\n\n" +
		"| load | peer | centrifugo | turnhub |\n|---|---|---|---|\n")
	for _, r := range hubRows() {
		by := b.figures[r.name]
		if by == nil {
			continue
		}
		cells := []any{r.title}
		for _, name := range []string{"peer", "centrifugo", "turnhub"} {
			cell := "–"
			if f := by[name]; f != nil {
				cell = hubWords(r, f)
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(s, "| %s | %s | %s | %s |\n", cells...)
	}
	s.WriteString("\n")
	for _, a := range hubAims {
		if by := b.figures[a.row]; by != nil && by[a.rival].score() > 0 {
			ratio, mark := by["turnhub"].score()/by[a.rival].score(), "met"
			if ratio < a.aim {
				mark = "missed"
			}
			fmt.Fprintf(s, "- `%s`: %.1f times %s's messages per processor second (aim %.1f: %s).\n", a.row, ratio, a.rival, a.aim, mark)
		}
	}
	if by := b.figures["hub-media"]; by != nil && by[againstName].score() > 0 {
		cost, mark := by[againstName].score()/by["turnhub"].score(), "met"
		if cost > 1 {
			mark = "missed"
		}
		fmt.Fprintf(s, "- `hub-media`: a frame through `/media` costs the server %.2f times a message of the same size through the hub, in alternating rounds (aim 1 at most: %s).\n", cost, mark)
	}
	if by := b.figures["hub-idle"]; by != nil && by["turnhub"] != nil {
		fmt.Fprintf(s, "- Memory of an idle connection: %.1f KB (aim 8 KB).\n", by["turnhub"].Hub[0].PerConnection/1000)
	}
	fmt.Fprintf(s, "- 50,000 connections need as many descriptors in one process; this machine's hard limit is %d, so that many less a reserve were held.\n\n", descriptors())
}
