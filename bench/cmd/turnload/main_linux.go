// Command turnload drives a TURN server and prints what it measured as JSON:
//
//	turnload media -server udp://127.0.0.1:3478 -secret S -pid $(pidof turnserver) -size 1200 -burst 8
//
// Run a subcommand with -h for its options; package load says what they mean.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"turnhub/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	commands := map[string]func(context.Context, []string) (any, error){"media": media, "idle": idle, "churn": churn, "hostile": hostile, "pass": pass, "bind": bind}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: turnload media|idle|churn|bind|hostile|pass [options]")
		os.Exit(2)
	}
	result, err := commands[os.Args[1]](ctx, os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "turnload:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

// common declares what all subcommands need.
func common(f *flag.FlagSet, server *load.Server, secret *string, pid *int) {
	f.Func("server", "udp://, tcp:// or tls:// with IP address and port", func(s string) (err error) {
		proxied := server.Proxied // whichever of the two options comes first
		*server, err = load.ParseServer(s)
		server.Proxied = proxied
		return err
	})
	f.StringVar(secret, "secret", "", "the server's shared secret")
	f.IntVar(pid, "pid", 0, "the server's process, to read what it uses")
}

func media(ctx context.Context, args []string) (any, error) {
	o := load.Defaults()
	f := flag.NewFlagSet("media", flag.ExitOnError)
	common(f, &o.Server, &o.Secret, &o.PID)
	f.StringVar(&o.Server.Proxied, "proxied", "", "over TCP and TLS: begin with a PROXY header of this version, v1 or v2")
	f.BoolVar(&o.Pair, "pair", o.Pair, "the far end is a client of the server too")
	f.StringVar(&o.Direction, "direction", o.Direction, "up, down or both")
	f.StringVar(&o.Method, "method", o.Method, "channel, send, raw (to the forwarder) or direct (to the peers, without a server)")
	f.BoolVar(&o.Greet, "greet", o.Greet, "each client sends a byte first")
	f.IntVar(&o.Idle, "idle", o.Idle, "further allocations that carry nothing")
	f.StringVar(&o.ClientNamespace, "client-netns", o.ClientNamespace, "network namespace of the clients")
	f.StringVar(&o.PeerNamespace, "peer-netns", o.PeerNamespace, "network namespace of the peers")
	f.IntVar(&o.Clients, "clients", o.Clients, "sending clients")
	f.IntVar(&o.Size, "size", o.Size, "payload bytes")
	f.IntVar(&o.Burst, "burst", o.Burst, "packets that a client hands over at once")
	f.StringVar(&o.BurstBy, "burst-by", o.BurstBy, "gso (UDP_SEGMENT) or mmsg (sendmmsg)")
	f.BoolVar(&o.GRO, "gro", o.GRO, "receive with UDP_GRO")
	f.Float64Var(&o.Rate, "rate", o.Rate, "packets per second over all clients; 0 saturates")
	f.DurationVar(&o.Tick, "tick", o.Tick, "with -rate: packets due within a tick leave together")
	f.IntVar(&o.Window, "window", o.Window, "packets in flight when saturating")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "before the measured time")
	f.DurationVar(&o.Duration, "duration", o.Duration, "measured time")
	f.BoolVar(&o.Spin, "spin", o.Spin, "poll without sleeping")
	f.Func("cpu", "processors of the generator, as 1 or 0,1: one thread on each", func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return fmt.Errorf("processor %q: %w", part, err)
			}
			o.CPUs = append(o.CPUs, n)
		}
		return nil
	})
	f.Func("peer", "address of the UDP peers (127.0.0.1)", func(s string) (err error) {
		o.Peer, err = netip.ParseAddr(s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return load.Run(ctx, o)
}

func idle(ctx context.Context, args []string) (any, error) {
	var o load.IdleOptions
	f := flag.NewFlagSet("idle", flag.ExitOnError)
	common(f, &o.Server, &o.Secret, &o.PID)
	f.IntVar(&o.Allocations, "n", 10000, "allocations")
	f.DurationVar(&o.Hold, "hold", 10*time.Second, "how long to hold them")
	f.DurationVar(&o.Refresh, "refresh", 10*time.Second, "how often to refresh each")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return load.Idle(ctx, o)
}

func churn(ctx context.Context, args []string) (any, error) {
	var o load.ChurnOptions
	f := flag.NewFlagSet("churn", flag.ExitOnError)
	common(f, &o.Server, &o.Secret, &o.PID)
	f.DurationVar(&o.Duration, "duration", 3*time.Second, "how long")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return load.Churn(ctx, o)
}

func bind(ctx context.Context, args []string) (any, error) {
	o := load.BindOptions{Clients: 32, Channels: 64}
	f := flag.NewFlagSet("bind", flag.ExitOnError)
	common(f, &o.Server, &o.Secret, &o.PID)
	f.StringVar(&o.Namespace, "client-netns", o.Namespace, "network namespace of the clients")
	f.Func("peers", "the first peer's address; the others follow", func(s string) (err error) {
		o.Peers, err = netip.ParseAddr(s)
		return err
	})
	f.IntVar(&o.Clients, "clients", o.Clients, "clients")
	f.IntVar(&o.Channels, "channels", o.Channels, "channels of each")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return load.Bind(ctx, o)
}

func hostile(ctx context.Context, args []string) (any, error) {
	var o load.HostileOptions
	f := flag.NewFlagSet("hostile", flag.ExitOnError)
	common(f, &o.Server, &o.Secret, &o.PID)
	f.StringVar(&o.Kind, "kind", "data", "what is sent: "+strings.Join(load.HostileKinds, ", "))
	f.IntVar(&o.Clients, "clients", 4, "how many send it")
	f.IntVar(&o.Rate, "rate", 4_000_000, "bytes per second over all clients")
	f.DurationVar(&o.Duration, "duration", 3*time.Second, "how long")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return load.Hostile(ctx, o)
}

func pass(ctx context.Context, args []string) (any, error) {
	var o load.PassOptions
	f := flag.NewFlagSet("pass", flag.ExitOnError)
	address := func(name, usage string, into *netip.AddrPort) {
		f.Func(name, usage, func(s string) (err error) {
			*into, err = netip.ParseAddrPort(s)
			return err
		})
	}
	address("server", "who passes TLS connections on by name", &o.Server)
	address("upstream", "where it passes them on to; opened here", &o.Upstream)
	f.StringVar(&o.Name, "name", "www.example.org", "the name that is passed on")
	f.IntVar(&o.PID, "pid", 0, "the server's process, to read what it uses")
	f.StringVar(&o.Kind, "kind", "down", "what goes through: "+strings.Join(load.PassKinds, ", "))
	f.IntVar(&o.Connections, "connections", 8, "how many")
	f.Int64Var(&o.Bytes, "bytes", 64<<20, "in each, but short ones")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return load.Pass(ctx, o)
}
