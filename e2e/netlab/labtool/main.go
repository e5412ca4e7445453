// Command labtool is what the network lab needs inside its namespaces and finds in no Debian package: a name
// server, a STUN responder and a probe with which the kind of a router is verified, an echo over TCP, a container
// engine's proxy, a link with a delay, what holds a server's sockets while that is killed, and a guard that takes the lab down when the tests end, however they end.
//
// Every long-running part ends when its standard input is closed, so nothing outlives the test process.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "labtool:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: labtool dns|stun|probe|echo|say|publish|delay|hold|guard …")
	}
	switch command, rest := args[0], args[1:]; command {
	case "dns":
		return serveNames(rest)
	case "stun":
		return serveSTUN(rest)
	case "probe":
		return probe(rest)
	case "echo":
		return serveEcho(rest)
	case "say":
		return say(rest)
	case "publish":
		return publish(rest)
	case "delay":
		return delay(rest)
	case "hold":
		return hold(rest)
	case "guard":
		return guard(rest)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

// untilInputEnds blocks until standard input is closed, after telling the parent on standard output that
// everything is in place.
func untilInputEnds() {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
