package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"turnhub/bench/load"
)

// hostileRates are bytes per second over four clients: what a home connection
// sends, and more than a worker relays.
var hostileRates = []int{4_000_000, 40_000_000}

// hostileAim is how much longer others may wait than beside the same bytes of
// media.
const hostileAim = 2

func hostileName(rate int) string { return fmt.Sprintf("hostile-%dM", rate/1_000_000) }

// measureHostile times somebody's Binding requests while four clients send each
// kind of bytes, all kinds in turn in each round against one server.
func (b *bench) measureHostile(ctx context.Context) error {
	p, err := rivalNamed("turnhub").start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return err
	}
	defer p.stop()
	for _, rate := range hostileRates {
		by := make(map[string]*figure)
		b.figures[hostileName(rate)] = by
		for round := range b.rounds {
			for i := range load.HostileKinds {
				kind := load.HostileKinds[(i+round)%len(load.HostileKinds)]
				if by[kind] == nil {
					by[kind] = new(figure)
				}
				server := p.server("tcp")
				cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "turnload"), "hostile",
					"-server", "tcp://"+server.Address.String(), "-secret", secret, "-pid", strconv.Itoa(p.pid()),
					"-kind", kind, "-rate", strconv.Itoa(rate), "-duration", b.duration)
				cmd.Stderr = os.Stderr
				text, err := cmd.Output()
				if err != nil {
					return fmt.Errorf("turnload hostile %s: %w", kind, err)
				}
				if err := appendJSON(&by[kind].Hostile, text); err != nil {
					return err
				}
			}
		}
	}
	var s strings.Builder
	b.hostileSection(&s)
	fmt.Print(s.String())
	return nil
}

// hostileWords say what clients send, by kind.
var hostileWords = map[string]string{
	"data":       "ChannelData of 1200 B",
	"repeated":   "CreatePermission, 5,000 times one address",
	"distinct":   "CreatePermission with 5,000 addresses",
	"attributes": "Refresh with 15,000 empty attributes",
	"padding":    "Refresh with 60 KB of padding",
	"small":      "CreatePermission with one address, back to back",
}

func (b *bench) hostileSection(s *strings.Builder) {
	if b.figures[hostileName(hostileRates[0])] == nil {
		return
	}
	fmt.Fprintf(s, "## What others notice of hostile clients\n\nThe median round trip of somebody's Binding requests over UDP, in microseconds, while four clients over TCP send so many bytes a second of each kind, and the processor time that the server takes. The aim is at most %d times the round trip beside the same bytes of ChannelData.\n\n| four clients send | bytes/s asked for | sent | p50 | p90 | server's cores | to ChannelData | |\n|---|--:|--:|--:|--:|--:|--:|---|\n", hostileAim)
	for _, rate := range hostileRates {
		by := b.figures[hostileName(rate)]
		of := func(kind string, value func(load.HostileResult) float64) float64 {
			if by[kind] == nil {
				return 0
			}
			return median(each(by[kind].Hostile, value))
		}
		p50 := func(r load.HostileResult) float64 { return r.P50 }
		base := of("data", p50)
		for _, kind := range load.HostileKinds {
			mark := ""
			ratio := of(kind, p50) / base
			if kind != "data" {
				mark = "met"
				if ratio > hostileAim {
					mark = "missed"
				}
			}
			fmt.Fprintf(s, "| %s | %d MB | %.1f MB | %.0f | %.0f | %.2f | %.2f | %s |\n", hostileWords[kind], rate/1_000_000,
				of(kind, func(r load.HostileResult) float64 { return float64(r.Bytes) / r.Seconds / 1e6 }), of(kind, p50),
				of(kind, func(r load.HostileResult) float64 { return r.P90 }),
				of(kind, func(r load.HostileResult) float64 { return r.ServerCPU / r.Seconds }), ratio, mark)
		}
	}
	s.WriteString("\n")
}
