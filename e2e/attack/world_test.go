package attack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

// Who is where. The attacker's side is one network namespace with an address
// for everybody; the server sits in another, with a cable between them.
const (
	serverIP   = "203.0.113.1"
	attackerIP = "203.0.113.10"
	helperIP   = "203.0.113.11"
	friendIP   = "203.0.113.12"
	bystander  = "203.0.113.20" // a host on the internet that never heard of turnhub
	aliceIP    = "203.0.113.31"
	bobIP      = "203.0.113.32"
	metadataIP = "169.254.169.254"
)

// inOwnNetwork runs the calling test again, in a network namespace of its own,
// and reports whether this is that run.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	const marker = "ATTACK_TEST_NAMESPACE"
	if os.Getenv(marker) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), marker+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// world is the server in its namespace as the attacker's namespace sees it.
type world struct {
	t      *testing.T
	pid    int
	config string        // file
	end    func() string // ends the server and returns all that it printed
}

func newWorld(t *testing.T, config string) *world {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	config += fmt.Sprintf("\nstate_dir: %s\n", filepath.Join(dir, "state"))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := filepath.Abs("../../bin/turnhub")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v; run `make build` first", err)
	}
	// The namespace comes first, then its address, then the server.
	cmd := exec.Command("sh", "-c", `read go && exec "$0" serve --config "$1"`, binary, file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	start, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logged := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
		}
		logged <- all.String()
	}()
	w := &world{t: t, pid: cmd.Process.Pid, config: file}
	w.end = sync.OnceValue(func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		log := <-logged
		_ = cmd.Wait()
		return log
	})
	t.Cleanup(func() {
		if log := w.end(); t.Failed() {
			t.Logf("the server said:\n%s", log)
		}
	})

	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(w.pid))
	for _, ip := range []string{attackerIP, helperIP, friendIP, bystander, aliceIP, bobIP} {
		run(t, "ip", "address", "add", ip+"/24", "dev", "cable")
	}
	run(t, "ip", "address", "add", metadataIP+"/32", "dev", "cable")
	run(t, "ip", "link", "set", "cable", "up")
	w.inServer("ip", "link", "set", "lo", "up")
	w.inServer("ip", "address", "add", serverIP+"/24", "dev", "eth0")
	w.inServer("ip", "link", "set", "eth0", "up")
	w.inServer("ip", "route", "add", metadataIP, "dev", "eth0")
	if _, err := io.WriteString(start, "go\n"); err != nil {
		t.Fatal(err)
	}
	w.until("the server is ready", func() bool {
		response, err := http.Get("http://" + serverIP + ":8080/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return w
}

// inServer runs a command in the server's namespace.
func (w *world) inServer(args ...string) string {
	w.t.Helper()
	return run(w.t, "nsenter", append([]string{"--target", fmt.Sprint(w.pid), "--net", "--"}, args...)...)
}

// until waits for a condition, with a bound that only a broken server reaches.
func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			w.t.Fatalf("%s: not within 20 s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// target is a UDP service that must not be reached: it counts what comes.
type target struct {
	addr netip.AddrPort
	hits atomic.Int64
}

func (w *world) listen(ip string) *target {
	w.t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.count(conn)
}

// onServer runs f on a thread in the server's namespace.
func (w *world) onServer(f func()) {
	w.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		w.t.Fatal(err)
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", w.pid))
	if err != nil {
		w.t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		w.t.Fatal(err)
	}
	f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		w.t.Fatal(err) // with the thread still locked: it ends with the test
	}
	runtime.UnlockOSThread()
}

// listenInServer opens a UDP service on the server's own host.
func (w *world) listenInServer(address string) *target {
	w.t.Helper()
	var conn *net.UDPConn
	var err error
	w.onServer(func() {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.count(conn)
}

// adminGet reads a page of the admin listener, as a program on the host does.
func (w *world) adminGet(path string) string {
	w.t.Helper()
	transport := &http.Transport{DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
		w.onServer(func() { conn, err = net.Dial(network, address) })
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://127.0.0.1:9478" + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s, %v", path, response.Status, err)
	}
	return string(body)
}

// count counts what a socket receives until the test ends.
func (w *world) count(conn *net.UDPConn) *target {
	g := &target{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 2048); ; {
			if _, _, err := conn.ReadFrom(buf); err != nil {
				return
			}
			g.hits.Add(1)
		}
	}()
	w.t.Cleanup(func() { conn.Close(); <-done })
	return g
}

// person is a session of the signaling hub.
type person struct {
	t                  *testing.T
	ws                 *websocket.Conn
	session            string
	username, password string
	seq                int
	inbox              chan map[string]any
}

// person connects to /ws from a local address.
func (w *world) person(ip string) *person {
	w.t.Helper()
	dialer := websocket.Dialer{
		Subprotocols: []string{"turnhub.v1"},
		NetDial:      (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial,
	}
	ws, _, err := dialer.Dial("ws://"+serverIP+":8080/ws", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &person{t: w.t, ws: ws, inbox: make(chan map[string]any, 256)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.inbox)
		for {
			var m map[string]any
			if ws.ReadJSON(&m) != nil {
				return
			}
			p.inbox <- m
		}
	}()
	w.t.Cleanup(func() { ws.Close(); <-done })
	p.write(map[string]any{"type": "hello"})
	welcome := p.wait("welcome")
	p.session = welcome["session"].(string)
	raw, _ := json.Marshal(welcome["config"])
	var config struct {
		IceServers []struct{ Username, Credential string }
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		w.t.Fatal(err)
	}
	for _, server := range config.IceServers {
		if server.Username != "" {
			p.username, p.password = server.Username, server.Credential
		}
	}
	return p
}

func (p *person) write(m map[string]any) {
	p.t.Helper()
	if m["type"] != "hello" {
		p.seq++
		m["seq"] = p.seq
	}
	if err := p.ws.WriteJSON(m); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends a request and waits for the answer of the type given.
func (p *person) ask(m map[string]any, answer string) map[string]any {
	p.t.Helper()
	p.write(m)
	return p.wait(answer)
}

func (p *person) wait(kind string) map[string]any {
	p.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case m, ok := <-p.inbox:
			if !ok {
				p.t.Fatalf("the socket closed while waiting for %q", kind)
			}
			if m["type"] == kind {
				return m
			}
			if m["type"] == "error" && kind != "error" {
				p.t.Fatalf("waiting for %q: %v", kind, m)
			}
		case <-timeout:
			p.t.Fatalf("no %q came", kind)
		}
	}
}

func (p *person) join(room string) {
	p.t.Helper()
	p.ask(map[string]any{"type": "join", "room": room, "id": p.seq + 1}, "joined")
}

// allocate opens an allocation with the session's own credentials.
func (p *person) allocate(ip string) *turnClient {
	p.t.Helper()
	return dialTURN(p.t, ip, serverIP+":3478", p.username, p.password)
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func get(t *testing.T, url string) (status int) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}
