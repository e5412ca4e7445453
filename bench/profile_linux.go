package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// profile runs turnhub saturated and says where its processor time goes: by
// perf's samples, and by the system calls for each packet.
func (b *bench) profile(ctx context.Context) (string, error) {
	p, err := rivalNamed("turnhub").start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return "", err
	}
	defer p.stop()
	var text strings.Builder
	for _, tool := range []struct {
		name string
		run  func(context.Context, *process) (string, error)
	}{{"perf", b.perf}, {"strace", b.strace}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			fmt.Fprintf(&text, "%s is not installed.\n\n", tool.name)
			continue
		}
		server := p.server("udp")
		load := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "turnload"), "media",
			"-server", "udp://"+server.Address.String(), "-secret", secret, "-pid", strconv.Itoa(p.pid()),
			"-cpu", strconv.Itoa(b.env.cpu.load), "-duration", "5s")
		load.Stderr = os.Stderr
		if err := load.Start(); err != nil {
			return "", fmt.Errorf("start turnload: %w", err)
		}
		time.Sleep(1500 * time.Millisecond) // into the measured time
		part, err := tool.run(ctx, p)
		if waited := load.Wait(); err == nil {
			err = waited
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", tool.name, err)
		}
		text.WriteString(part)
	}
	return text.String(), nil
}

func (b *bench) perf(ctx context.Context, p *process) (string, error) {
	data := b.env.path("perf.data")
	record := exec.CommandContext(ctx, "perf", "record", "-q", "-F", "999", "-o", data, "-p", strconv.Itoa(p.pid()), "--", "sleep", "3")
	if text, err := record.CombinedOutput(); err != nil {
		return "", fmt.Errorf("record: %w\n%s", err, text)
	}
	var out strings.Builder
	for _, by := range []struct {
		key   string
		lines int
	}{{"dso", 3}, {"symbol", 24}} {
		text, err := exec.CommandContext(ctx, "perf", "report", "-i", data, "--stdio", "--no-children", "--sort", by.key).Output()
		if err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		fmt.Fprintf(&out, "```\n%s```\n\n", firstLines(text, by.lines))
	}
	return out.String(), nil
}

// strace counts system calls for a second; it slows the server, so only the
// calls for each packet are worth reading.
func (b *bench) strace(ctx context.Context, p *process) (string, error) {
	file := b.env.path("strace")
	cmd := exec.CommandContext(ctx, "strace", "-c", "-f", "-U", "calls,name", "-o", file, "-p", strconv.Itoa(p.pid()))
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	time.Sleep(2 * time.Second)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read its counts: %w", err)
	}
	return "System calls in two seconds under strace:\n\n```\n" + firstLines(text, 9) + "```\n\n", nil
}

// firstLines returns the first lines that are neither empty nor comments.
func firstLines(text []byte, n int) string {
	var out strings.Builder
	for s := bufio.NewScanner(bytes.NewReader(text)); n > 0 && s.Scan(); {
		line := strings.TrimRight(s.Text(), " \t-")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		out.WriteString(line + "\n")
		n--
	}
	return out.String()
}
