package main

import (
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

	"turnhub/internal/kin"
	"turnhub/internal/stream"
)

// An upgrade replaces the running binary by the one on disk, on SIGUSR2, without
// losing a call:
//
//  1. The old process starts the new one with its sockets and a control pipe.
//  2. The new one reads the configuration and says "loaded" with the version of the
//     link (package kin) that both know, which the pipe is from then on. Until then
//     any failure leaves the old one as it was.
//  3. The old one yields: it ends what only one may do, keeps its clients'
//     allocations and connections, and leaves the listeners alone. It says "go".
//  4. The new one reads the revoked users again, serves, proves its relay and says
//     "ready".
//  5. The old one tells the clients of its hub to come back, which brings them to
//     the new one, where they restart ICE while the old path still carries them. It
//     ends when its last allocation has ended, or after upgrade_timeout.
//
// Whichever dies, at whatever moment: the other serves. The new one takes "go" for
// said when the old one is gone, and the old one, which has kept a file of each
// listener, takes them back when the new one ends and has not been told to.
//
// Versions before the link say "loaded" alone; then the words "go" and "ready" are
// lines too, and the pipe is closed.
const (
	loadPatience   = 20 * time.Second
	readyPatience  = time.Minute // the first round of probes, on a machine that is busy
	goPatience     = 10 * time.Second
	endPatience    = 10 * time.Second // for the last words of a process whose link has ended
	retirePatience = 3 * time.Second  // for what an operator is doing right now
)

// executable is the path of this program as it was at the start: when the file
// has been replaced, the system only knows the old one's name.
var executable, executableErr = os.Executable()

// spare is a file of a listener that a successor serves.
type spare struct {
	kind string // as in takeoverVariable
	file *os.File
}

// upgrade starts the successor and hands over. On an error with yielded false
// everything is as before; with yielded true the caller resumes.
func (n *node) upgrade(args, environ []string) (yielded bool, err error) {
	if executableErr != nil {
		return false, fmt.Errorf("find the program on disk: %w", executableErr)
	}
	if others := n.family.all(); len(others)+2 > maxFamily {
		return false, fmt.Errorf("%d processes of earlier upgrades still carry calls, the oldest is %d: wait until one has ended (upgrade_timeout), or end it and its calls with kill", len(others), others[0].pid)
	}
	near, far, err := kin.Pair()
	if err != nil {
		return false, err
	}
	defer far.Close()
	conn, err := kin.Conn(near)
	if err != nil {
		return false, err
	}
	spares, err := n.duplicates()
	defer func() {
		if !yielded {
			closeAll(spares)
		}
	}()
	if err != nil {
		conn.Close()
		return false, err
	}
	successor, err := n.start(far, spares, args, environ)
	if err != nil {
		conn.Close()
		return false, err
	}
	far.Close()
	pid := successor.Process.Pid
	ended := make(chan struct{})
	go func() {
		_ = successor.Wait() // its end shows on the link, too
		close(ended)
	}()
	word, err := hear(conn, loadPatience)
	version, known := loadedVersion(word)
	if err == nil && !known {
		err = fmt.Errorf("it said %q instead of loaded", word)
	}
	if err != nil {
		conn.Close()
		bury(successor.Process, ended, err)
		return false, fmt.Errorf("the new binary did not start: %w", err)
	}

	var open func(kin.Handler) *kin.Link
	if version > 0 {
		open = func(h kin.Handler) *kin.Link { return kin.New(conn, h) }
	}
	elders := n.family.all()
	young := n.family.add(pid, n.family.generation+1, open, ended)
	n.introduce(young, elders)
	n.office.retire(retirePatience)
	// Before "go", so that systemd takes no death of ours from here on for that of
	// the service. What it has been told is read before it hears of a death.
	supervisor{n}.notify(fmt.Sprintf("MAINPID=%d", pid))
	n.spares = spares
	if lost := n.turn.Yield(); lost > 0 {
		n.log.Warn("some clients could not be kept; they restart ICE", "clients", lost)
	}
	n.draining.Store(true)
	n.mux.StopAccepting()

	if young.link != nil {
		err = n.accompany(young, ended)
	} else if _, err = io.WriteString(conn, "go\n"); err == nil {
		word, err = hear(conn, readyPatience)
		if err == nil && word != "ready" {
			err = fmt.Errorf("it said %q instead of ready", word)
		}
		conn.Close()
		n.log.Warn("the new binary is of a version that cannot tell this one anything: revocations, reloads and ended calls do not reach the calls that this process still carries", "pid", os.Getpid())
	}
	if err != nil {
		bury(successor.Process, ended, err)
		return true, fmt.Errorf("the new binary does not serve: %w", err)
	}
	n.log.Info("a new process has taken over", "pid", pid, "allocations_kept", len(n.turn.Allocations()))
	return true, nil
}

// bury ends a successor that failed. One whose link has ended is ending by itself, and is
// to say why before.
func bury(successor *os.Process, ended <-chan struct{}, why error) {
	if errors.Is(why, kin.ErrEnded) {
		late := time.NewTimer(endPatience)
		defer late.Stop()
		select {
		case <-ended:
			return
		case <-late.C:
		}
	}
	_ = successor.Kill()
	<-ended
}

// duplicates are files of all listeners.
func (n *node) duplicates() (spares []spare, err error) {
	for _, ln := range n.listening {
		tcp, ok := ln.(*net.TCPListener)
		if !ok {
			return spares, fmt.Errorf("%s cannot be handed over", ln.Addr())
		}
		f, err := duplicate(tcp)
		if err != nil {
			return spares, fmt.Errorf("duplicate %s: %w", ln.Addr(), err)
		}
		spares = append(spares, spare{"tcp", f})
	}
	udp, err := n.turn.ListenerFiles()
	for _, f := range udp {
		spares = append(spares, spare{"udp", f})
	}
	return spares, err
}

func closeAll(spares []spare) {
	for _, s := range spares {
		s.file.Close()
	}
}

// start starts the program on disk with the listeners.
func (n *node) start(control *os.File, spares []spare, args, environ []string) (*exec.Cmd, error) {
	files, kinds := []*os.File{control}, []string{"control"}
	for _, s := range spares {
		files, kinds = append(files, s.file), append(kinds, s.kind)
	}
	kernel, err := n.turn.BequeathKernel()
	if err != nil {
		n.log.Warn("the new process loads a program for the kernel of its own", "error", err)
	}
	defer kernel.Close()
	inKernel := kernelVariable + "=" // nothing
	if kernel != nil {
		inKernel = kernelEntry(3+len(files), kernel)
		files = append(files, kernel.Files...)
	}
	successor := exec.Command(executable, args...)
	successor.Stdin, successor.Stdout, successor.Stderr = os.Stdin, os.Stdout, os.Stderr
	successor.ExtraFiles = files
	successor.Env = append(slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		// These are addressed to this very process.
		return strings.HasPrefix(entry, "WATCHDOG_PID=") || strings.HasPrefix(entry, "LISTEN_") ||
			strings.HasPrefix(entry, takeoverVariable+"=") || strings.HasPrefix(entry, kernelVariable+"=") || strings.HasPrefix(entry, kinVariable+"=")
	}), takeoverVariable+"="+strings.Join(kinds, ","), inKernel, kinEntry(n.family.generation))
	// When the one in the middle of three dies, the youngest becomes a child of the
	// oldest, not of systemd, which would take the end of its own child for that of
	// the service, and end the others with it.
	adoptGrandchildren()
	if err := successor.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", executable, err)
	}
	return successor, nil
}

// introduce gives the successor a link to each of the older processes.
func (n *node) introduce(young *relative, elders []*relative) {
	if young.link == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), retirePatience)
	defer cancel()
	for _, elder := range elders {
		if elder.link == nil {
			continue
		}
		a, b, err := kin.Pair()
		if err == nil {
			err = young.link.Ask(ctx, askAdopt, introduction{elder.pid, elder.generation}, a, nil)
			if err == nil {
				err = elder.link.Ask(ctx, askAdopt, introduction{young.pid, young.generation}, b, nil)
			}
			a.Close()
			b.Close()
		}
		if err != nil {
			n.log.Warn("the new process cannot tell an older one anything: what the operator does does not reach the calls that it still carries; end it with kill", "pid", elder.pid, "error", err)
		}
	}
}

// accompany tells the successor to serve, and returns when it does.
func (n *node) accompany(young *relative, ended <-chan struct{}) error {
	select {
	case <-n.family.ready: // of a successor before this one
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), goPatience)
	defer cancel()
	if err := young.link.Ask(ctx, askGo, handover{n.family.counted(), n.access.Unkept(), n.turn.Volumes(false), n.reached(), n.turn.Ports(), n.turn.Left()}, nil, nil); err != nil {
		return err
	}
	late := time.NewTimer(readyPatience)
	defer late.Stop()
	select {
	case ready := <-n.family.ready:
		n.spares = slices.DeleteFunc(n.spares, func(s spare) bool {
			unused := slices.Contains(ready.Unused, s.name())
			if unused {
				s.file.Close()
			}
			return unused
		})
		return nil
	case <-ended:
		return fmt.Errorf("%w; its last log lines say why", kin.ErrEnded)
	case <-young.link.Done():
		return fmt.Errorf("%w; its last log lines say why", kin.ErrEnded)
	case <-late.C:
		return fmt.Errorf("it did not prove its relay within %v", readyPatience)
	}
}

// name is how the two processes call a listener.
func (s spare) name() string { return boundName(s.kind, s.file) }

// duplicate returns another descriptor of a listener. Unlike that of its File, it
// stays non-blocking when it is inherited, and with it the listener itself: they
// share the flag, and an Accept that blocks could not be ended any more.
func duplicate(ln *net.TCPListener) (*os.File, error) {
	fd, err := stream.Duplicate(ln)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tcp:"+ln.Addr().String()), nil
}

// linger carries the remaining calls. It reports whether the process's time is over;
// else it serves again, because no younger one does.
func (n *node) linger(ctx context.Context, signals <-chan os.Signal) (over bool) {
	defer func() {
		if over {
			n.family.farewell()
			closeAll(n.spares)
		}
	}()
	n.sendAway(time.Second)
	timeout := n.settings().UpgradeTimeout
	n.log.Info("waiting for calls to end", "allocations", len(n.turn.Allocations()), "at_most", timeout)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		left := n.carried()
		stop := n.family.stopped()
		switch {
		case stop != nil && stop.Now:
			return true
		case stop != nil:
			n.await(ctx, signals, n.settings().DrainTimeout)
			return true
		case !n.family.succeeded():
			n.resume()
			return false
		case left == 0:
			return true
		}
		select {
		case <-ctx.Done():
			return true
		case s := <-signals:
			switch s {
			case syscall.SIGUSR2:
				n.log.Warn("this process has been replaced: signal the new one", "pid", n.family.youngest())
			case syscall.SIGHUP:
				_ = n.reload(n.environ) // it has logged what is wrong
			case syscall.SIGTERM:
				n.await(ctx, signals, n.settings().DrainTimeout)
				return true
			default:
				return true
			}
		case <-deadline.C:
			n.log.Warn("allocations, media sockets, or connections that are passed on, are still in use and end now", "left", left)
			return true
		case <-n.family.wake:
		case <-tick.C:
		}
	}
}

// resume serves again: the successor has ended.
func (n *node) resume() {
	n.log.Error("the new process has ended; this one serves again, with the binary and the configuration that it has", "pid", os.Getpid())
	if err := n.access.LoadRevoked(); err != nil {
		n.log.Error("the revoked users of the process that has ended cannot be read", "error", err)
	}
	if n.certs != nil {
		if err := n.certs.Reload(); err != nil {
			n.log.Error("the certificate cannot be read again; the old one stays", "error", err)
		}
	}
	var udp []*os.File
	n.listening = nil
	for _, s := range n.spares {
		if s.kind == "udp" {
			udp = append(udp, s.file)
			continue
		}
		ln, err := net.FileListener(s.file)
		s.file.Close()
		if err != nil {
			n.log.Error("a listener cannot be taken back; restart the server", "error", err)
			continue
		}
		n.listening = append(n.listening, ln)
	}
	n.spares = nil
	if err := n.turn.Resume(udp); err != nil {
		n.log.Error("a UDP listener cannot be taken back; restart the server", "error", err)
	}
	public := slices.Clone(n.listening)
	var adminListener net.Listener
	if n.sockets.admin != nil {
		at := slices.IndexFunc(public, func(ln net.Listener) bool { return ln.Addr().String() == n.sockets.admin.Addr().String() })
		if at >= 0 {
			adminListener = public[at]
			public = slices.Delete(public, at, at+1)
		}
	}
	n.draining.Store(false)
	n.hub.Reopen()
	n.media.Reopen()
	n.mux.ResumeAccepting(public...)
	supervisor{n}.notify(fmt.Sprintf("MAINPID=%d\nREADY=1\nSTATUS=%s", os.Getpid(), n.status()))
	n.office.take(adminListener)
}

// hear waits for a line of the other process. It reads no further: what follows may
// be the link's.
func hear(conn net.Conn, patience time.Duration) (string, error) {
	const longest = 200
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var line []byte
	var b [1]byte
	for len(line) < longest {
		_, err := conn.Read(b[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", fmt.Errorf("it said nothing within %v", patience)
		case err != nil:
			return "", fmt.Errorf("%w; its last log lines say why", kin.ErrEnded)
		case b[0] == '\n':
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", errors.New("it said something endless")
}

// loadedVersion is the version of the link in the word "loaded", 0 for a binary that
// has none.
func loadedVersion(word string) (version int, ok bool) {
	if word == "loaded" {
		return 0, true
	}
	n, err := fmt.Sscanf(word, "loaded %d", &version)
	return version, err == nil && n == 1 && version > 0
}

// hangupSignals are what serve listens to.
func hangupSignals() (chan os.Signal, func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	return signals, func() { signal.Stop(signals) }
}
