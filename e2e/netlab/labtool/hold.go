package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// hold has a program's listening sockets, as a socket unit of systemd has (sd_listen_fds(3)): the program may die, and whoever
// connects meanwhile waits for the next one and is not refused. SIGUSR1 kills the program and starts it anew.
//
//	labtool hold :443,:3478 COMMAND…
func hold(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: labtool hold ADDRESS,… COMMAND…")
	}
	var sockets []*os.File
	for _, address := range strings.Split(args[0], ",") {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		sockets = append(sockets, f)
		ln.Close() // f goes on listening
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM)
	runtime.LockOSThread() // the program dies with the thread that started it
	for {
		// The variable must name the very process.
		program := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, args[1:]...)...)
		program.Env = append(os.Environ(), "LISTEN_FDS="+strconv.Itoa(len(sockets)))
		program.ExtraFiles, program.Stdout, program.Stderr = sockets, os.Stdout, os.Stderr
		program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := program.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- program.Wait() }()
		again := false
		for running := true; running; {
			select {
			case s := <-signals:
				if again = s == syscall.SIGUSR1; again {
					s = syscall.SIGKILL
				}
				_ = program.Process.Signal(s)
			case err := <-ended:
				if !again {
					return err
				}
				running = false
			}
		}
	}
}
