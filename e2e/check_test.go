package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// runTurnhub runs a command of the binary and returns its output and exit status.
func runTurnhub(t *testing.T, environ []string, args ...string) (output string, status int) {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), environ...)
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// directory is where a server's process works and its config.yaml is.
func (s *server) directory(t *testing.T) string {
	t.Helper()
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", s.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantLines fails for each of wants that is no substring of the output's lines.
func wantLines(t *testing.T, output string, wants ...string) {
	t.Helper()
	squeezed := strings.Join(strings.Fields(output), " ")
	for _, want := range wants {
		if !strings.Contains(squeezed, want) {
			t.Errorf("%q is missing in:\n%s", want, output)
		}
	}
}

func TestCheck(t *testing.T) {
	s := start(t, nil)
	defer func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	}()
	site := fmt.Sprintf("localhost:%d", s.port)
	trust := []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}
	all := []string{
		fmt.Sprintf("ok https://%s/config", site),
		fmt.Sprintf("ok turn:%s?transport=udp", site),
		fmt.Sprintf("ok turn:%s?transport=tcp", site),
		fmt.Sprintf("turns:%s?transport=tcp", site),
		fmt.Sprintf("ok wss://%s/ws", site),
	}

	t.Run("from anywhere", func(t *testing.T) {
		output, status := runTurnhub(t, trust, "check", "https://"+site)
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, append(all, fmt.Sprintf("ok turns:%s?transport=tcp", site))...)
	})
	t.Run("on the server", func(t *testing.T) {
		output, status := runTurnhub(t, nil, "check", "--config", filepath.Join(s.directory(t), "config.yaml"))
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, all...)
	})
	t.Run("a stranger's authority", func(t *testing.T) {
		output, status := runTurnhub(t, nil, "check", "https://"+site)
		if status != 1 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, "FAIL https://"+site+"/config tls: browsers do not trust", "tls.mode acme", "calls would fail")
	})
	t.Run("plain HTTP", func(t *testing.T) {
		output, status := runTurnhub(t, trust, "check", "http://"+site)
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, "ok http://"+site+"/config", "ok ws://"+site+"/ws")
	})
	t.Run("nobody", func(t *testing.T) {
		output, status := runTurnhub(t, nil, "check", fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
		if status != 1 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, "connection refused", "nothing listens on TCP")
	})
	t.Run("somebody else", func(t *testing.T) {
		other := somebodyElse(t)
		output, status := runTurnhub(t, nil, "check", other.URL)
		if status != 1 {
			t.Errorf("exit status %d", status)
		}
		wantLines(t, output, "not an RTCConfiguration", "does not pass WebSockets on")
	})
	t.Run("usage", func(t *testing.T) {
		if output, status := runTurnhub(t, nil, "check", "--config", "x", "https://example.org"); status != 2 {
			t.Errorf("exit status %d: %s", status, output)
		}
		if output, status := runTurnhub(t, nil, "check", "ftp://example.org"); status != 1 || !strings.Contains(output, "https://") {
			t.Errorf("exit status %d: %s", status, output)
		}
	})
}

// somebodyElse is a web server that is not turnhub.
func somebodyElse(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "It works!") }))
	t.Cleanup(server.Close)
	return server
}

// With tokens the check needs one too; on the server it makes its own.
func TestCheckToken(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "token-secret")
	if err := os.WriteFile(secretFile, []byte(strings.Repeat("s3cret-", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, map[string]map[string]any{"access": {"mode": "token", "token_secret_file": secretFile}})
	site := fmt.Sprintf("http://localhost:%d", s.port)
	config := filepath.Join(s.directory(t), "config.yaml")
	trust := []string{"SSL_CERT_FILE=" + s.caFile}

	output, status := runTurnhub(t, trust, "check", site)
	if status != 1 {
		t.Errorf("without a token: exit status %d", status)
	}
	wantLines(t, output, "access token", "turnhub token")

	token, status := runTurnhub(t, nil, "token", "--config", config, "--user", "admin")
	if status != 0 {
		t.Fatalf("turnhub token: %s", token)
	}
	token, _, _ = strings.Cut(token, "\n") // below it is the link to open
	if output, status = runTurnhub(t, trust, "check", site+"/?token="+token); status != 0 {
		t.Errorf("with a token: exit status %d: %s", status, output)
	}
	if output, status = runTurnhub(t, trust, "check", "--config", config); status != 0 {
		t.Errorf("on the server: exit status %d: %s", status, output)
	}
}

// TestCheckSelf: a health check without any other program says whether the server
// answers, whatever guards its sockets, and tells another program from it.
func TestCheckSelf(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "token-secret")
	if err := os.WriteFile(secretFile, []byte(strings.Repeat("s3cret-", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, map[string]map[string]any{"access": {"mode": "token", "token_secret_file": secretFile}})
	self := []string{"check", "--self", "--config", filepath.Join(s.directory(t), "config.yaml")}
	for _, environ := range [][]string{nil, {"TURNHUB_LISTEN_ADMIN="}} { // without one it asks a public port
		if output, status := runTurnhub(t, environ, self...); status != 0 || strings.TrimSpace(output) != "ok" {
			t.Errorf("%v: exit status %d: %s", environ, status, output)
		}
	}
	// One that hangs is not healthy.
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	output, status := runTurnhub(t, nil, self...)
	if err := s.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if status != 1 {
		t.Errorf("of a stopped process: exit status %d: %s", status, output)
	}
	wantLines(t, output, "nothing answers at 127.0.0.1:")
	other := somebodyElse(t)
	at := "TURNHUB_LISTEN_ADMIN=" + other.Listener.Addr().String()
	if output, status := runTurnhub(t, []string{at}, "check", "--self"); status != 1 || !strings.Contains(output, "is not turnhub") {
		t.Errorf("of another program: exit status %d: %s", status, output)
	}
	if output, status := runTurnhub(t, nil, "check", "--self", "https://example.org"); status != 2 {
		t.Errorf("exit status %d: %s", status, output)
	}
}

// held passes connections on to a server, and keeps what comes after the welcome of
// a signaling socket.
func (s *server) held(t *testing.T) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
			if err != nil {
				in.Close()
				return
			}
			go func() {
				io.Copy(out, in)
				out.(*net.TCPConn).CloseWrite()
			}()
			go func() {
				defer in.Close()
				defer out.Close()
				var seen []byte
				buffer := make([]byte, 4096)
				for {
					n, err := out.Read(buffer)
					if err != nil {
						return
					}
					if strings.Contains(string(seen), `"type":"welcome"`) {
						continue
					}
					seen = append(seen, buffer[:n]...)
					in.Write(buffer[:n])
				}
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestCheckLeavesNothing: a check that is done, and one that is interrupted, leave
// no session whose window the server would keep open, and no allocation.
func TestCheckLeavesNothing(t *testing.T) {
	s := start(t, nil)
	metric := func(name string) float64 { return s.metric(t, name) }
	nothing := func(when string) {
		t.Helper()
		until(t, when, func() bool { return metric("turnhub_hub_sessions") == 0 && metric("turnhub_relay_allocations") == 0 })
		if strings.Contains(s.log.String(), "reason=lost") {
			t.Errorf("%s: a room ended as lost:\n%s", when, s.log)
		}
	}
	output, status := runTurnhub(t, nil, "check", fmt.Sprintf("http://localhost:%d", s.port))
	if status != 0 && !strings.Contains(output, "do not trust") {
		t.Errorf("exit status %d: %s", status, output)
	}
	if strings.Contains(output, "skip") || !strings.Contains(output, "note  relayed address") {
		t.Errorf("a check on the server itself reads as half a failure:\n%s", output)
	}
	nothing("nothing is left of a check")

	command := exec.Command(binary, "check", fmt.Sprintf("http://127.0.0.1:%d", s.held(t)))
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "both sessions are there", func() bool { return metric("turnhub_hub_sessions") == 2 })
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); command.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "interrupted") {
		t.Errorf("interrupted: %v: %s", err, &said)
	}
	nothing("nothing is left of an interrupted check")
}
