package main

import (
	"fmt"
	"strings"

	"turnhub/bench/hub"
)

// line shows one row of the relay for the terminal.
func (b *bench) line(r row) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%-18s", r.name)
	by := b.figures[r.name]
	base := by["coturn"].score()
	for _, v := range b.rivals {
		f := by[v.name]
		switch {
		case f == nil:
			continue
		case r.kind == "idle":
			fmt.Fprintf(&s, "  %s %.1f KB, %d lost", v.name, f.Idle[0].PerAllocation/1000, f.Idle[0].Lost)
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

func (b *bench) coresLine() string {
	by := b.figures[coresRow.name]
	one, two := by[oneCore].score(), by[twoCores].score()
	return fmt.Sprintf("%-18s  one core %.1f, two cores %.1f per CPU-second: %.2fx packets", coresRow.name, one/1000, two/1000, 2*two/one)
}

func (b *bench) hubLine(r hubRow) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%-18s", r.name)
	for _, name := range []string{"peer", "centrifugo", "turnhub"} {
		f := b.figures[r.name][name]
		if f == nil {
			continue
		}
		s.WriteString("  " + name + " " + hubWords(r, f))
	}
	return s.String()
}

// hubWords tells what a hub did in one row.
func hubWords(r hubRow, f *figure) string {
	switch r.args[0] {
	case "relay", "media":
		return fmt.Sprintf("%.1f k messages per CPU-second, p99 %s", f.score()/1000, duration(median(each(f.Hub, hubP99))))
	case "idle":
		h := f.Hub[0]
		return fmt.Sprintf("%d connections, %d errors, %.1f KB each, %.1f %% of a core", h.Clients, h.Failed, h.PerConnection/1000, 100*h.IdleBusy)
	case "join":
		return fmt.Sprintf("p50 %s p99 %s; with the connect p50 %s p99 %s",
			duration(median(each(f.Hub, hubP50))), duration(median(each(f.Hub, hubP99))),
			duration(median(each(f.Hub, func(h hub.Result) float64 { return h.OpenP50 }))),
			duration(median(each(f.Hub, func(h hub.Result) float64 { return h.OpenP99 }))))
	case "stampede":
		return fmt.Sprintf("all in after %.2f s, %.2f ms of processor time each, %.0f refused at first",
			median(each(f.Hub, func(h hub.Result) float64 { return h.BackSeconds })),
			median(each(f.Hub, func(h hub.Result) float64 { return 1000 * h.BackCPU / float64(max(h.Clients, 1)) })),
			median(each(f.Hub, func(h hub.Result) float64 { return float64(h.Refused) })))
	default:
		without := func(of func(hub.Result) float64) float64 {
			return median(each(f.Stall, func(s hub.StallResult) float64 { return of(s.Without) }))
		}
		with := func(of func(hub.Result) float64) float64 {
			return median(each(f.Stall, func(s hub.StallResult) float64 { return of(s.With) }))
		}
		return fmt.Sprintf("p50 %s p99 %s without, p50 %s p99 %s with", duration(without(hubP50)), duration(without(hubP99)),
			duration(with(hubP50)), duration(with(hubP99)))
	}
}

func hubP50(r hub.Result) float64 { return r.P50 }
func hubP99(r hub.Result) float64 { return r.P99 }

// duration writes microseconds with a fitting unit.
func duration(us float64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%.0f µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.1f ms", us/1000)
	}
	return fmt.Sprintf("%.1f s", us/1e6)
}
