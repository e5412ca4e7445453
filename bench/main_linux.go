// Command bench puts turnhub and its rivals under the same loads, in
// alternating rounds on one machine, and writes bench/RESULTS.md.
//
//	go run ./bench                         everything (about half an hour)
//	go run ./bench -part relay -only udp   some rows, shown but not written down
//
// It is run from the root of the repository, after make build.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	names := flag.String("rivals", "coturn,turnhub,pion4,pion5", "who takes part")
	only := flag.String("only", "", "regular expression over the rows' names; the results are shown, not written down")
	rounds := flag.Int("rounds", 5, "alternating rounds")
	duration := flag.String("duration", "2s", "measured time of one turn")
	serverCPU := flag.Int("server-cpu", 0, "the servers' processor")
	loadCPU := flag.Int("load-cpu", 1, "the generator's processor")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	e, err := prepare()
	if err != nil {
		return err
	}
	defer os.RemoveAll(e.dir)
	e.cpu.server, e.cpu.load = *serverCPU, *loadCPU
	b := &bench{env: e, rounds: *rounds, duration: *duration, figures: make(figures)}
	if b.rivals, err = chooseRivals(*names); err != nil {
		return err
	}
	for _, r := range relayRows {
		if !wanted.MatchString(r.name) {
			continue
		}
		if err := b.runRow(ctx, r); err != nil {
			return err
		}
		fmt.Println(b.line(r))
	}
	return nil
}

// prepare builds our programs and makes a certificate.
func prepare() (*environment, error) {
	if _, err := os.Stat(filepath.Join("bench", "rivals", "go.mod")); err != nil {
		return nil, fmt.Errorf("run this from the root of the repository: %w", err)
	}
	bin, err := filepath.Abs(filepath.Join("bench", "out"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	for dir, packages := range map[string][]string{
		".":                              {"./bench/cmd/turnload"},
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
	return e, writeCertificate(dir)
}
