// Command bench puts turnhub and its rivals under the same loads, in
// alternating rounds on one machine, and writes bench/RESULTS.md with its plots.
//
//	go run ./bench                         everything (about 20 minutes)
//	go run ./bench -only 'udp|pair'        some rows; shown, not written down
//	go run ./bench -only udp-172 -keep     one row, written down: a whole table in pieces, each where the machine is quiet
//	go run ./bench -part hub               one part: relay, kernel, limits, cores, profile, hostile, pass, proxied, hub or cluster
//	go run ./bench soak -for 8h            turnhub alone under every load in turn; memory and descriptors must not grow
//	go run ./bench -report                 writes bench/RESULTS.md again from bench/results.json
//
// It is run from the root of the repository, after make build.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := run
	if len(os.Args) > 1 && os.Args[1] == "soak" {
		work = func(ctx context.Context) error { return soak(ctx, os.Args[2:]) }
	}
	if err := work(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const (
	allParts  = "relay,kernel,limits,cores,profile,hostile,pass,proxied,hub,cluster"
	allRivals = "coturn,coturn-new,coturn-mux,turnhub,pion4,pion5,forwarder"
)

// flags are the command line.
type flags struct {
	rivals, only, part, duration string
	rounds, server, load, nice   int
	report, keep                 bool
}

func run(ctx context.Context) error {
	var f flags
	flag.StringVar(&f.rivals, "rivals", allRivals, "who takes part in the relay's rows")
	flag.StringVar(&f.only, "only", "", "regular expression over the rows' names; the results are shown, not written down")
	flag.BoolVar(&f.keep, "keep", false, "write down what -only chooses")
	flag.StringVar(&f.part, "part", allParts, "which parts")
	flag.IntVar(&f.rounds, "rounds", 5, "alternating rounds")
	flag.StringVar(&f.duration, "duration", "1200ms", "measured time of one turn")
	flag.IntVar(&f.server, "server-cpu", 0, "the servers' processor")
	flag.IntVar(&f.load, "load-cpu", 1, "the generator's processor")
	flag.IntVar(&f.nice, "nice", 0, "nice value of the whole run; below 0 keeps other work on the machine out of the way (start it with setsid)")
	flag.BoolVar(&f.report, "report", false, "only write the report from bench/results.json")
	flag.Parse()
	if _, err := os.Stat(filepath.Join("bench", "rivals", "go.mod")); err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	b := &bench{rounds: f.rounds, duration: f.duration, figures: make(figures)}
	// What is measured anew as a whole owes nothing to an earlier run.
	if f.report || f.part != allParts || f.rivals != allRivals || f.only != "" {
		if err := b.load(); err != nil {
			return err
		}
	}
	if f.report {
		return b.report()
	}
	if err := b.measure(ctx, f); err != nil {
		return err
	}
	if f.only != "" && !f.keep {
		return nil
	}
	if err := b.save(); err != nil {
		return err
	}
	return b.report()
}

// measure runs what the flags ask for.
func (b *bench) measure(ctx context.Context, f flags) error {
	wanted, err := regexp.Compile(f.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if b.rivals, err = chooseRivals(f.rivals); err != nil {
		return err
	}
	if b.env, err = prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(b.env.dir)
	defer b.stop()
	b.env.cpu.server, b.env.cpu.load = f.server, f.load
	if err := renice(f.nice); err != nil {
		return err
	}
	b.describe()
	for _, part := range []struct {
		name string
		run  func(context.Context, *regexp.Regexp, bool) error
	}{
		{"relay", b.measureRelay},
		{"kernel", b.measureKernel},
		{"limits", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error {
			if !wanted.MatchString("limits") {
				return nil
			}
			return b.measureLimits(ctx)
		}},
		{"cores", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error {
			if !wanted.MatchString(coresRow.name) {
				return nil
			}
			err := b.runCores(ctx)
			fmt.Println(b.coresLine())
			return err
		}},
		{"profile", func(ctx context.Context, wanted *regexp.Regexp, _ bool) (err error) {
			if wanted.MatchString("profile") {
				b.Profile, err = b.profile(ctx)
			}
			return err
		}},
		{"hostile", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error {
			if !wanted.MatchString("hostile") {
				return nil
			}
			return b.measureHostile(ctx)
		}},
		{"pass", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error {
			return b.measurePass(ctx, wanted.MatchString)
		}},
		{"proxied", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error {
			return b.measureProxied(ctx, wanted.MatchString)
		}},
		{"hub", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error { return b.measureHub(ctx, wanted) }},
		{"cluster", func(ctx context.Context, wanted *regexp.Regexp, _ bool) error {
			return b.measureCluster(ctx, wanted.MatchString)
		}},
	} {
		if !slices.Contains(strings.Split(f.part, ","), part.name) {
			continue
		}
		begun, busy := time.Now(), loadAverage()
		if err := part.run(ctx, wanted, f.only == "" || f.keep); err != nil {
			return err
		}
		if f.only == "" { // of some rows each tells for itself
			b.describePart(part.name, begun, busy)
		}
	}
	return nil
}

// measureRelay runs the relay's rows. With keep, half an hour is not lost by what
// comes.
func (b *bench) measureRelay(ctx context.Context, wanted *regexp.Regexp, keep bool) error {
	defer b.stop()
	for _, r := range relayRows {
		if !wanted.MatchString(r.name) {
			continue
		}
		begun, busy := time.Now(), loadAverage()
		if err := b.runRow(ctx, r); err != nil {
			return err
		}
		b.describeRow(r.name, begun, busy)
		fmt.Println(b.line(r))
		if keep {
			if err := b.save(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) measureHub(ctx context.Context, wanted *regexp.Regexp) error {
	if err := preparePeer(ctx); err != nil {
		return err
	}
	if err := prepareCentrifugo(ctx, b.env); err != nil {
		return err
	}
	for _, r := range []*rival{peerServer, centrifugo} {
		b.Versions[r.name] = r.version(b.env) // it may not have been there before
	}
	for _, r := range hubRows() {
		if !wanted.MatchString(r.name) {
			continue
		}
		if err := b.runHub(ctx, r); err != nil {
			return err
		}
		fmt.Println(b.hubLine(r))
	}
	return nil
}

func resultsFile() string { return filepath.Join("bench", "results.json") }

// load takes the last results, so that a part may be run again alone.
func (b *bench) load() error {
	text, err := os.ReadFile(resultsFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &b.results)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", resultsFile(), err)
	}
	if b.Figures != nil {
		b.figures = b.Figures
	}
	return nil
}

func (b *bench) save() error {
	b.Figures = b.figures
	text, err := json.Marshal(b.results)
	if err != nil {
		return err
	}
	return os.WriteFile(resultsFile(), append(text, '\n'), 0o644)
}

// prepare builds our programs and makes a certificate.
func prepare() (*environment, error) {
	bin, err := filepath.Abs(filepath.Join("bench", "out"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	for dir, packages := range map[string][]string{
		".":                              {"./bench/cmd/turnload", "./bench/cmd/hubload", "./bench/cmd/forwarder"},
		filepath.Join("bench", "rivals"): {"./pion4", "./pion5"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-o", bin + "/"}, packages...)...)
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %v: %w\n%s", packages, err, text)
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	e := &environment{bin: bin, dir: dir}
	return e, errors.Join(writeCertificate(dir), e.copyTurnhub())
}

// copyTurnhub takes the binary as it is now, so that a build during the run
// changes nothing.
func (e *environment) copyTurnhub() error {
	program, err := os.ReadFile(filepath.Join("bin", "turnhub"))
	if err != nil {
		return fmt.Errorf("%w; run make build first", err)
	}
	return os.WriteFile(e.path("turnhub"), program, 0o755)
}
