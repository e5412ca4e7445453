package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"turnhub/bench/hub"
	"turnhub/bench/load"
)

// A figure is what one rival did in one row: a list over the rounds.
type figure struct {
	Media    []load.Result        `json:"media,omitempty"`
	Idle     []load.IdleResult    `json:"idle,omitempty"`
	Churn    []load.ChurnResult   `json:"churn,omitempty"`
	Hostile  []load.HostileResult `json:"hostile,omitempty"`
	Pass     []load.PassResult    `json:"pass,omitempty"`
	Hub      []hub.Result         `json:"hub,omitempty"`
	Stall    []hub.StallResult    `json:"stall,omitempty"`
	Bind     []load.BindResult    `json:"bind,omitempty"`
	Presence []hub.PresenceResult `json:"presence,omitempty"`
	Death    []hub.DeathResult    `json:"death,omitempty"`
}

// figures are by row and rival.
type figures map[string]map[string]*figure

// A bench runs rows.
type bench struct {
	env      *environment
	running  map[string]*process // by rival, from row to row
	rivals   []*rival
	rounds   int
	duration string
	figures  figures
	results
}

// results are what is kept in bench/results.json.
type results struct {
	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	Parts    map[string]part   `json:"parts"`
	Rows     map[string]part   `json:"rows"` // of the relay: each may be measured by itself
	Figures  figures           `json:"figures"`
	Limits   []limit           `json:"limits"`
	Profile  string            `json:"profile"`
	// Disturbed counts the turns that were taken again because the generator did
	// not have its core for itself.
	Disturbed int `json:"disturbed"`
}

// part tells how one part of the results was measured.
type part struct {
	Begun    string `json:"begun"`
	Ended    string `json:"ended"`
	Turnhub  string `json:"turnhub"`
	Rounds   int    `json:"rounds"`
	Duration string `json:"duration"`
	Busy     string `json:"busy"` // the machine's load average when it began and ended
	Machine  string `json:"machine"`
}

// when tells when and on what it was.
func (p part) when() string { return fmt.Sprintf("%s to %s, %s", p.Begun, p.Ended, p.Machine) }

// stop ends all rivals.
func (b *bench) stop() {
	for _, p := range b.running {
		p.stop()
	}
	b.running = nil
}

// process is a rival that runs. Where memory is measured it is a fresh one.
func (b *bench) process(ctx context.Context, v *rival, r row) (*process, error) {
	if p := b.running[v.name]; p != nil {
		if r.kind == "media" {
			return p, nil
		}
		delete(b.running, v.name)
		p.stop()
	}
	p, err := v.start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return nil, err
	}
	if b.running == nil {
		b.running = make(map[string]*process)
	}
	b.running[v.name] = p
	return p, nil
}

// runRow gives each rival its turn in every round; the order turns too.
func (b *bench) runRow(ctx context.Context, r row) error {
	processes := make([]*process, 0, len(b.rivals))
	fresh := make(map[string]*figure)
	for _, v := range b.rivals {
		if !v.takesPart(r) {
			continue
		}
		p, err := b.process(ctx, v, r)
		if err != nil {
			return err
		}
		processes = append(processes, p)
		fresh[v.name] = new(figure)
	}
	rounds := b.rounds
	if r.kind == "idle" {
		rounds = 1 // a second time on the same process would measure its free lists
	}
	for round := range rounds {
		for i := range processes {
			p := processes[(i+round)%len(processes)]
			if err := b.turn(ctx, r, p, fresh[p.name]); err != nil {
				return fmt.Errorf("%s under %s: %w", p.name, r.name, err)
			}
		}
	}
	if b.figures[r.name] == nil { // one that takes no part this time keeps its figures
		b.figures[r.name] = make(map[string]*figure)
	}
	maps.Copy(b.figures[r.name], fresh)
	return nil
}

// A turn in which the spinning generator got less of its core than this was
// disturbed by something else on the machine, and is taken again, a few times.
const (
	undisturbed = 0.9
	tries       = 4
)

// turn runs turnload until it was not disturbed.
func (b *bench) turn(ctx context.Context, r row, p *process, f *figure) error {
	for try := 1; ; try++ {
		if err := b.once(ctx, r, p, f); err != nil {
			return err
		}
		n := len(f.Media) - 1
		if n < 0 || try == tries || f.Media[n].LoadCPU >= undisturbed*f.Media[n].Seconds {
			return nil
		}
		f.Media = f.Media[:n]
		b.Disturbed++
	}
}

// once runs turnload one time.
func (b *bench) once(ctx context.Context, r row, p *process, f *figure) error {
	server := p.server(r.over)
	args := []string{
		"-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "turnload"), r.kind,
		"-server", server.Transport + "://" + server.Address.String(), "-secret", secret, "-pid", strconv.Itoa(p.pid()),
	}
	if r.kind == "media" {
		args = append(args, "-cpu", strconv.Itoa(b.env.cpu.load), "-warmup", "250ms")
	}
	if p.raw {
		args = append(args, "-method", "raw")
	}
	if r.kind != "idle" {
		args = append(args, "-duration", b.duration)
	}
	if r.share > 0 {
		rate := r.share * median(values(b.figures[r.of]["coturn"], perSecond))
		args = append(args, "-rate", strconv.Itoa(int(rate)))
	}
	cmd := exec.CommandContext(ctx, "taskset", append(args, r.args...)...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("turnload %s: %w", strings.Join(args[3:], " "), err)
	}
	switch r.kind {
	case "media":
		return appendJSON(&f.Media, text)
	case "idle":
		return appendJSON(&f.Idle, text)
	default:
		return appendJSON(&f.Churn, text)
	}
}

func appendJSON[T any](list *[]T, text []byte) error {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("read turnload's answer %q: %w", text, err)
	}
	*list = append(*list, v)
	return nil
}

func perSecond(r load.Result) float64 { return r.PerSecond }
func perCPU(r load.Result) float64    { return r.PerCPU }
func p50(r load.Result) float64       { return r.P50 }
func p99(r load.Result) float64       { return r.P99 }
func p999(r load.Result) float64      { return r.P999 }
func loss(r load.Result) float64      { return r.Loss }

func values(f *figure, of func(load.Result) float64) []float64 {
	if f == nil {
		return nil
	}
	return each(f.Media, of)
}

func each[T any](list []T, of func(T) float64) []float64 {
	v := make([]float64, len(list))
	for i, r := range list {
		v[i] = of(r)
	}
	return v
}

// score is the figure by which a row is judged, higher is better: packets or
// allocations per second of the server's processor time.
func (f *figure) score() float64 {
	if f == nil {
		return 0
	}
	switch {
	case len(f.Churn) > 0:
		return median(each(f.Churn, func(r load.ChurnResult) float64 { return r.PerCPU }))
	case len(f.Hub) > 0:
		return median(each(f.Hub, func(r hub.Result) float64 { return r.PerCPU }))
	}
	return median(values(f, perCPU))
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}
