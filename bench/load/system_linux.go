package load

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const userHZ = 100 // of /proc/stat, on every architecture that Linux has for us

// SystemBusy is the processor time that the whole machine has used since its start, over
// all processors, interrupts and softirqs with it: what is neither idle nor taken away by
// a hypervisor. Idle time is what the kernel measures; the busy columns beside it are
// samples of its clock's tick, with which a generator can be in step.
func SystemBusy(now time.Duration) (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	lines := strings.Split(string(text), "\n")
	words := strings.Fields(lines[0])
	const idle, iowait, steal = 4, 5, 8 // proc_stat(5)
	if len(words) <= steal || words[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", lines[0])
	}
	processors := 0 // all of them, and not only those on which this process may run
	for _, l := range lines[1:] {
		if strings.HasPrefix(l, "cpu") {
			processors++
		}
	}
	left := time.Duration(processors) * now
	for _, column := range [...]int{idle, iowait, steal} {
		ticks, err := strconv.ParseInt(words[column], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		left -= time.Duration(ticks) * time.Second / userHZ
	}
	return left, nil
}

// softirqThreads are the kernel's threads that do what is left over of softirqs (the
// network's receiving side): what is not left over is done by whoever runs, and is in his
// clock.
func softirqThreads() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), "ksoftirqd/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
