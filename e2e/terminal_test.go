package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestTerminal starts the server as a person does, on a terminal: the last line
// says what to open, and a phone gets a code. With its output in a file there is
// nothing but log lines.
func TestTerminal(t *testing.T) {
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("script (Debian's bsdutils) is not here")
	}
	environ := func() []string {
		return append(os.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8", "TURNHUB_TLS_MODE=self-signed", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_PUBLIC_HOST=phone.localhost",
			"TURNHUB_LISTEN_ADMIN=", fmt.Sprintf("TURNHUB_LISTEN_TCP=127.0.0.1:%d", freePort(t)), "TURNHUB_LISTEN_UDP=127.0.0.1:0", "TURNHUB_STATE_DIR="+t.TempDir())
	}
	// until reads until a line has text, ends the process, and returns what came.
	read := func(command *exec.Cmd, out io.Reader, text string) (lines []string) {
		t.Helper()
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		scan := bufio.NewScanner(out)
		found := false
		for !found && scan.Scan() {
			lines = append(lines, strings.TrimSuffix(scan.Text(), "\r"))
			found = strings.Contains(scan.Text(), text)
		}
		command.Process.Signal(syscall.SIGTERM)
		for scan.Scan() {
		}
		command.Wait()
		if !found {
			t.Fatalf("it did not say %q:\n%s", text, strings.Join(lines, "\n"))
		}
		return lines
	}

	// script runs it in a session of its own, which ends with the terminal.
	command := exec.Command("script", "-qefc", "exec "+binary+" serve", "/dev/null")
	command.Env = environ()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := read(command, out, "Open this: ")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "Open this: https://phone.localhost:") {
		t.Errorf("the last line is %q", last)
	}
	if all := strings.Join(lines, "\n"); !strings.Contains(all, "\x1b[30;107m") || !strings.Contains(all, "█") {
		t.Errorf("there is no QR code:\n%s", all)
	}

	command = exec.Command(binary, "serve")
	command.Env = environ()
	if out, err = command.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	for _, line := range read(command, out, "msg=ready") {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("in a log stands %q", line)
		}
	}
}
