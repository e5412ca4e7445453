package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A TLS session goes on with a process that is started after the one before it was
// killed, when all clients come back at once. With the keys gone it does not, and the
// handshake is a whole one.
func TestTicketsOutliveTheProcess(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	file, keys := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "state", "ticket-keys")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
listen: {tcp: ["127.0.0.1:%d"], udp: ["127.0.0.1:%d"], admin: ""}
tls: {mode: self-signed}
relay: {external_ip: 127.0.0.1}
state_dir: %s
`, port, port, filepath.Join(dir, "state")), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := tls.NewLRUClientSessionCache(8)
	connect := func() (resumed bool, err error) {
		c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{
			InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, ClientSessionCache: cache,
		})
		if err != nil {
			return false, err
		}
		defer c.Close()
		// The ticket comes before the answer.
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(c)
		if err == nil && len(answer) < len("HTTP/1.1 200") {
			err = io.ErrUnexpectedEOF
		}
		return c.ConnectionState().DidResume, err
	}
	serve := func() (kill func()) {
		log := new(lockedBuffer)
		command := exec.Command(binary, "serve", "--config", file)
		command.Dir, command.Stdout, command.Stderr = dir, log, log
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		kill = func() {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
		t.Cleanup(kill)
		until(t, "the server listens", func() bool {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		return kill
	}
	for round, want := range []bool{false, true, true, false} {
		if round == 3 {
			if err := os.Remove(keys); err != nil {
				t.Fatal(err)
			}
		}
		kill := serve()
		if resumed, err := connect(); err != nil || resumed != want {
			t.Errorf("process %d: the session went on: %v, want %v; %v", round, resumed, want, err)
		}
		if info, err := os.Stat(keys); err != nil || info.Mode() != 0o600 {
			t.Errorf("process %d: %v, %v", round, info, err)
		}
		kill()
	}
}
