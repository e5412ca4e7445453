package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// guard takes the lab down when standard input ends: labtool guard PREFIX. It kills every process in every
// namespace whose name begins with PREFIX, and deletes the namespaces. Before that, at its start, it sweeps away
// labs whose test process is gone. A prefix ends in the process id of its owner and a dash: turnlab-1234-.
func guard(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: labtool guard PREFIX")
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	sweepStale(args[0])
	untilInputEnds()
	return remove(args[0])
}

const namespaces = "/run/netns"

func sweepStale(prefix string) {
	family, _, _ := strings.Cut(prefix, "-")
	found, _ := filepath.Glob(filepath.Join(namespaces, family+"-*-*"))
	for _, path := range found {
		parts := strings.SplitN(filepath.Base(path), "-", 3)
		pid, err := strconv.Atoi(parts[1])
		if err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		_ = remove(parts[0] + "-" + parts[1] + "-")
	}
}

func remove(prefix string) error {
	found, err := filepath.Glob(filepath.Join(namespaces, prefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range found {
		name := filepath.Base(path)
		pids, _ := exec.Command("ip", "netns", "pids", name).Output()
		for _, field := range strings.Fields(string(pids)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		errs = append(errs, exec.Command("ip", "netns", "delete", name).Run(), os.RemoveAll(filepath.Join("/etc/netns", name)))
	}
	return errors.Join(errs...)
}
