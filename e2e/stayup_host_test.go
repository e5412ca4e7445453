package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/turn/v4"
	"golang.org/x/sys/unix"
)

// The process runs out of descriptors: what is open goes on, and when there are
// some again, so does everything else.
func TestStayUpEMFILE(t *testing.T) {
	s := start(t, nil)
	s.alive(t, "before")
	before := s.settled(t)
	t.Run("exhaust", func(t *testing.T) {
		a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "tcp", "caller")
		permit(t, a, b)
		permit(t, b, a)
		limit := uint64(s.usage(t).descriptors + 20)
		var old unix.Rlimit
		if err := unix.Prlimit(s.process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
			t.Fatal(err)
		}
		if err := unix.Prlimit(s.process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: old.Max}, nil); err != nil {
			t.Skipf("SKIPPED: prlimit: %v", err)
		}
		var conns []net.Conn
		for i := range 200 { // the kernel accepts them, the server cannot
			conn, err := s.connect(attacker(i / 20))
			if err != nil {
				break
			}
			conns = append(conns, conn)
		}
		for range 20 {
			exchange(t, a, b, 1200)
			exchange(t, b, a, 172)
		}
		for _, conn := range conns {
			conn.Close()
		}
		if err := unix.Prlimit(s.process.Pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Fatal(err)
		}
		exchange(t, a, b, 1200)
	})
	s.unharmed(t, before)
	if !strings.Contains(s.log.String(), "LimitNOFILE") {
		t.Error("the log does not say that descriptors ran out")
	}
}

// A peer that is not there answers by ICMP; neither the allocation nor its worker
// minds.
func TestStayUpICMP(t *testing.T) {
	s := start(t, map[string]map[string]any{"relay": {"peers": "any"}})
	s.alive(t, "before")
	before := s.settled(t)
	t.Run("unreachable", func(t *testing.T) {
		a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "udp", "caller")
		permit(t, a, b)
		permit(t, b, a)
		nobody, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP("127.0.0.1")})
		if err != nil {
			t.Fatal(err)
		}
		nobody.Close()
		for range 200 {
			if _, err := a.relay.WriteTo([]byte("is anybody there?"), nobody.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			exchange(t, a, b, 172)
		}
		// Clients that vanish: answers to them come back as ICMP to the listener.
		for i := range 200 {
			conn := s.datagrams(t, i)
			_, _ = conn.Write([]byte("\x00\x01\x00\x00\x21\x12\xa4\x42123456789012"))
			conn.Close()
		}
		s.alive(t, "after ICMP errors")
		exchange(t, a, b, 172)
	})
	s.unharmed(t, before)
}

// A disk that is full, then read-only, stops nothing that runs; what cannot start
// on it says so.
func TestStayUpDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("SKIPPED: a full disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	fill := func() {
		file, err := os.Create(filepath.Join(disk, "ballast"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for {
			if _, err := file.Write(make([]byte, 4096)); err != nil {
				return // full
			}
		}
	}

	state := filepath.Join(disk, "state")
	config := filepath.Join(t.TempDir(), "config.yaml")
	port := freePort(t)
	write := func(extra string) {
		text := fmt.Sprintf("state_dir: %q\npublic_host: 127.0.0.1\nlisten: {tcp: [\":%d\"], udp: [\":%d\"], admin: \"\"}\nrelay: {external_ip: 127.0.0.1}\n%s", state, port, port, extra)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	fill()
	output, status := runTurnhub(t, nil, "serve", "--config", config)
	if status != 1 || !strings.Contains(output, "no space left") || !strings.Contains(output, ";") {
		t.Errorf("a first start on a full disk: exit status %d, %s", status, output)
	}
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}

	t.Run("full", func(t *testing.T) {
		command, works := serveOn(t, config, port)
		fill()
		if !works() {
			t.Error("a full disk ends the service")
		}
		if err := command.Process.Signal(syscall.SIGHUP); err != nil { // a reload writes a log line
			t.Fatal(err)
		}
		if !works() {
			t.Error("a reload on a full disk ends the service")
		}
	})
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	t.Run("read-only", func(t *testing.T) {
		// A disk on which a file is open for writing, as the history's is, becomes so by its own faults alone.
		write("events: {history: 0s}\n")
		_, works := serveOn(t, config, port)
		if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		if !works() {
			t.Error("a read-only disk ends the service")
		}
	})
}

// serveOn runs a server until the test ends, with a log that nobody can write.
func serveOn(t *testing.T, config string, port int) (command *exec.Cmd, works func() bool) {
	t.Helper()
	logFile, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	command = exec.Command(binary, "serve", "--config", config)
	command.Stderr = logFile
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	until(t, "the server is ready", func() bool {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode == http.StatusOK
	})
	return command, func() bool {
		output, status := runTurnhub(t, nil, "check", fmt.Sprintf("http://127.0.0.1:%d", port))
		if status != 0 {
			t.Log(output)
		}
		return status == 0
	}
}

// SIGKILL at random moments: each time the server comes back on the same state,
// and clients with the credentials that they have are served.
func TestStayUpSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	port := freePort(t)
	text := fmt.Sprintf("state_dir: %q\npublic_host: 127.0.0.1\nlisten: {tcp: [\":%d\"], udp: [\":%d\"], admin: \"\"}\nrelay: {external_ip: 127.0.0.1}\ntls: {mode: self-signed}\n", filepath.Join(dir, "state"), port, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (kill func()) {
		command := exec.Command(binary, "serve", "--config", config)
		log := &lockedBuffer{}
		command.Stderr = log
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = command.Process.Kill()
			if err := command.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
				t.Errorf("it had ended by itself: %v\n%s", err, log)
			}
		}
	}
	username, password := "", ""
	for round := range long(8, 100) {
		kill := run()
		if round%2 == 1 { // in the middle of the start
			pause := time.NewTimer(rand.N(60 * time.Millisecond))
			<-pause.C
			kill()
			kill = run()
		}
		until(t, "the server is back", func() bool { return allocates(port, &username, &password, filepath.Join(dir, "state", "turn-secrets")) })
		kill()
	}
}

// allocates tries one allocation, with the credentials that it made in the first
// round: a secret that got lost would show.
func allocates(port int, username, password *string, secretsFile string) bool {
	if *username == "" {
		text, err := os.ReadFile(secretsFile)
		if err != nil || len(strings.Fields(string(text))) == 0 {
			return false
		}
		lines := strings.Fields(string(text))
		if *username, *password, err = turn.GenerateLongTermTURNRESTCredentials(lines[len(lines)-1], "back", time.Hour); err != nil {
			return false
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	stream, err := net.Dial("tcp4", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(10 * time.Second))
	conn := turn.NewSTUNConn(stream)
	client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: address, TURNServerAddr: address, Conn: conn, Username: *username, Password: *password, Realm: "turnhub"})
	if err != nil {
		return false
	}
	defer client.Close()
	if client.Listen() != nil {
		return false
	}
	relay, err := client.Allocate()
	if err != nil {
		return false
	}
	relay.Close()
	return true
}
