// Command turnhub is a STUN/TURN relay, a WebRTC signaling hub and the pages
// that tie them together, in one process.
//
//	turnhub serve       [--config FILE]
//	turnhub check       [--config FILE | URL]
//	turnhub credentials [--config FILE] --user NAME [--ttl 1h]
//	turnhub token       [--config FILE] --user NAME [--room R]... [--ttl 1h]
//	turnhub config      [--config FILE | --from-turnserver-conf FILE]
//	turnhub version
//
// The exit status is 0 for done, 1 for failed, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"turnhub/internal/config"
)

// version is set by the linker.
var version = "unknown"

// invocation is one run of a command.
type invocation struct {
	args           []string // after the command's name
	stdout, stderr io.Writer
	environ        []string
}

// command is a subcommand.
type command struct {
	name, usage, summary string
	run                  func(ctx context.Context, in invocation) error
}

func commands() []command {
	return []command{
		{"serve", "[--config FILE]", "run (the default command)", serve},
		{"check", "[--config FILE | URL]", "prove that calls will work, with a remedy for each failure", check},
		{"credentials", "[--config FILE] --user NAME [--ttl 1h]", "print an RTCConfiguration with fresh credentials", credentials},
		{"token", "[--config FILE] --user NAME [--room R]... [--ttl 1h]", "print an access token (for access.mode token)", token},
		{"config", "[--config FILE | --from-turnserver-conf FILE]", "print the effective configuration, or everything that is wrong with it; or what coturn's becomes", printConfig},
		{"version", "", "print the version", printVersion},
	}
}

// usageError is a command line that means nothing.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func main() {
	os.Exit(run(context.Background(), os.Args[1:], invocation{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}))
}

// run executes a command line and returns the exit status.
func run(ctx context.Context, args []string, in invocation) int {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "help" || len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		usage(in.stdout)
		return 0
	}
	if len(args) == 1 && args[0] == "--version" {
		name, args = "version", nil
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		in.args = args
		err := c.run(ctx, in)
		var wrong usageError
		switch {
		case err == nil:
			return 0
		case errors.As(err, &wrong):
			fmt.Fprintf(in.stderr, "turnhub %s: %v; write: turnhub %s\n", name, err, strings.TrimSpace(c.name+" "+c.usage))
			return 2
		case errors.Is(err, errSilent):
			return 1
		}
		var faults config.Errors
		if errors.As(err, &faults) { // each line stands for itself: file:line: …
			fmt.Fprintln(in.stderr, faults)
			return 1
		}
		fmt.Fprintf(in.stderr, "turnhub %s: %v\n", name, err)
		return 1
	}
	fmt.Fprintf(in.stderr, "turnhub: there is no command %q; `turnhub help` lists them\n", name)
	return 2
}

// errSilent fails a command that has said all itself.
var errSilent = errors.New("failed")

func usage(w io.Writer) {
	fmt.Fprintln(w, "turnhub makes WebRTC calls connect: a TURN relay, a signaling hub and their pages in one program.")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  turnhub %s\n        %s\n", strings.TrimSpace(c.name+" "+c.usage), c.summary)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "Without --config it runs on built-in defaults. TURNHUB_<OPTION> variables override any option.")
}

// flags parses a command's flags; rest says how many other arguments it takes.
func (in invocation) flags(rest int, define func(*flag.FlagSet)) (file string, others []string, err error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&file, "config", "", "")
	if define != nil {
		define(set)
	}
	if err := set.Parse(in.args); err != nil {
		return "", nil, usageError{err.Error()}
	}
	if set.NArg() > rest {
		return "", nil, usageError{fmt.Sprintf("%q is one argument too many", set.Arg(rest))}
	}
	return file, set.Args(), nil
}

func printVersion(_ context.Context, in invocation) error {
	if _, _, err := in.flags(0, nil); err != nil {
		return err
	}
	fmt.Fprintf(in.stdout, "turnhub %s (%s, %s/%s)\n", softwareVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// softwareVersion is the linked version, or what `go install` knows.
func softwareVersion() string {
	if version != "unknown" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}
