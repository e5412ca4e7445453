package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"turnhub/bench/load"
)

// A netlab is three network namespaces: the server's, and joined to it by a pair of
// interfaces each the clients' and the peers', which have a pair of their own between them
// for runs without a server.
type netlab struct{ name string }

func (l netlab) server() string  { return l.name + "-s" }
func (l netlab) clients() string { return l.name + "-c" }
func (l netlab) peers() string   { return l.name + "-p" }

const (
	labServers = "10.78.1."   // and .1: the server's namespace on the clients' side
	labPeer    = "10.78.2.2"  // the peers' namespace on the server's side
	labDirect  = "10.78.3.2"  // the peers' namespace on the clients' side
	labThrough = "10.78.4.2"  // the peers' namespace, for runs without a server through the server's
	labMany    = "10.80.0.1"  // with the whole of 10.80.0.0/16: the peers' too
	labSubnets = "10.0.0.0/8" // all of it
)

// newNetlab makes them.
func newNetlab() (l netlab, err error) {
	l.name = fmt.Sprintf("bench-%d", os.Getpid())
	const commands = `
		for n in s c p; do
			ip netns add NAME-$n
			ip -n NAME-$n link set lo up
			ip netns exec NAME-$n sysctl -qw net.ipv6.conf.default.accept_dad=0
		done
		link() {
			ip link add $2 netns NAME-$1 type veth peer name $4 netns NAME-$3
			ip -n NAME-$1 addr add 10.78.$5.1/24 dev $2
			ip -n NAME-$3 addr add 10.78.$5.2/24 dev $4
			ip -n NAME-$1 link set $2 up
			ip -n NAME-$3 link set $4 up
		}
		link s c c eth0 1
		link s p p eth0 2
		link c p p c 3
		for i in 11 12 13 14 15 16; do ip -n NAME-s addr add 10.78.1.$i/24 dev c; done
		mac() { ip -n NAME-$1 -br link show dev $2 | awk '{print $3}'; }
		ip -n NAME-p addr add 10.78.4.2/32 dev eth0
		ip -n NAME-p link set eth0 address $(mac s c)
		ip -n NAME-c link set eth0 address $(mac s p)
		ip -n NAME-c route add default via 10.78.1.1
		ip -n NAME-p route add default via 10.78.2.1
		ip -n NAME-p route add local 10.80.0.0/16 dev lo
		ip -n NAME-s route add 10.80.0.0/16 via 10.78.2.2`
	if out, err := exec.Command("sh", "-ec", strings.ReplaceAll(commands, "NAME", l.name)).CombinedOutput(); err != nil {
		l.close()
		return l, fmt.Errorf("make network namespaces (it needs root): %w: %s", err, out)
	}
	return l, nil
}

// through runs f while packets between the clients and labThrough are handed from one of
// the server's interfaces to the other as they are (which is why each neighbour has the
// link address of the interface on the server's other side): both hops of a relayed packet,
// and nothing that relays. Nothing of it is there while a server has its turn.
func (l netlab) through(ctx context.Context, f func() error) (err error) {
	const begin = `
		for d in c p; do tc -n NAME-s qdisc add dev $d clsact; done
		tc -n NAME-s filter add dev c ingress protocol ip u32 match ip dst 10.78.4.2/32 action mirred egress redirect dev p
		tc -n NAME-s filter add dev p ingress protocol ip u32 match ip src 10.78.4.2/32 action mirred egress redirect dev c`
	const end = `for d in c p; do tc -n NAME-s qdisc del dev $d clsact; done`
	run := func(commands string) error {
		out, err := exec.CommandContext(ctx, "sh", "-ec", strings.ReplaceAll(commands, "NAME", l.name)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("hand packets through the server's namespace: %w: %s", err, out)
		}
		return nil
	}
	if err := run(begin); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run(end)) }()
	return f()
}

// close removes them. The processes in them have ended.
func (l netlab) close() {
	for _, n := range []string{l.server(), l.clients(), l.peers()} {
		_ = exec.Command("ip", "netns", "del", n).Run() // one that could not be made is not there
	}
}

// inside starts a rival in the server's namespace.
func (l netlab) inside(r rival, address string) *rival {
	command := r.command
	r.address, r.namespace = netip.MustParseAddr(address), l.server()
	r.command = func(r *rival, e *environment, cpus []int) []string {
		return append([]string{"ip", "netns", "exec", l.server()}, command(r, e, cpus)...)
	}
	return &r
}

// within is for what asks a rival.
func (r *rival) within(f func() error) error { return load.Within(r.namespace, f) }
