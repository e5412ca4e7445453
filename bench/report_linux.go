package main

import (
	"fmt"
	"strings"
)

// line shows one row for the terminal.
func (b *bench) line(r row) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%-18s", r.name)
	by := b.figures[r.name]
	base := by["coturn"].score()
	for _, v := range b.rivals {
		f := by[v.name]
		switch {
		case r.kind == "idle":
			fmt.Fprintf(&s, "  %s %.1f KB", v.name, f.Idle[0].PerAllocation/1000)
			continue
		case r.judge == "latency":
			fmt.Fprintf(&s, "  %s p50 %.0f p99 %.0f p99.9 %.0f µs", v.name,
				median(values(f, p50)), median(values(f, p99)), median(values(f, p999)))
		default:
			fmt.Fprintf(&s, "  %s %.1f", v.name, f.score()/1000)
			if base > 0 && v.name != "coturn" {
				fmt.Fprintf(&s, " (%.2fx)", f.score()/base)
			}
			if len(f.Media) > 0 {
				fmt.Fprintf(&s, " p99 %.0f", median(values(f, p99)))
			}
		}
		if l := median(values(f, loss)); l > 0 {
			fmt.Fprintf(&s, " loss %.4f", l)
		}
	}
	if r.aim > 0 {
		fmt.Fprintf(&s, "  aim %.2fx", r.aim)
	}
	return s.String()
}
