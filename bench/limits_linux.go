package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A limit is what one server needs for each packet under one load.
type limit struct {
	Row, Server                  string
	Calls, Switches, Microsecond float64 // system calls, context switches, processor time
}

// limitRows are the loads in which the forwarder shows what the machine allows.
var limitRows = []string{"udp-172", "udp-172-200", "udp-20k-tick", "udp-20k", "tcp-172"}

// measureLimits counts system calls and context switches for each packet, which
// perf does without slowing the server.
func (b *bench) measureLimits(ctx context.Context) error {
	b.Limits = nil
	if err := exec.CommandContext(ctx, "perf", "stat", "-e", "raw_syscalls:sys_enter", "--", "true").Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: no system calls for each packet: perf cannot count them here")
		return nil
	}
	for _, r := range relayRows {
		if !slices.Contains(limitRows, r.name) {
			continue
		}
		for _, name := range few {
			v := rivalNamed(name)
			if !v.takesPart(r) {
				continue
			}
			l, err := b.limit(ctx, r, v)
			if err != nil {
				return fmt.Errorf("count the system calls of %s under %s: %w", name, r.name, err)
			}
			b.Limits = append(b.Limits, l)
		}
	}
	return nil
}

func (b *bench) limit(ctx context.Context, r row, v *rival) (l limit, err error) {
	p, err := v.start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return l, err
	}
	defer p.stop()
	counted := make(chan error, 1)
	var text []byte
	go func() {
		time.Sleep(600 * time.Millisecond) // into the measured time
		cmd := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter,context-switches",
			"-p", strconv.Itoa(p.pid()), "--", "sleep", "1")
		var err error
		text, err = cmd.CombinedOutput()
		counted <- err
	}()
	f := new(figure)
	args := r
	args.args = append(slices.Clone(r.args), "-duration", "1500ms") // the last one counts
	err = b.once(ctx, args, p, f)
	if e := <-counted; err == nil && e != nil {
		err = fmt.Errorf("perf stat: %w\n%s", e, text)
	}
	if err != nil {
		return l, err
	}
	packets := f.Media[0].PerSecond
	l = limit{Row: r.name, Server: v.name, Microsecond: 1e6 / f.Media[0].PerCPU}
	for line := range strings.Lines(string(text)) {
		words := strings.Split(line, ",")
		if len(words) < 3 {
			continue
		}
		n, _ := strconv.ParseFloat(words[0], 64)
		switch words[2] {
		case "raw_syscalls:sys_enter":
			l.Calls = n / packets
		case "context-switches":
			l.Switches = n / packets
		}
	}
	return l, nil
}

// allowed is the section on what the machine allows, and by how much each aim is
// missed.
func (b *bench) allowed(s *strings.Builder) {
	s.WriteString("## What the machine allows\n\nThe forwarder is one thread with a blocking recvmmsg and a sendmmsg for each peer: nothing a relay does can be left out of it. What each server needs for a packet, counted by perf for a second:\n\n" +
		"| load | server | system calls | context switches | processor time |\n|---|---|--:|--:|--:|\n")
	for _, l := range b.Limits {
		fmt.Fprintf(s, "| %s | %s | %.2f | %.3f | %.1f µs |\n", l.Row, l.Server, l.Calls, l.Switches, l.Microsecond)
	}
	s.WriteString("\n")
	missed := 0
	for _, r := range relayRows {
		by := b.figures[r.name]
		if r.aim == 0 || r.kind != "media" || by == nil || by["coturn"].score() == 0 || by["turnhub"].score() == 0 {
			continue
		}
		base := by["coturn"].score()
		ratio := by["turnhub"].score() / base
		if ratio >= r.aim {
			continue
		}
		missed++
		fmt.Fprintf(s, "- `%s` reaches %.2f of the %.2f aimed at, %.0f %% too little", r.name, ratio, r.aim, 100*(1-ratio/r.aim))
		if raw := by["forwarder"].score(); raw > 0 {
			fmt.Fprintf(s, "; the forwarder reaches %.2f, so turnhub gets %.0f %% of what the machine allows", raw/base, 100*by["turnhub"].score()/raw)
		}
		s.WriteString(".\n")
	}
	if missed == 0 {
		s.WriteString("No throughput aim is missed.\n")
	}
	s.WriteString("\nAt a fixed rate with the packets spread evenly each packet finds the server asleep, and the way to sleep and back is most of what it costs. turnhub lets packets wait for each other, by 150 to 250 µs, where a worker is at work for more than half of its time (turnsrv/internal/epoll/pace.go); at such a rate it is not, and no packet waits. TCP and TLS clients stay in epoll beside the ring; docs/sizing.md has what receiving by it gained when it was tried.\n\n" +
		bothEnds)
}

// bothEnds is what a packet costs between two clients of turnhub, by perf and by turns of
// two servers that differed in nothing else.
const bothEnds = "Where both ends are clients of turnhub (`pair-172`) a packet goes through the kernel's UDP path once in and once out, and that is four fifths of what it costs: sending 54 % (of which the receiver's own softirq, on loopback in the sender's time, has 16 %, and cutting trains up for a receiver without UDP_GRO 6 %), receiving 21 %, the ring 6 %. " +
	"Of the fifth that is the process's no function has more than 1.2 %: a relay that did nothing at all with the packet would reach 1.2 times what turnhub does. Waiting for packets twice as long, and rounds of twice as many, gained 0.97 to 1.05 times in five alternating rounds, and were left out. What does gain is the path inside the kernel, below.\n\n"
