package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	turncred "turnhub/turnsrv/credentials"
)

// asProgram makes this test binary behave as turnhub itself.
const asProgram = "TEST_AS_TURNHUB"

// withoutLink makes successors behave as one of a version before the link, towards
// which the old process does the same.
const withoutLink = "TEST_WITHOUT_LINK"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if os.Getenv(withoutLink) != "" {
			os.Unsetenv(kinVariable)
		}
		main()
	}
	os.Exit(m.Run())
}

// install puts a copy of turnhub at path.
func install(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	putProgram(t, path, binary)
}

// putProgram puts a program at path, in place of the one that is there.
func putProgram(t *testing.T, path string, program []byte) {
	t.Helper()
	// A child that another test forks meanwhile would hold the file open for writing until its exec, and until then
	// nobody could run it ("text file busy").
	syscall.ForkLock.RLock()
	err := os.WriteFile(path+".new", program, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// blocking counts a process's sockets without O_NONBLOCK.
func blocking(t *testing.T, pid int) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^flags:\s+([0-7]+)$`)
	for _, fd := range fds {
		link, _ := os.Readlink(dir + "fd/" + fd.Name())
		info, _ := os.ReadFile(dir + "fdinfo/" + fd.Name())
		if m := flags.FindSubmatch(info); m != nil && strings.HasPrefix(link, "socket:") {
			if mode, _ := strconv.ParseUint(string(m[1]), 8, 64); mode&syscall.O_NONBLOCK == 0 {
				n++
			}
		}
	}
	return n
}

// programSecret is what the credentials of a started program follow from.
const programSecret = "a-good-secret"

// started is a copy of this program that runs, where an upgrade may replace it.
type started struct {
	path        string
	port, admin int
	log         output
	server      *exec.Cmd
	ended       chan error // has what its end said
}

// startProgram runs one until the test ends, with more in its environment.
func startProgram(t *testing.T, env ...string) *started {
	t.Helper()
	dir := t.TempDir()
	p := &started{path: filepath.Join(dir, "turnhub"), port: freePort(t), admin: freePort(t), ended: make(chan error, 1)}
	install(t, p.path)
	p.server = exec.Command(p.path)
	p.server.Env = append(append(os.Environ(), asProgram+"=1", fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", p.port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", p.port),
		fmt.Sprintf("TURNHUB_LISTEN_ADMIN=127.0.0.1:%d", p.admin), "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_PUBLIC_HOST=127.0.0.1",
		"TURNHUB_CREDENTIALS_SECRETS="+programSecret, "STATE_DIRECTORY="+dir), env...)
	p.server.Stdout, p.server.Stderr = &p.log, &p.log
	p.server.WaitDelay = time.Second // after the end: a successor holds the pipe
	if err := p.server.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.server.Wait() }()
	t.Cleanup(func() { p.server.Process.Kill(); killHeirs(&p.log) })
	return p
}

// killHeirs ends the processes that have taken over from one that has such a log: a test that
// fails leaves none behind.
func killHeirs(log *output) {
	for _, m := range regexp.MustCompile(`a new process has taken over.* pid=(\d+)`).FindAllStringSubmatch(log.String(), -1) {
		pid, _ := strconv.Atoi(m[1])
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// TestUpgrade replaces the binary under a relayed conversation over UDP and TCP:
// not one packet is lost, new clients meet the new process, and the old one ends
// with its last allocation. A broken binary changes nothing.
func TestUpgrade(t *testing.T) {
	p := startProgram(t)
	program, port, admin, log, server, ended := p.path, p.port, p.admin, &p.log, p.server, p.ended
	credentials, err := turncred.New([]string{programSecret})
	if err != nil {
		t.Fatal(err)
	}

	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(url string) string {
		res, err := plain.Get(url)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return string(body)
	}
	ready := fmt.Sprintf("http://127.0.0.1:%d/readyz", admin)
	metrics := fmt.Sprintf("http://127.0.0.1:%d/metrics", admin)
	until(t, "ready", log, func() bool { return strings.Contains(ask(ready), `"ok"`) })

	client := func(network, user string) *turn.Client {
		var conn net.PacketConn
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if network == "udp" {
			pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			conn = pc
		} else {
			stream, err := net.Dial("tcp4", address)
			if err != nil {
				t.Fatal(err)
			}
			conn = turn.NewSTUNConn(stream)
		}
		username, password := credentials.Mint(user, time.Now().Add(time.Hour))
		c, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: address, Conn: conn, Username: username, Password: password, Realm: "turnhub"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Listen(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); conn.Close() })
		return c
	}
	allocate := func(c *turn.Client) net.PacketConn {
		t.Helper()
		relay, err := c.Allocate()
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		return relay
	}
	alice, bob := client("udp", "anna"), client("tcp", "anna") // one user may reach itself
	a, b := allocate(alice), allocate(bob)
	for _, err := range []error{alice.CreatePermission(b.LocalAddr()), bob.CreatePermission(a.LocalAddr())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	talk := func() {
		t.Helper()
		for range 10 {
			n++
			for _, way := range [][2]net.PacketConn{{a, b}, {b, a}} {
				payload := []byte("packet number " + strconv.Itoa(n))
				if _, err := way[0].WriteTo(payload, way[1].LocalAddr()); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 100)
				way[1].SetReadDeadline(time.Now().Add(10 * time.Second))
				got, _, err := way[1].ReadFrom(buf)
				if err != nil || !bytes.Equal(buf[:got], payload) {
					t.Fatalf("packet %d: %q, %v\n%s", n, buf[:got], err, log)
				}
			}
		}
	}
	talk()

	modes := blocking(t, server.Process.Pid)
	// A binary that is none.
	if err := os.WriteFile(program+".new", []byte("#!/bin/false\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	server.Process.Signal(syscall.SIGUSR2)
	until(t, "refusal", log, func() bool { talk(); return strings.Contains(log.String(), "the old binary goes on") })
	if !strings.Contains(ask(ready), `"ok"`) {
		t.Error("a broken binary disturbs the old one")
	}
	if now := blocking(t, server.Process.Pid); now != modes {
		t.Errorf("%d sockets block, %d did before the upgrade: who waits in Accept cannot be told to stop", now, modes)
	}
	allocate(client("udp", "carl")).Close()

	install(t, program)
	born := regexp.MustCompile(`(?m)^process_start_time_seconds \S+`)
	first := born.FindString(ask(metrics))
	server.Process.Signal(syscall.SIGUSR2)
	until(t, "the new process", log, func() bool { talk(); return strings.Contains(log.String(), "a new process has taken over") })
	until(t, "the new process's answer", log, func() bool {
		now := born.FindString(ask(metrics))
		return first != "" && now != "" && now != first && strings.Contains(ask(ready), `"ok"`)
	})
	talk()
	for _, network := range []string{"udp", "tcp", "udp", "udp", "tcp", "udp"} {
		allocate(client(network, "carl")).Close()
	}
	talk()
	select {
	case err := <-ended:
		t.Fatalf("the old process ended under a call: %v\n%s", err, log)
	default:
	}
	a.Close()
	b.Close()
	until(t, "the end of the old process", log, func() bool {
		select {
		case err := <-ended:
			if err != nil && !strings.Contains(err.Error(), "WaitDelay") {
				t.Errorf("%v\n%s", err, log)
			}
			return true
		default:
			return false
		}
	})
	if !strings.Contains(ask(ready), `"ok"`) {
		t.Error("the new process went with the old one")
	}
	pid := ""
	if _, rest, ok := strings.Cut(log.String(), "taken over\" pid="); ok {
		pid, _, _ = strings.Cut(rest, " ")
	}
	number, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(number, syscall.SIGTERM)
	until(t, "the end of the new process", log, func() bool { return strings.Contains(ask(ready), "refused") })
}

// TestUpgradeWithoutLink replaces the binary by one that knows no link: both say so,
// an action of the operator is not answered with success, and when the new process
// dies the old one serves again all the same. While the old one lives, whose relay ports
// nobody can ask for, relayed addresses have sockets, whatever relay.sockets says.
func TestUpgradeWithoutLink(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "turnhub")
	install(t, program)
	port, admin := freePort(t), freePort(t)
	credentials, err := turncred.New([]string{"a-good-secret"})
	if err != nil {
		t.Fatal(err)
	}
	var log output
	server := exec.Command(program)
	server.Env = append(os.Environ(), asProgram+"=1", withoutLink+"=1", fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port),
		fmt.Sprintf("TURNHUB_LISTEN_ADMIN=127.0.0.1:%d", admin), "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_PUBLIC_HOST=127.0.0.1",
		"TURNHUB_CREDENTIALS_SECRETS=a-good-secret", "STATE_DIRECTORY="+dir, "TURNHUB_RELAY_SOCKETS=off")
	server.Stdout, server.Stderr = &log, &log
	server.WaitDelay = time.Second
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		server.Process.Kill()
		<-ended
		killHeirs(&log)
	})
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	base := fmt.Sprintf("http://127.0.0.1:%d", admin)
	ready := func() bool {
		res, err := plain.Get(base + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	until(t, "ready", &log, ready)
	allocate := func() {
		t.Helper()
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		username, password := credentials.Mint("anna", time.Now().Add(time.Hour))
		client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: fmt.Sprintf("127.0.0.1:%d", port), Conn: conn, Username: username, Password: password})
		if err == nil {
			err = client.Listen()
		}
		if err == nil {
			_, err = client.Allocate()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); conn.Close() })
	}
	// bare is how many relayed addresses of the process that serves have no socket.
	bare := func() string {
		res, err := plain.Get(base + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return regexp.MustCompile(`(?m)^turnhub_relay_allocations_without_socket .*$`).FindString(string(text))
	}
	allocate()
	if !strings.HasSuffix(bare(), " 1") {
		t.Errorf("before the upgrade: %s", bare())
	}

	server.Process.Signal(syscall.SIGUSR2)
	until(t, "the new process", &log, func() bool { return strings.Contains(log.String(), "a new process has taken over") && ready() })
	for _, want := range []string{"cannot tell this one anything", "cannot be told anything"} {
		until(t, want, &log, func() bool { return strings.Contains(log.String(), want) })
	}
	res, err := plain.Post(base+"/revoke", "application/json", strings.NewReader(`{"user":"bob"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(string(text), strconv.Itoa(server.Process.Pid)) {
		t.Errorf("a revocation that does not reach the old process: %s %s", res.Status, text)
	}
	allocate()
	if !strings.HasSuffix(bare(), " 0") {
		t.Errorf("beside a process that cannot say which ports it has: %s", bare())
	}
	_, rest, _ := strings.Cut(log.String(), "taken over\" pid=")
	number, _, _ := strings.Cut(rest, " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	until(t, "the old process serves again", &log, func() bool { return strings.Contains(log.String(), "this one serves again") && ready() })
}
