package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"turnhub/bench/load"
)

// What passes inside the kernel (relay.kernel: on) beside the same server without it and
// the coturns, between network namespaces. A process's clock does not see what the kernel
// does in interrupts, so the whole machine's processor time is counted, and what a run
// without a server costs is taken off: the generator's own share, and that of the lab.

// Runs without a server.
const (
	kernelDirect  = "direct"  // from clients to peers over one pair of interfaces
	kernelThrough = "through" // over the two that a relayed packet passes, see netlab.through
)

// kernelTurns are how many turns a round has of that whose cost is too small to be seen in
// one, and of what is taken off: alternating.
const kernelTurns = 3

// A kernelRow is a load with its aims: at most so many times the cost of a packet, or the
// latency, that the coturns have.
type kernelRow struct {
	name, title string
	args        []string
	spin        bool    // the generator never sleeps: latencies, and no cost
	old, recent float64 // aims; 0: none
	only        bool    // without the coturns: the row is beside another one
}

// kernelRate is packets a second: all keep up with it, and the generator sleeps so seldom
// that its waking up does not hide what a packet costs.
const kernelRate = "60000"

var kernelRows = []kernelRow{
	{"kernel-up-172", "client to peer, 172 B", nil, false, 1.0 / 12, 1.0 / 6, false},
	{"kernel-up-1200", "client to peer, 1200 B", []string{"-size", "1200"}, false, 1.0 / 12, 1.0 / 6, false},
	{"kernel-down-172", "peer to client, 172 B", []string{"-direction", "down"}, false, 1.0 / 12, 1.0 / 6, false},
	{"kernel-down-1200", "peer to client, 1200 B", []string{"-direction", "down", "-size", "1200"}, false, 1.0 / 12, 1.0 / 6, false},
	{"kernel-pair-172", "both are clients of the server, 172 B", []string{"-pair"}, false, 1.0 / 20, 0, false},
	{"kernel-train", "client to peer, 1200 B in trains of 8", []string{"-size", "1200", "-burst", "8"}, false, 0, 0, false},
	{"kernel-few", "client to peer, 172 B, 10 flows", []string{"-clients", "10"}, false, 0, 0, true},
	{"kernel-many", "… 2,000 flows among 10,000 allocations", []string{"-clients", "2000", "-idle", "8000"}, false, 0, 0, true},
	{"kernel-latency", "client to peer, 172 B, 20,000 packets/s evenly spread", []string{"-rate", "20000"}, true, 0, 0, false},
}

// kernelRivals are who takes part, in the order of the table.
func (l netlab) kernelRivals() []*rival {
	with := *rivalNamed("turnhub")
	with.name, with.kernel = "turnhub-kernel", "on"
	return []*rival{
		l.inside(*rivalNamed("coturn"), labServers+"11"), l.inside(*rivalNamed("coturn-new"), labServers+"12"),
		l.inside(*rivalNamed("coturn-mux"), labServers+"13"), l.inside(*rivalNamed("turnhub"), labServers+"14"),
		l.inside(with, labServers+"15"),
	}
}

var kernelNames = []string{"coturn", "coturn-new", "coturn-mux", "turnhub", "turnhub-kernel"}

func (b *bench) measureKernel(ctx context.Context, wanted *regexp.Regexp, keep bool) error {
	lab, err := newNetlab()
	if err != nil {
		return err
	}
	defer lab.close()
	rivals := lab.kernelRivals()
	running := make(map[string]*process)
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, r := range kernelRows {
		if !wanted.MatchString(r.name) {
			continue
		}
		begun, busy := time.Now(), loadAverage()
		by := map[string]*figure{kernelDirect: new(figure), kernelThrough: new(figure)}
		for round := range b.rounds {
			if err := b.kernelTurn(ctx, lab, r, nil, labDirect, by[kernelDirect]); err != nil {
				return err
			}
			for i := range rivals {
				v := rivals[(i+round)%len(rivals)]
				if !v.takesPart(row{args: r.args}) || r.only && v.kernel == "" {
					continue
				}
				if by[v.name] == nil {
					by[v.name] = new(figure)
				}
				if err := b.kernelServed(ctx, lab, r, v, running, by[v.name], by[kernelThrough]); err != nil {
					return fmt.Errorf("%s under %s: %w", v.name, r.name, err)
				}
			}
		}
		b.figures[r.name] = by
		b.describeRow(r.name, begun, busy)
		fmt.Print(b.kernelLine(r))
		if keep {
			if err := b.save(); err != nil {
				return err
			}
		}
	}
	if !wanted.MatchString(kernelBind) {
		return nil
	}
	// Two of one rival would share its port, and each know half of the allocations.
	for name, p := range running {
		p.stop()
		delete(running, name)
	}
	return b.measureKernelBind(ctx, lab, rivals)
}

// kernelServed has a rival its turn. One whose program is in the kernel runs for that turn
// alone, since the packets of others would pass through it, and alternates with runs
// without a server over the same hops.
func (b *bench) kernelServed(ctx context.Context, lab netlab, r kernelRow, v *rival, running map[string]*process, f, through *figure) error {
	if v.kernel == "" {
		if running[v.name] == nil {
			p, err := v.start(ctx, b.env, b.env.cpu.server)
			if err != nil {
				return err
			}
			running[v.name] = p
		}
		return b.kernelTurn(ctx, lab, r, running[v.name], "", f)
	}
	turns := kernelTurns
	if r.spin {
		turns = 1
	}
	for range turns {
		err := lab.through(ctx, func() error { return b.kernelTurn(ctx, lab, r, nil, labThrough, through) })
		if err != nil {
			return err
		}
		// The last turn's allocations last longer than the turn.
		p, err := v.start(ctx, b.env, b.env.cpu.server)
		if err != nil {
			return err
		}
		err = b.kernelTurn(ctx, lab, r, p, "", f)
		p.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// kernelTurn runs turnload once, without a server, to the peers' address direct, where p
// is nil.
func (b *bench) kernelTurn(ctx context.Context, lab netlab, r kernelRow, p *process, direct string, f *figure) error {
	cpu := strconv.Itoa(b.env.cpu.load)
	args := []string{"-c", cpu, filepath.Join(b.env.bin, "turnload"), "media", "-greet", "-cpu", cpu, "-secret", secret,
		"-duration", b.duration, "-client-netns", lab.clients(), "-peer-netns", lab.peers(), "-spin=" + strconv.FormatBool(r.spin)}
	warmup := "300ms"
	if p != nil && p.kernel != "" {
		warmup = "1500ms" // a flow of dense packets is in the kernel after a second
	}
	args = append(args, "-warmup", warmup)
	if !r.spin {
		args = append(args, "-rate", kernelRate, "-tick", "1ms")
	}
	rest := r.args
	if p != nil {
		args = append(args, "-server", "udp://"+p.server("udp").Address.String(), "-pid", strconv.Itoa(p.pid()), "-peer", labPeer)
	} else {
		args = append(args, "-method", "direct", "-peer", direct)
		if len(rest) > 0 && rest[0] == "-pair" {
			rest = rest[1:]
		}
	}
	cmd := exec.CommandContext(ctx, "taskset", append(args, rest...)...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("turnload media: %w", err)
	}
	return appendJSON(&f.Media, text)
}

// systemCost is the processor time of all that takes part, for a packet in microseconds.
func systemCost(r load.Result) float64 { return 1e6 * r.InvolvedCPU / float64(max(r.Relayed, 1)) }

// machineCost is that of the whole machine, with what else runs there.
func machineCost(r load.Result) float64 { return 1e6 * r.SystemCPU / float64(max(r.Relayed, 1)) }

// kernelCost is what a server costs for a packet: the median of what is more than in the
// runs without one. Where there are as many of these as of its own, each with the next.
func kernelCost(by map[string]*figure, name, without string, cost func(load.Result) float64) float64 {
	if by[name] == nil || by[without] == nil {
		return math.NaN()
	}
	own, base := values(by[name], cost), values(by[without], cost)
	if len(own) != len(base) {
		return median(own) - median(base)
	}
	more := make([]float64, len(own))
	for i := range more {
		more[i] = own[i] - base[i]
	}
	return median(more)
}

const kernelBind = "kernel-bind"

// measureKernelBind compares what setting channels up costs.
func (b *bench) measureKernelBind(ctx context.Context, lab netlab, rivals []*rival) error {
	begun, busy := time.Now(), loadAverage()
	by := make(map[string]*figure)
	for round := range b.rounds {
		for i := range rivals {
			v := rivals[(i+round)%len(rivals)]
			if v.missing() || v.oneAddress { // which has each peer for one client alone
				continue
			}
			if by[v.name] == nil {
				by[v.name] = new(figure)
			}
			p, err := v.start(ctx, b.env, b.env.cpu.server)
			if err != nil {
				return err
			}
			text, err := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "turnload"), "bind",
				"-server", "udp://"+p.server("udp").Address.String(), "-secret", secret, "-pid", strconv.Itoa(p.pid()),
				"-client-netns", lab.clients(), "-peers", labMany).Output()
			p.stop()
			if err != nil {
				return fmt.Errorf("%s: turnload bind: %w", v.name, err)
			}
			f := by[v.name]
			if err := appendJSON(&f.Bind, text); err != nil {
				return err
			}
			// What a rival refuses it says in the table; ours refuses none.
			if last := f.Bind[len(f.Bind)-1]; last.Failed > 0 && strings.HasPrefix(v.name, "turnhub") {
				return fmt.Errorf("%s refused %d of %d channels", v.name, last.Failed, last.Channels)
			}
		}
	}
	b.figures[kernelBind] = by
	b.describeRow(kernelBind, begun, busy)
	fmt.Print(b.kernelBindLine())
	return nil
}

func bindCost(r load.BindResult) float64   { return 1e6 * r.BindCPU / float64(max(r.Channels, 1)) }
func packetCost(r load.BindResult) float64 { return 1e6 * r.PacketCPU / float64(max(r.Channels, 1)) }
