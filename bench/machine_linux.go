package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// describe notes on what and with which versions the run is made.
func (b *bench) describe() {
	b.Machine = fmt.Sprintf("%s, %d cores, %s, %s", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		memory(), "Linux "+output("uname", "-r"))
	before := b.Versions
	b.Versions = make(map[string]string)
	for _, r := range []*rival{peerServer, centrifugo, natsServer} { // told anew where they take part
		if was, ok := before[r.name]; ok {
			b.Versions[r.name] = was
		}
	}
	for _, r := range rivals {
		version := r.version(b.env)
		if was, ok := before[r.name]; ok && strings.HasPrefix(version, notMeasured) {
			version = was // its figures of that time are kept
		}
		b.Versions[r.name] = version
	}
	b.Versions["haproxy"] = passVersion()
	b.Versions["go"] = runtime.Version()
}

// describePart notes when, how and of which build a part was measured.
func (b *bench) describePart(name string, begun time.Time, busy string) {
	if b.Parts == nil {
		b.Parts = make(map[string]part)
	}
	b.Parts[name] = b.measured(begun, busy)
}

// describeRow is describePart for one row of the relay.
func (b *bench) describeRow(name string, begun time.Time, busy string) {
	if b.Rows == nil {
		b.Rows = make(map[string]part)
	}
	b.Rows[name] = b.measured(begun, busy)
}

func (b *bench) measured(begun time.Time, busy string) part {
	return part{
		Begun: begun.UTC().Format("2006-01-02 15:04"), Ended: time.Now().UTC().Format("15:04 MST"),
		Turnhub: b.Versions["turnhub"], Rounds: b.rounds, Duration: b.duration,
		Busy: busy + " to " + loadAverage(), Machine: b.Machine,
	}
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return "unknown"
	}
	return words[0]
}

func memory() string {
	var kib int
	_, _ = fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d", &kib)
	return fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
}

// renice sets the nice value of this process and all it will start, and of the
// session's autogroup, which is what counts where the kernel groups by session
// (sched(7)).
func renice(nice int) error {
	if nice == 0 {
		return nil
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice); err != nil {
		return fmt.Errorf("set nice value %d: %w", nice, err)
	}
	if err := os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set the session's nice value %d: %w", nice, err)
	}
	return nil
}

// field reads "name : value" from a file of /proc.
func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
