package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// An upgrade replaces the running binary by the one on disk, on SIGUSR2, without
// losing a call:
//
//  1. The old process starts the new one with its sockets and a control pipe.
//  2. The new one reads the configuration and says "loaded". Until then any
//     failure leaves the old one as it was.
//  3. The old one yields: it keeps its clients' allocations and connections, and
//     leaves the listeners alone. It says "go".
//  4. The new one serves, proves its relay and says "ready".
//  5. The old one tells the clients of its hub to come back, which brings them to
//     the new one, where they restart ICE while the old path still carries them. It
//     ends when its last allocation has ended, or after upgrade_timeout.

const (
	loadPatience  = 20 * time.Second
	readyPatience = time.Minute // the first round of probes, on a machine that is busy
)

// executable is the path of this program as it was at the start: when the file
// has been replaced, the system only knows the old one's name.
var executable, executableErr = os.Executable()

// upgrade starts the successor and hands over. On an error with yielded false
// everything is as before.
func (n *node) upgrade(args, environ []string) (yielded bool, err error) {
	if executableErr != nil {
		return false, fmt.Errorf("find the program on disk: %w", executableErr)
	}
	near, far, err := socketPair()
	if err != nil {
		return false, err
	}
	defer near.Close()
	files, kinds := []*os.File{far}, []string{"control"}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	listeners := slices.Clone(n.sockets.tcp)
	if n.sockets.admin != nil {
		listeners = append(listeners, n.sockets.admin)
	}
	for _, ln := range listeners {
		tcp, ok := ln.(*net.TCPListener)
		if !ok {
			return false, fmt.Errorf("%s cannot be handed over", ln.Addr())
		}
		f, err := duplicate(tcp)
		if err != nil {
			return false, fmt.Errorf("duplicate %s: %w", ln.Addr(), err)
		}
		files, kinds = append(files, f), append(kinds, "tcp")
	}
	udp, err := n.turn.ListenerFiles()
	for _, f := range udp {
		files, kinds = append(files, f), append(kinds, "udp")
	}
	if err != nil {
		return false, err
	}

	successor := exec.Command(executable, args...)
	successor.Stdin, successor.Stdout, successor.Stderr = os.Stdin, os.Stdout, os.Stderr
	successor.ExtraFiles = files
	successor.Env = append(slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		// These are addressed to this very process.
		return strings.HasPrefix(entry, "WATCHDOG_PID=") || strings.HasPrefix(entry, "LISTEN_") || strings.HasPrefix(entry, takeoverVariable)
	}), takeoverVariable+"="+strings.Join(kinds, ","))
	if err := successor.Start(); err != nil {
		return false, fmt.Errorf("start %s: %w", executable, err)
	}
	go successor.Wait() // it is told to systemd, or outlives us; its end shows on the control pipe
	far.Close()
	heard := bufio.NewReader(near)
	if err := expect(near, heard, "loaded", loadPatience); err != nil {
		successor.Process.Kill()
		return false, fmt.Errorf("the new binary did not start: %w", err)
	}
	if lost := n.turn.Yield(); lost > 0 {
		n.log.Warn("some clients could not be kept; they restart ICE", "clients", lost)
	}
	n.draining.Store(true)
	n.mux.StopAccepting()
	n.retire()
	if _, err := io.WriteString(near, "go\n"); err != nil {
		return true, fmt.Errorf("the new binary has ended: %w", err)
	}
	if err := expect(near, heard, "ready", readyPatience); err != nil {
		return true, fmt.Errorf("the new binary does not serve: %w", err)
	}
	supervisor{n}.notify(fmt.Sprintf("MAINPID=%d", successor.Process.Pid))
	n.log.Info("a new process has taken over", "pid", successor.Process.Pid, "allocations_kept", len(n.turn.Allocations()))
	return true, nil
}

// duplicate returns another descriptor of a listener. Unlike that of its File, it
// stays non-blocking when it is inherited, and with it the listener itself: they
// share the flag, and an Accept that blocks could not be ended any more.
func duplicate(ln *net.TCPListener) (*os.File, error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd uintptr
	var errno syscall.Errno
	if err := raw.Control(func(old uintptr) { fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, os.NewSyscallError("fcntl", errno)
	}
	return os.NewFile(fd, "tcp:"+ln.Addr().String()), nil
}

// linger carries the remaining calls.
func (n *node) linger(ctx context.Context, signals <-chan os.Signal) {
	n.hub.Restart(time.Second)
	n.await(ctx, signals, n.live.UpgradeTimeout)
}

// socketPair returns a connection and its other end as a file for a child.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a control pipe: %w", err)
	}
	mine := os.NewFile(uintptr(fds[0]), "control")
	defer mine.Close()
	conn, err := net.FileConn(mine)
	if err != nil {
		syscall.Close(fds[1])
		return nil, nil, fmt.Errorf("make a control pipe: %w", err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "control"), nil
}

// expect waits for a word of the other process.
func expect(conn net.Conn, heard *bufio.Reader, word string, patience time.Duration) error {
	conn.SetReadDeadline(time.Now().Add(patience))
	line, err := heard.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it has ended; its last log lines say why")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it did not say %q within %v", word, patience)
	case err != nil:
		return err
	case strings.TrimSpace(line) != word:
		return fmt.Errorf("it said %q instead of %q", strings.TrimSpace(line), word)
	}
	return nil
}

// succession is the new process's side of an upgrade; without predecessor it does
// nothing.
type succession struct {
	conn  net.Conn
	heard *bufio.Reader
}

func (in *inherited) succession() (succession, error) {
	if in.control == nil {
		return succession{}, nil
	}
	defer in.control.Close()
	conn, err := net.FileConn(in.control)
	if err != nil {
		return succession{}, fmt.Errorf("take over from the running server: %w", err)
	}
	return succession{conn, bufio.NewReader(conn)}, nil
}

// loaded tells the predecessor to yield and returns when it has.
func (s succession) loaded() error {
	if s.conn == nil {
		return nil
	}
	if _, err := io.WriteString(s.conn, "loaded\n"); err != nil {
		return fmt.Errorf("take over from the running server: %w", err)
	}
	if err := expect(s.conn, s.heard, "go", readyPatience); err != nil {
		return fmt.Errorf("take over from the running server: %w", err)
	}
	return nil
}

// ready tells the predecessor that the clients may come.
func (s succession) ready() {
	if s.conn != nil {
		io.WriteString(s.conn, "ready\n")
		s.conn.Close()
	}
}

// hangupSignals are what serve listens to.
func hangupSignals() (chan os.Signal, func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	return signals, func() { signal.Stop(signals) }
}
