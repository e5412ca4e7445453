// Command hubload loads a signaling server and prints what it measured as JSON:
//
//	hubload idle|relay|media|join|stall|stampede|presence|death -server 127.0.0.1:8080 -dialect turnhub|peerjs|centrifugo [-tls] -pid PID
//
// Run a subcommand with -h for its options; package hub says what they mean.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"turnhub/bench/hub"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "hubload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o hub.Options
	kind := ""
	if len(os.Args) > 1 {
		kind = os.Args[1]
	}
	f := flag.NewFlagSet(kind, flag.ExitOnError)
	f.Func("server", "IP address and port", func(s string) (err error) {
		o.Server, err = netip.ParseAddrPort(s)
		return err
	})
	f.Func("others", "addresses and ports of the other nodes, with commas", func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			server, err := netip.ParseAddrPort(one)
			if err != nil {
				return err
			}
			o.Others = append(o.Others, server)
		}
		return nil
	})
	f.Func("pids", "processes whose time is counted with the server's, with commas", func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			pid, err := strconv.Atoi(one)
			if err != nil {
				return err
			}
			o.PIDs = append(o.PIDs, pid)
		}
		return nil
	})
	f.StringVar(&o.NATS, "nats", "", "presence, death: URL of the NATS server of the nodes")
	f.StringVar(&o.Dialect, "dialect", "turnhub", "turnhub, peerjs or centrifugo")
	f.BoolVar(&o.TLS, "tls", false, "TLS 1.3 under the WebSocket")
	f.IntVar(&o.PID, "pid", 0, "the server's process")
	f.IntVar(&o.Clients, "clients", 10000, "clients that are connected")
	f.IntVar(&o.Rooms, "rooms", 1000, "join, presence, death: rooms")
	f.IntVar(&o.Size, "size", 300, "bytes of a signal's body")
	f.IntVar(&o.Window, "window", 200, "relay: signals in flight")
	f.Float64Var(&o.Rate, "rate", 100, "join: newcomers a second; stall: messages a second")
	f.DurationVar(&o.Duration, "duration", 4*time.Second, "measured time")
	sources := f.Int("sources", 8, "client addresses, 127.12.1.1 and up")
	collect := f.String("collect", "", "before memory is read: an http:// address to fetch, or usr2 for a signal")
	if kind != "" {
		if err := f.Parse(os.Args[2:]); err != nil {
			return err
		}
	}
	for i := range *sources {
		o.Sources = append(o.Sources, netip.AddrFrom4([4]byte{127, 12, 1, byte(1 + i)}))
	}
	o.Settle = func() error { return settle(*collect, o.PID) }
	var result any
	var err error
	switch kind {
	case "idle":
		result, err = hub.Idle(ctx, o)
	case "relay":
		result, err = hub.Relay(ctx, o)
	case "media":
		result, err = hub.Media(ctx, o)
	case "join":
		result, err = hub.Join(ctx, o)
	case "stall":
		result, err = hub.Stall(ctx, o)
	case "stampede":
		result, err = hub.Stampede(ctx, o, newProcess)
	case "presence":
		result, err = hub.Presence(ctx, o)
	case "death":
		result, err = hub.Death(ctx, o, newProcess)
	default:
		fmt.Fprintln(os.Stderr, "usage: hubload idle|relay|media|join|stall|stampede|presence|death [options]")
		os.Exit(2)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// newProcess says on standard output that all clients are in, and reads from
// standard input which process serves from now on.
func newProcess(opened int) (pid int, err error) {
	fmt.Printf("{\"opened\":%d}\n", opened)
	if _, err := fmt.Scanln(&pid); err != nil {
		return 0, fmt.Errorf("wait for the new process: %w", err)
	}
	return pid, nil
}

// settle makes the server collect its garbage and gives it a moment for it.
func settle(how string, pid int) error {
	switch {
	case how == "":
	case how == "usr2":
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			return fmt.Errorf("signal the server: %w", err)
		}
	default:
		// The server under test has a certificate of its own making.
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		answer, err := client.Get(how)
		if err != nil {
			return fmt.Errorf("ask the server to collect: %w", err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("ask the server to collect: %s answers %s", how, answer.Status)
		}
	}
	time.Sleep(time.Second)
	return nil
}
