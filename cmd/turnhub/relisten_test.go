package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUpgradeToOtherAddresses changes the addresses in the configuration between the
// start and an upgrade. Either the successor serves all that is asked for, or it does
// not begin, and the predecessor goes on with what it serves.
func TestUpgradeToOtherAddresses(t *testing.T) {
	const four, six = "127.0.0.1", "::1"
	ports := make(map[int]bool)
	for _, row := range []struct {
		before, after string // P stands for the port
		served        []string
		refused       bool // the predecessor holds what cannot be had beside it
	}{
		{`"0.0.0.0:P"`, `":P"`, []string{four, six}, false},
		{`"0.0.0.0:P", "[::]:P"`, `":P"`, []string{four, six}, false},
		{`"127.0.0.1:P", "[::]:P"`, `":P"`, []string{four, six}, true},
		{`"[::]:P"`, `"0.0.0.0:P", "[::]:P"`, []string{four, six}, true},
	} {
		port := freePort(t)
		for ports[port] {
			port = freePort(t)
		}
		ports[port] = true
		t.Run(row.before+" to "+row.after, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program, file := filepath.Join(dir, "turnhub"), filepath.Join(dir, "config.yaml")
			install(t, program)
			configure := func(list string) {
				t.Helper()
				list = strings.ReplaceAll(list, "P", fmt.Sprint(port))
				if err := os.WriteFile(file, fmt.Appendf(nil, "listen: {tcp: [%s], udp: [%[1]s], admin: \"\"}\nrelay: {external_ip: 127.0.0.1}\ncredentials: {secrets: [a-good-secret]}\n", list), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			configure(row.before)
			var log output
			server := exec.Command(program, "serve", "--config", file)
			server.Env = append(os.Environ(), asProgram+"=1", "STATE_DIRECTORY="+dir)
			server.Stdout, server.Stderr = &log, &log
			server.WaitDelay = time.Second
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { server.Wait(); close(ended) }()
			t.Cleanup(func() { server.Process.Kill(); <-ended; killHeirs(&log) })
			until(t, "the start", &log, func() bool { return answers("udp", net.JoinHostPort(four, fmt.Sprint(port))) })

			configure(row.after)
			server.Process.Signal(syscall.SIGUSR2)
			if row.refused {
				until(t, "the refusal", &log, func() bool {
					return strings.Contains(log.String(), "the upgrade failed") && strings.Contains(log.String(), "cannot listen on tcp")
				})
			} else {
				<-ended
				if !strings.Contains(log.String(), "a new process has taken over") {
					t.Fatalf("nobody has taken over\n%s", log.String())
				}
			}
			for _, host := range row.served {
				for _, network := range []string{"tcp", "udp"} {
					if !answers(network, net.JoinHostPort(host, fmt.Sprint(port))) {
						t.Errorf("%s to %s is not answered\n%s", network, host, log.String())
					}
				}
			}
		})
	}
}

// TestUpgradeSaysWhy has a new binary whose link ends before it says why it does not start: it
// is left the time for that, and what the old one says of it comes after.
func TestUpgradeSaysWhy(t *testing.T) {
	dir := t.TempDir()
	program, file, port := filepath.Join(dir, "turnhub"), filepath.Join(dir, "config.yaml"), freePort(t)
	install(t, program)
	if err := os.WriteFile(file, fmt.Appendf(nil, "listen: {tcp: ['127.0.0.1:%d'], udp: ['127.0.0.1:%[1]d'], admin: \"\"}\nrelay: {external_ip: 127.0.0.1}\ncredentials: {secrets: [a-good-secret]}\n", port), 0o600); err != nil {
		t.Fatal(err)
	}
	var log output
	server := exec.Command(program, "serve", "--config", file)
	server.Env = append(os.Environ(), asProgram+"=1", "STATE_DIRECTORY="+dir)
	server.Stdout, server.Stderr = &log, &log
	server.WaitDelay = time.Second
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait(); killHeirs(&log) })
	until(t, "the start", &log, func() bool { return strings.Contains(log.String(), "msg=ready") })
	putProgram(t, program, []byte("#!/bin/sh\nexec 3>&-; sleep 0.2; echo this is why; exit 1\n"))
	server.Process.Signal(syscall.SIGUSR2)
	until(t, "the refusal", &log, func() bool { return strings.Contains(log.String(), "the upgrade failed") })
	if before, _, _ := strings.Cut(log.String(), "the upgrade failed"); !strings.Contains(before, "this is why") {
		t.Errorf("it does not say why before\n%s", log.String())
	}
}
