package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// The names of the two settings of the cores row, which stand for rivals in it.
const (
	oneCore  = "turnhub on one core"
	twoCores = "turnhub on two cores"
)

// coresRow is turnhub against itself. The machine has two cores, so with the
// server on both the generator must share them, and does so in both settings;
// therefore packets are counted
// per second of the server's own processor time: as long as a second worker
// makes each packet no dearer, twice the cores carry twice the packets.
var coresRow = row{
	name: "cores", title: "172 B, one worker on one core and two workers on two", kind: "media", over: "udp",
	args: []string{"-clients", "64", "-spin=false", "-window", "512"},
}

// runCores alternates the two settings.
func (b *bench) runCores(ctx context.Context) error {
	by := map[string]*figure{oneCore: {}, twoCores: {}}
	b.figures[coresRow.name] = by
	settings := []struct {
		name         string
		server, load []int
	}{
		{oneCore, []int{b.env.cpu.server}, []int{b.env.cpu.server, b.env.cpu.load}},
		{twoCores, []int{b.env.cpu.server, b.env.cpu.load}, []int{b.env.cpu.server, b.env.cpu.load}},
	}
	for round := range b.rounds {
		for i := range settings {
			s := settings[(i+round)%2]
			p, err := rivalNamed("turnhub").start(ctx, b.env, s.server...)
			if err != nil {
				return err
			}
			err = b.onceCores(ctx, p, s.load, by[s.name])
			p.stop()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) onceCores(ctx context.Context, p *process, cpus []int, f *figure) error {
	server := p.server(coresRow.over)
	list := strconv.Itoa(cpus[0])
	if len(cpus) == 2 {
		list += "," + strconv.Itoa(cpus[1])
	}
	args := []string{
		"-c", list, filepath.Join(b.env.bin, "turnload"), "media", "-server", "udp://" + server.Address.String(),
		"-secret", secret, "-pid", strconv.Itoa(p.pid()), "-cpu", list, "-duration", b.duration,
	}
	cmd := exec.CommandContext(ctx, "taskset", append(args, coresRow.args...)...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("turnload on %d cores: %w", len(cpus), err)
	}
	return appendJSON(&f.Media, text)
}
