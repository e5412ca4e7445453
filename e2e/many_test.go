package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	turncred "turnhub/turnsrv/credentials"
)

// Many allocations: several processes load one server in a network namespace of its own,
// where every port is free.

// TestManyAllocations makes 60,000 allocations without sockets on one IPv4 address, 100,000
// on two and on one of each family, and with sockets as many as there are descriptors. No relayed
// address is given out twice, clients meet over them, and what one takes is told.
func TestManyAllocations(t *testing.T) {
	if load := os.Getenv(manyEnvironment); load != "" {
		var l manyLoad
		if err := json.Unmarshal([]byte(load), &l); err != nil {
			t.Fatal(err)
		}
		l.run(t)
		return
	}
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("a round of two minutes: E2E_LONG=1 (make soak)")
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	const v4, second, v6 = "10.90.0.1", "10.90.0.2", "fd00:90::1"
	for _, x := range []struct {
		name, sockets string
		relay         []string // addresses
		many          int
		families      [manyLoads]byte
	}{
		{"on one IPv4 address", "off", []string{v4}, 60_000, [manyLoads]byte{1, 1, 1, 1}},
		{"on two IPv4 addresses", "off", []string{v4 + "=" + v4, second + "=" + second}, 100_000, [manyLoads]byte{1, 1, 1, 1}},
		{"on an IPv4 and an IPv6 address", "off", []string{v4, v6}, 100_000, [manyLoads]byte{1, 2, 1, 2}},
		{"with sockets", "on", []string{v4, v6}, min(40_000, int(files.Max)/10*9) / manyLoads * manyLoads, [manyLoads]byte{1, 2, 1, 2}},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := startMany(t, x.sockets, x.relay)
			heap, slab := s.heap(t), slabs(t)
			begin := time.Now()
			seen := make(map[netip.AddrPort]bool, x.many)
			lines := make(chan string, 64)
			for i := range manyLoads {
				go s.load(t, manyLoad{Source: fmt.Sprintf("10.90.1.%d", i+1), Server: v4 + ":3478", Family: x.families[i], Many: x.many / manyLoads}, lines)
			}
			for ended := 0; ended < manyLoads; {
				line := <-lines
				if at, err := netip.ParseAddrPort(line); err == nil {
					if seen[at] {
						t.Errorf("%v was given out twice", at)
					}
					seen[at] = true
					continue
				}
				if line != "" {
					t.Error(line)
				}
				ended++
			}
			took := time.Since(begin)
			bare, all := s.metric(t, "turnhub_relay_allocations_without_socket"), s.metric(t, "turnhub_relay_allocations")
			if len(seen) != x.many || all < x.many || (bare == all) != (x.sockets == "off") {
				t.Errorf("%d of %d relayed addresses were told; the server has %d, %d without socket", len(seen), x.many, all, bare)
			}
			t.Logf("%d allocations by %d processes in %v; each takes %d bytes of Go's heap, about %d of the kernel's slabs (the whole machine's)",
				x.many, manyLoads, took.Round(time.Second), (s.heap(t)-heap)/x.many, max(0, slabs(t)-slab)/x.many)
		})
	}
}

const (
	manyLoads       = 4
	manyEnvironment = "E2E_MANY_LOAD"
	manyKept        = 500 // of so many allocations the clients of two stay, and meet
)

// manyServer is a server in a network namespace.
type manyServer struct{ namespace string }

func startMany(t *testing.T, sockets string, relay []string) *manyServer {
	t.Helper()
	if _, err := exec.LookPath("ip"); os.Geteuid() != 0 || err != nil {
		t.Skip("SKIPPED: a network namespace needs root and iproute2")
	}
	s := &manyServer{namespace: fmt.Sprintf("th-m-%d-%d", os.Getpid(), hostsMade.Add(1))}
	if output, err := exec.Command("ip", "netns", "add", s.namespace).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this machine allows no network namespaces: %s", output)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", s.namespace).Run() })
	inside(t, s.namespace, "ip", "link", "set", "lo", "up")
	inside(t, s.namespace, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
	inside(t, s.namespace, "ip", "link", "set", "far0", "up")
	inside(t, s.namespace, "ip", "link", "set", "eth0", "up")
	for _, address := range []string{"10.90.0.1/16", "10.90.0.2/16", "10.90.1.1/16", "10.90.1.2/16", "10.90.1.3/16", "10.90.1.4/16"} {
		inside(t, s.namespace, "ip", "addr", "add", address, "dev", "eth0")
	}
	inside(t, s.namespace, "ip", "-6", "addr", "add", "fd00:90::1/64", "dev", "eth0", "nodad")
	dir := t.TempDir()
	text, err := json.Marshal(map[string]any{
		"public_host": "10.90.0.1",
		"state_dir":   filepath.Join(dir, "state"),
		"listen":      map[string]any{"tcp": []string{":8080"}, "udp": []string{":3478"}, "admin": "127.0.0.1:9478"},
		"relay":       map[string]any{"external_ip": relay, "sockets": sockets, "port_min": 1024, "port_max": 65535, "peers": "any"},
		"credentials": map[string]any{"secrets": []string{secret}},
		"limits":      map[string]any{"allocations_per_ip": 1 << 20, "unauthenticated_per_prefix": "1000000/s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("ip", "netns", "exec", s.namespace, binary, "serve", "--config", file)
	command.Dir = dir
	serving(t, command)
	return s
}

// get asks the admin listener, from within the namespace.
func (s *manyServer) get(t *testing.T, path string) string {
	t.Helper()
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		type dialled struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialled)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with its namespace
			d := dialled{err: enter("/run/netns/" + s.namespace)}
			if d.err == nil {
				d.conn, d.err = net.Dial("tcp4", "127.0.0.1:9478")
			}
			done <- d
		}()
		d := <-done
		return d.conn, d.err
	}}}
	response, err := client.Get("http://127.0.0.1:9478" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", path, response.Status, err)
	}
	return string(text)
}

// enter puts this thread into a network namespace.
func enter(namespace string) error {
	f, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// heap is the server's heap after a collection, in bytes.
func (s *manyServer) heap(t *testing.T) int {
	t.Helper()
	for range 2 {
		s.get(t, "/debug/pprof/heap?gc=1")
	}
	return number(t, `(?m)^# HeapInuse = (\d+)$`, s.get(t, "/debug/pprof/heap?gc=1&debug=1"))
}

func (s *manyServer) metric(t *testing.T, name string) int {
	t.Helper()
	return int(metricIn(t, s.get(t, "/metrics"), name))
}

// slabs is what the kernel's slabs take on this machine, in bytes.
func slabs(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	return number(t, `(?m)^Slab:\s+(\d+) kB$`, string(text)) << 10
}

func number(t *testing.T, pattern, text string) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s", pattern)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// load runs one process of the load, whose lines end with an empty one, or with what was
// wrong.
func (s *manyServer) load(t *testing.T, l manyLoad, lines chan<- string) {
	spec, _ := json.Marshal(l)
	command := exec.CommandContext(t.Context(), "ip", "netns", "exec", s.namespace, os.Args[0], "-test.run=^TestManyAllocations$")
	command.Env = append(os.Environ(), manyEnvironment+"="+string(spec), "E2E_TURNHUB="+binary)
	out, err := command.StdoutPipe()
	if err != nil {
		lines <- err.Error()
		return
	}
	if err := command.Start(); err != nil {
		lines <- err.Error()
		return
	}
	said := []string{}
	for text := bufio.NewScanner(out); text.Scan(); {
		if at, ok := strings.CutPrefix(text.Text(), "relayed "); ok {
			lines <- at
		} else {
			said = append(said, text.Text())
		}
	}
	if err := command.Wait(); err != nil {
		lines <- fmt.Sprintf("load from %s: %v: %s", l.Source, err, strings.Join(said, "; "))
		return
	}
	lines <- ""
}

// manyLoad is what one process of the load does.
type manyLoad struct {
	Source string // its address
	Server string
	Family byte // of the relayed addresses, as in RFC 8656 section 18.9
	Many   int  // allocations
}

// manyClient is a client with an allocation.
type manyClient struct {
	conn     *net.UDPConn
	key      stun.MessageIntegrity
	identity []stun.Setter // USERNAME, REALM and NONCE
	relayed  stun.XORMappedAddress
}

func (l manyLoad) run(t *testing.T) {
	secrets, err := turncred.New([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.ResolveUDPAddr("udp4", l.Server)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	var kept []*manyClient
	for i := range l.Many {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(l.Source), Port: 10_000 + i}, server)
		if err != nil {
			t.Fatal(err)
		}
		c := &manyClient{conn: conn}
		username, password := secrets.Mint(fmt.Sprintf("%s-%d", l.Source, i), time.Now().Add(time.Hour))
		if err := c.allocate(username, password, l.Family); err != nil {
			t.Fatalf("allocation %d: %v", i, err)
		}
		fmt.Fprintf(out, "relayed %v\n", net.JoinHostPort(c.relayed.IP.String(), strconv.Itoa(c.relayed.Port)))
		if i%manyKept < 2 {
			kept = append(kept, c)
			continue
		}
		conn.Close()
	}
	for i := 0; i+1 < len(kept); i += 2 {
		a, b := kept[i], kept[i+1]
		for _, c := range []struct{ from, to *manyClient }{{a, b}, {b, a}} {
			if _, err := c.from.ask(stun.MethodCreatePermission, c.from.identity, peer(c.to.relayed)); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct{ from, to *manyClient }{{a, b}, {b, a}} {
			payload := fmt.Sprintf("from %v", c.from.relayed)
			indication := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(c.to.relayed), stun.RawAttribute{Type: stun.AttrData, Value: []byte(payload)})
			if _, err := c.from.conn.Write(indication.Raw); err != nil {
				t.Fatal(err)
			}
			m, err := c.to.read()
			if err != nil {
				t.Fatal(err)
			}
			if data, err := m.Get(stun.AttrData); err != nil || string(data) != payload {
				t.Fatalf("%v has %q, %v; want %q", c.to.relayed, data, err, payload)
			}
		}
	}
}

// peer is XOR-PEER-ADDRESS.
func peer(at stun.XORMappedAddress) stun.Setter { return peerAddress(at) }

type peerAddress stun.XORMappedAddress

func (p peerAddress) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress(p).AddToAs(m, stun.AttrXORPeerAddress)
}

func (c *manyClient) allocate(username, password string, family byte) error {
	transport := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	challenge, err := c.ask(stun.MethodAllocate, nil, transport)
	if err != nil {
		return err
	}
	var realm stun.Realm
	var nonce stun.Nonce
	if err := challenge.Parse(&realm, &nonce); err != nil {
		return fmt.Errorf("no challenge, but %v: %w", challenge, err)
	}
	c.key = stun.NewLongTermIntegrity(username, realm.String(), password)
	c.identity = []stun.Setter{stun.NewUsername(username), realm, nonce}
	answer, err := c.ask(stun.MethodAllocate, c.identity, transport, stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{family, 0, 0, 0}})
	if err != nil {
		return err
	}
	if answer.Type.Class != stun.ClassSuccessResponse {
		return fmt.Errorf("refused: %v", answer)
	}
	return c.relayed.GetFromAs(answer, stun.AttrXORRelayedAddress)
}

// ask sends a request, again each second without an answer, for ten seconds.
func (c *manyClient) ask(method stun.Method, identity []stun.Setter, attributes ...stun.Setter) (*stun.Message, error) {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, append(attributes, identity...)...)
	if identity != nil {
		setters = append(setters, c.key)
	}
	m, err := stun.Build(setters...)
	if err != nil {
		return nil, err
	}
	for range 10 {
		if _, err := c.conn.Write(m.Raw); err != nil {
			return nil, err
		}
		answer, err := c.read()
		if err == nil && answer.TransactionID == m.TransactionID {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("no answer to %v", m.Type)
}

func (c *manyClient) read() (*stun.Message, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
	m := &stun.Message{Raw: make([]byte, 1500)}
	n, err := c.conn.Read(m.Raw)
	if err != nil {
		return nil, err
	}
	m.Raw = m.Raw[:n]
	return m, m.Decode()
}
