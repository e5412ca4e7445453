// Package natstest runs the real nats-server for tests: the one that is installed, or
// that TURNHUB_NATS_SERVER names.
package natstest

import (
	"bufio"
	"cmp"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Server is one NATS server on loopback.
type Server struct {
	t       testing.TB
	program string
	args    []string
	port    int
	cmd     *exec.Cmd
}

var listening = regexp.MustCompile(`Listening for client connections on \S+:(\d+)`)

// Start starts a server that ends with the test, with its key-value store where
// jetStream says so. The test is skipped where no nats-server is installed, which
// e2e/tools.sh does.
func Start(t testing.TB, jetStream bool, args ...string) *Server {
	t.Helper()
	program, err := exec.LookPath(cmp.Or(os.Getenv("TURNHUB_NATS_SERVER"), "nats-server"))
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nats-server"); err != nil {
			t.Skip("nats-server is not installed")
		}
	}
	s := &Server{t: t, program: program, args: append([]string{"--addr", "127.0.0.1"}, args...), port: -1}
	if jetStream {
		s.args = append(s.args, "--jetstream", "--store_dir", t.TempDir())
	}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts the server again, on the port that it had.
func (s *Server) Run() {
	s.t.Helper()
	s.cmd = exec.Command(s.program, append([]string{"--port", strconv.Itoa(s.port)}, s.args...)...)
	out, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			s.port, _ = strconv.Atoi(found[1])
		}
		if strings.Contains(lines.Text(), "Server is ready") {
			go func() {
				for lines.Scan() { // else it would wait for a reader
				}
			}()
			return
		}
	}
	s.t.Fatalf("nats-server did not start:\n%s", strings.Join(said, "\n"))
}

// URL is where clients connect.
func (s *Server) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(s.port) }

// Kill ends it at once. Calling it twice is harmless.
func (s *Server) Kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// PID is its process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Freeze stops it where it is, and Thaw lets it go on.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }
