package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns the processor time that process pid has used since its
// start, over all its threads, living and ended, user and system. It reads
// the process's CPU clock (nanoseconds), which the ticks of /proc/<pid>/stat
// are scaled from.
func CPUTime(pid int) (time.Duration, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of linux/posix-timers_types.h.
	clock := int32(^pid<<3 | 2)
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// ThreadCPUTimes returns the processor time of each living thread of process
// pid, by thread id, from /proc/<pid>/task/<tid>/schedstat.
func ThreadCPUTimes(pid int) (map[int]time.Duration, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the threads of process %d: %w", pid, err)
	}
	times := make(map[int]time.Duration, len(entries))
	for _, entry := range entries {
		tid, _ := strconv.Atoi(entry.Name())
		text, err := os.ReadFile(dir + "/" + entry.Name() + "/schedstat")
		if err != nil {
			continue // the thread has just ended
		}
		ran, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("schedstat of thread %d: %w", tid, err)
		}
		times[tid] = time.Duration(ns)
	}
	return times, nil
}

// RSS returns the resident memory of process pid in bytes.
func RSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// Pin binds the calling thread to the given processors.
func Pin(cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to processors %v: %w", cpus, err)
	}
	return nil
}
