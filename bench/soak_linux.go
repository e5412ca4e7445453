package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"turnhub/bench/load"
)

// spare is how many descriptors more than at the beginning are no leak.
const spare = 32

// soak loads turnhub with everything in turn for a long time and watches what
// it holds between the loads: memory and descriptors must not grow.
func soak(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("soak", flag.ExitOnError)
	length := f.Duration("for", 30*time.Minute, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	e, err := prepare()
	if err != nil {
		return err
	}
	defer os.RemoveAll(e.dir)
	p, err := rivalNamed("turnhub").start(ctx, e, 0, 1)
	if err != nil {
		return err
	}
	defer p.stop()
	var early holding
	for cycle, start := 1, time.Now(); time.Since(start) < *length; cycle++ {
		if err := soakCycle(ctx, e, p); err != nil {
			return fmt.Errorf("cycle %d: %w", cycle, err)
		}
		now, err := p.holding()
		// Who has just gone may take a moment on a busy machine. What leaks stays.
		for range 20 {
			if err != nil || cycle <= 3 || now.descriptors <= early.descriptors+spare {
				break
			}
			time.Sleep(time.Second)
			now, err = p.holding()
		}
		if err != nil {
			return err
		}
		fmt.Printf("%8s  cycle %d: %.1f MB, %d descriptors\n", time.Since(start).Round(time.Second), cycle, float64(now.rss)/1e6, now.descriptors)
		switch {
		case cycle <= 3: // buffers and pools find their size
			early = now
		case now.rss > early.rss*3/2:
			return fmt.Errorf("memory grew from %d to %d bytes", early.rss, now.rss)
		case now.descriptors > early.descriptors+spare:
			return fmt.Errorf("descriptors grew from %d to %d", early.descriptors, now.descriptors)
		}
	}
	return nil
}

// soakCycle runs each kind of load once.
func soakCycle(ctx context.Context, e *environment, p *process) error {
	pid := strconv.Itoa(p.pid())
	for _, args := range [][]string{
		{"media", "-server", "udp", "-clients", "100", "-rate", "10000", "-direction", "both", "-spin=false", "-duration", "4s"},
		{"media", "-server", "tcp", "-clients", "100", "-rate", "10000", "-direction", "both", "-spin=false", "-duration", "4s"},
		{"media", "-server", "tls", "-clients", "100", "-rate", "5000", "-pair", "-spin=false", "-duration", "4s"},
		{"churn", "-server", "udp", "-duration", "4s"},
		{"idle", "-server", "udp", "-n", "3000", "-hold", "4s", "-refresh", "4s"},
	} {
		address := p.server(args[2])
		args[2] = address.Transport + "://" + address.Address.String()
		cmd := exec.CommandContext(ctx, filepath.Join(e.bin, "turnload"), append(args, "-secret", secret, "-pid", pid)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("turnload %v: %w", args, err)
		}
	}
	hub := p.server("tcp").Address.String()
	for _, args := range [][]string{{"relay", "-clients", "200"}, {"join", "-clients", "1000", "-rooms", "100"}, {"stall"}} {
		cmd := exec.CommandContext(ctx, filepath.Join(e.bin, "hubload"), append(args, "-server", hub, "-pid", pid)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("hubload %v: %w", args, err)
		}
	}
	return nil
}

// A holding is what a process has between loads.
type holding struct {
	rss         int64
	descriptors int
}

func (p *process) holding() (h holding, err error) {
	if h.rss, err = load.RSS(p.pid()); err != nil {
		return h, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	h.descriptors = len(files)
	return h, err
}
