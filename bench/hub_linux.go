package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hubRow is one load of the signaling hub.
type hubRow struct {
	name, title string
	args        []string
	rounds      int // 0: as many as asked for
	alone       bool
}

// hubRows are the loads that turnhub and PeerServer are put under. PeerServer
// has no rooms, so some are turnhub's alone.
func hubRows() []hubRow {
	return []hubRow{
		{name: "hub-relay", title: "messages between 100 pairs, 300 B, 200 in flight", args: []string{"relay", "-clients", "200", "-duration", "3s"}, rounds: 3},
		{name: "hub-relay-2k", title: "the same, 2.5 KB", args: []string{"relay", "-clients", "200", "-size", "2500", "-duration", "3s"}, rounds: 3},
		{name: "hub-idle", title: "10,000 idle connections", args: []string{"idle", "-clients", "10000", "-duration", "8s"}, rounds: 1},
		{
			name: "hub-join", title: "10,000 connected in 1,000 rooms, 100 newcomers a second",
			args: []string{"join", "-clients", "10000", "-rooms", "1000", "-rate", "100"}, rounds: 3,
		},
		{
			name: "hub-max", title: "as many connections as a process may have descriptors here",
			args: []string{"idle", "-clients", strconv.Itoa(descriptors() - 500), "-duration", "8s"}, rounds: 1, alone: true,
		},
		{
			name: "hub-stall", title: "a room of 100 that hears 100 messages of 1 KB a second, without and with a member that does not read",
			args: []string{"stall", "-rate", "100", "-size", "1000"}, rounds: 3, alone: true,
		},
	}
}

// descriptors is how many files a process may have open, but at most what 50,000
// connections need.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(min(limit.Max, 50500))
}

// peerServer is the npm package peer, the reference server of PeerJS.
var peerServer = &rival{
	name: "peer", address: mustAddr("127.12.0.5"), streamPort: 9000,
	command: func(r *rival, e *environment, _ []int) []string {
		return []string{"node", "--expose-gc", filepath.Join("bench", "hub", "peer", "server.js"), r.address.String(), "9000"}
	},
	version: func(*environment) string {
		text, _ := os.ReadFile(filepath.Join("bench", "hub", "peer", "node_modules", "peer", "package.json"))
		var p struct{ Version string }
		_ = json.Unmarshal(text, &p)
		return "peer " + p.Version + " on node " + output("node", "--version")
	},
}

// preparePeer installs the npm package by its lock file.
func preparePeer(ctx context.Context) error {
	dir := filepath.Join("bench", "hub", "peer")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "peer")); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install peer: %w\n%s", err, text)
	}
	return nil
}

// runHub runs one row.
func (b *bench) runHub(ctx context.Context, r hubRow) error {
	by := make(map[string]*figure)
	b.figures[r.name] = by
	servers := []*rival{rivalNamed("turnhub")}
	if !r.alone {
		servers = append(servers, peerServer)
	}
	rounds := b.rounds
	if r.rounds > 0 {
		rounds = r.rounds
	}
	for round := range rounds {
		for i := range servers {
			v := servers[(i+round)%len(servers)]
			if by[v.name] == nil {
				by[v.name] = new(figure)
			}
			if err := b.onceHub(ctx, r, v, by[v.name]); err != nil {
				return fmt.Errorf("%s under %s: %w", v.name, r.name, err)
			}
		}
	}
	return nil
}

// onceHub runs hubload against a fresh server.
func (b *bench) onceHub(ctx context.Context, r hubRow, v *rival, f *figure) error {
	p, err := v.start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return err
	}
	defer p.stop()
	dialect, collect, port := "turnhub", fmt.Sprintf("http://%s:9478/debug/pprof/heap?gc=1", v.address), plainPort
	if v == peerServer {
		dialect, collect, port = "peerjs", "usr2", int(v.streamPort)
	}
	args := []string{
		"-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "hubload"), r.args[0],
		"-server", fmt.Sprintf("%s:%d", v.address, port), "-dialect", dialect, "-pid", strconv.Itoa(p.pid()), "-collect", collect,
	}
	cmd := exec.CommandContext(ctx, "taskset", append(args, r.args[1:]...)...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("hubload %s: %w", strings.Join(r.args, " "), err)
	}
	if r.args[0] == "stall" {
		return appendJSON(&f.Stall, text)
	}
	return appendJSON(&f.Hub, text)
}
