package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
)

// A bar is one line of a plot.
type bar struct {
	label string
	value float64
	mark  float64 // the aim, or what to compare with; 0: none
}

// A plot is horizontal bars on one scale.
type plot struct {
	title, unit string
	bars        []bar
	format      string // of the values
}

// svg draws the plot. Colours work on light and dark pages.
func (p plot) svg() string {
	const left, width, step, top = 330.0, 420.0, 22.0, 46.0
	most := 0.0
	for _, b := range p.bars {
		most = max(most, b.value, b.mark)
	}
	var s strings.Builder
	height := top + step*float64(len(p.bars)) + 12
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="system-ui,sans-serif" font-size="12" role="img">`+"\n",
		left+width+90, height)
	fmt.Fprintf(&s, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(p.title))
	fmt.Fprintf(&s, `<text x="12" y="20" font-size="14" font-weight="600" fill="#1f2328">%s</text>`+"\n", html.EscapeString(p.title))
	fmt.Fprintf(&s, `<text x="12" y="36" fill="#59636e">%s</text>`+"\n", html.EscapeString(p.unit))
	for i, b := range p.bars {
		y := top + step*float64(i)
		w := width * b.value / max(most, 1e-9)
		fmt.Fprintf(&s, `<text x="%.0f" y="%.1f" text-anchor="end" fill="#1f2328">%s</text>`, left-8, y+13, html.EscapeString(b.label))
		fmt.Fprintf(&s, `<rect x="%.0f" y="%.1f" width="%.1f" height="14" rx="2" fill="#2f6f4f"/>`, left, y+2, w)
		if b.mark > 0 {
			x := left + width*b.mark/most
			fmt.Fprintf(&s, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#c4432b" stroke-width="2"/>`, x, x, y, y+18)
		}
		fmt.Fprintf(&s, `<text x="%.1f" y="%.1f" fill="#1f2328">%s</text>`+"\n", left+max(w, width*b.mark/max(most, 1e-9))+6, y+13, fmt.Sprintf(p.format, b.value))
	}
	s.WriteString("</svg>\n")
	return s.String()
}

// plots writes the plots of the report.
func (b *bench) plots() error {
	throughput := plot{
		title: "Packets for a second of the server's processor time, turnhub ÷ coturn", unit: "red: the aim", format: "%.2f",
	}
	latency := plot{
		title: "One-way latency of turnhub, p99", unit: "milliseconds; red: coturn's", format: "%.2f",
	}
	for _, r := range relayRows {
		by := b.figures[r.name]
		if r.kind != "media" || by == nil || by["coturn"].score() == 0 || by["turnhub"] == nil {
			continue
		}
		if r.judge != "latency" {
			throughput.bars = append(throughput.bars, bar{r.name, by["turnhub"].score() / by["coturn"].score(), r.aim})
		}
		latency.bars = append(latency.bars, bar{r.name, median(values(by["turnhub"], p99)) / 1000, median(values(by["coturn"], p99)) / 1000})
	}
	dir := filepath.Join("bench", "plots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, p := range map[string]plot{"throughput.svg": throughput, "latency.svg": latency} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(p.svg()), 0o644); err != nil {
			return fmt.Errorf("write plot: %w", err)
		}
	}
	return nil
}
