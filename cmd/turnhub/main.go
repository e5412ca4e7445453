// Command turnhub is a STUN/TURN relay, a WebRTC signaling hub and the pages
// that tie them together, in one process.
//
//	turnhub serve       [--config FILE]
//	turnhub check       [--config FILE | URL]
//	turnhub credentials [--config FILE] --user NAME [--ttl 1h]
//	turnhub token       [--config FILE] --user NAME [--room R]... [--ttl 1h]
//	turnhub config      [--config FILE | --from-turnserver-conf FILE]
//	turnhub drain       [--config FILE]
//	turnhub detach
//	turnhub version
//	turnhub help        [COMMAND]
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
	"slices"
	"strings"

	"turnhub/internal/config"
)

// version is set by the linker.
var version = "unknown"

// invocation is one run of a command.
type invocation struct {
	command        command
	args           []string // after the command's name
	stdout, stderr io.Writer
	environ        []string
}

// command is a subcommand. Its flags are those that run defines; --help shows
// them as they are parsed.
type command struct {
	name, usage, summary string
	about                string   // what else there is to know, for --help
	examples             []string // after "turnhub "
	run                  func(ctx context.Context, in invocation) error
}

func commands() []command {
	return []command{
		{"serve", "[--config FILE]", "run (the default command)",
			"SIGTERM ends it in order, SIGHUP has it read the configuration again, SIGUSR2 has the binary on disk take over.",
			[]string{"serve", "serve --config /etc/turnhub/config.yaml"}, serve},
		{"check", "[--idle] [--config FILE | URL | --self]", "prove that calls will work, with a remedy for each failure",
			"With a URL it goes the way of a browser to any turnhub, from this machine. Otherwise it checks the server that the configuration describes, on this machine. It makes two sessions and a few allocations and gives them back. With --idle it also sees whether a proxy in front leaves a quiet socket open, which takes a minute. With --self it only asks the server on this machine whether it answers clients, which is what a container's health check wants.",
			[]string{"check https://calls.example.org", "check --config /etc/turnhub/config.yaml", "check 'https://calls.example.org?token=TOKEN'", "check --self --config /etc/turnhub/config.yaml"}, check},
		{"credentials", "[--config FILE] --user NAME [--ttl 1h]", "print an RTCConfiguration with fresh credentials",
			"It is JSON for new RTCPeerConnection(…), or for a program that wants username, credential and URLs.",
			[]string{"credentials --user anna", "credentials --config /etc/turnhub/config.yaml --user asterisk --ttl 8760h"}, credentials},
		{"token", "[--config FILE] --user NAME [--room R]... [--ttl 1h]", "print an access token (for access.mode token)",
			"Its bearer is NAME and may join the rooms named, or every room when none is. A page takes it as https://calls.example.org/?token=TOKEN#ROOM, a program as Authorization: Bearer TOKEN.",
			[]string{"token --user anna --room blue-fox --ttl 2h", "token --user operator --ttl 720h"}, token},
		{"config", "[--config FILE | --from-turnserver-conf FILE]", "print the effective configuration, or everything that is wrong with it; or what coturn's becomes",
			"Secrets are masked. Warnings and errors go to standard error; a configuration with errors is not printed.",
			[]string{"config --config /etc/turnhub/config.yaml", "config --from-turnserver-conf /etc/turnserver.conf > config.yaml"}, printConfig},
		{"drain", "[--config FILE]", "empty this node of rooms and clients, then end it",
			"Of several nodes the others get its rooms, and its clients go there one room after the other, without losing a word; then the server ends. By itself a server tells its clients to come back and ends. SIGTERM does the same. Where something starts the server again when it has ended, as systemd does, use that to stop it.",
			[]string{"drain --config /etc/turnhub/config.yaml"}, drain},
		{"detach", "", "take away what a killed server has left in the kernel",
			"Where packets of running calls pass inside a kernel before 6.6 (relay.kernel), a server that is killed leaves a filter at each interface, which forwards nothing any more. The next server takes it away as it starts; the unit's drop-in does it by this command. Those of running servers stay. It needs CAP_NET_ADMIN.",
			[]string{"detach"}, detach},
		{"version", "", "print the version", "", nil, printVersion},
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
	switch {
	case len(args) == 0:
	case slices.Contains([]string{"-h", "-help", "--help"}, args[0]):
		usage(in.stdout)
		return 0
	case args[0] == "--version" && len(args) == 1:
		name, args = "version", nil
	case args[0] == "help" && len(args) == 1:
		usage(in.stdout)
		return 0
	case args[0] == "help" && len(args) == 2 && (args[1] == "help" || strings.HasPrefix(args[1], "-")):
		usage(in.stdout)
		return 0
	case args[0] == "help" && len(args) == 2:
		name, args = args[1], []string{"--help"}
	case args[0] == "help":
		fmt.Fprintln(in.stderr, "turnhub help: write: turnhub help [COMMAND]")
		return 2
	case !strings.HasPrefix(args[0], "-"):
		name, args = args[0], args[1:]
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		in.command, in.args = c, args
		err := c.run(ctx, in)
		var wrong usageError
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.As(err, &wrong):
			fmt.Fprintf(in.stderr, "turnhub %s: %v; write: turnhub %s (`turnhub help %[1]s` explains it)\n", name, err, strings.TrimSpace(c.name+" "+c.usage))
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
