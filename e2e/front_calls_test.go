package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/turn/v4"
)

// reloaded is a proxy that docs/front.md shows, run so that it can be reloaded.
type reloaded struct {
	tcp    bool // passes TLS on as it is, TURN with it
	long   bool // E2E_LONG=1 alone
	signal syscall.Signal
	begin  func(t *testing.T, s *server, port int) *os.Process
}

var reloadedFronts = map[string]reloaded{
	"nginx, TCP": {tcp: true, long: true, signal: syscall.SIGHUP, begin: func(t *testing.T, s *server, port int) *os.Process {
		const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
		if !exists(module) {
			t.Skip("SKIPPED: nginx has no stream module (apt-get install libnginx-mod-stream)")
		}
		text := recipe(t, "### nginx, by name", "listen 443", fmt.Sprint("listen 127.0.0.1:", port), "127.0.0.1:8443", fmt.Sprint("127.0.0.1:", s.port))
		return masterOfNginx(t, port, "load_module "+module+";", text)
	}},
	"HAProxy, TCP": {tcp: true, signal: syscall.SIGUSR2, begin: func(t *testing.T, s *server, port int) *os.Process {
		text := recipe(t, "### HAProxy, by name", ":443", fmt.Sprint("127.0.0.1:", port), "127.0.0.1:8443", fmt.Sprint("127.0.0.1:", s.port))
		return masterOfHAProxy(t, port, text)
	}},
	"nginx, HTTP": {long: true, signal: syscall.SIGHUP, begin: func(t *testing.T, s *server, port int) *os.Process {
		dir := s.directory(t)
		text := recipe(t, "### nginx", "443", fmt.Sprint("127.0.0.1:", port), "calls.example.org", "localhost", "/etc/ssl/calls.pem", filepath.Join(dir, "cert.pem"), "/etc/ssl/calls.key", filepath.Join(dir, "key.pem"), "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port))
		return masterOfNginx(t, port, "", "http {\naccess_log off;\n"+text+"\n}")
	}},
	"HAProxy, HTTP": {long: true, signal: syscall.SIGUSR2, begin: func(t *testing.T, s *server, port int) *os.Process {
		dir, both := s.directory(t), filepath.Join(t.TempDir(), "calls.pem")
		write(t, both, textOf(t, filepath.Join(dir, "cert.pem"))+textOf(t, filepath.Join(dir, "key.pem")))
		return masterOfHAProxy(t, port, recipe(t, "### HAProxy", ":443", fmt.Sprint("127.0.0.1:", port), "/etc/ssl/calls.pem", both, "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port)))
	}},
}

func masterOfNginx(t *testing.T, port int, ahead, text string) *os.Process {
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf("%s\nuser root;\nworker_processes 1; pid %s/pid; error_log stderr; daemon off;\nevents { worker_connections 2048; }\n%s\n", ahead, dir, text))
	return run(t, []int{port}, program(t, "nginx", "nginx-light"), "-p", dir, "-e", "stderr", "-c", file)
}

func masterOfHAProxy(t *testing.T, port int, text string) *os.Process {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	write(t, file, "defaults\n\ttimeout connect 5s\n\ttimeout client 50s\n\ttimeout server 50s\n"+text+"\n")
	return run(t, []int{port}, program(t, "haproxy", "haproxy"), "-W", "-db", "-f", file)
}

// children are the processes that one has started.
func children(t *testing.T, p *os.Process) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// TestCallsOutliveReload holds calls through a proxy while it is reloaded: of those that
// go on none loses its socket or a packet, and others begin meanwhile.
func TestCallsOutliveReload(t *testing.T) {
	t.Parallel()
	for name, proxy := range reloadedFronts {
		t.Run(name, func(t *testing.T) {
			calls := 10
			if os.Getenv("E2E_LONG") != "" {
				calls = 200
			} else if proxy.long {
				t.Skip("E2E_LONG=1 (make soak) runs this")
			}
			t.Parallel()
			s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}})
			port := freePort(t)
			master := proxy.begin(t, s, port)
			way := s.port // HTTP proxies pass no TURN on
			if proxy.tcp {
				way = port
			}
			var all []*throughFront
			for i := range calls {
				if i == calls/2 {
					old := children(t, master)
					// Said again, since one that comes while the master is still getting ready is lost.
					var said time.Time
					until(t, "another process of the proxy", func() bool {
						if time.Since(said) > 5*time.Second {
							said = time.Now()
							if err := master.Signal(proxy.signal); err != nil {
								t.Fatal(err)
							}
						}
						return slices.ContainsFunc(children(t, master), func(pid string) bool { return !slices.Contains(old, pid) })
					})
				}
				all = append(all, s.callThrough(t, i, port, way, proxy.tcp))
			}
			for _, c := range all {
				c.goesOn(t)
			}
		})
	}
}

// throughFront is a call of two people through a proxy.
type throughFront struct {
	number  int
	sockets [2]*websocket.Conn
	peers   [2]string
	ends    [2]*allocation
	seq     [2]int
}

// callThrough begins one: both are at the hub by the proxy's port, and relay over TLS by
// another, or over UDP by the server's own.
func (s *server) callThrough(t *testing.T, number, port, way int, overTLS bool) *throughFront {
	t.Helper()
	c := &throughFront{number: number}
	for i := range 2 {
		from := fmt.Sprintf("127.0.%d.%d", 1+number/100, 2*(number%100)+i+1)
		dialer := websocket.Dialer{NetDialContext: as(from).DialContext, TLSClientConfig: &tls.Config{RootCAs: s.roots}, Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 20 * time.Second}
		ws, _, err := dialer.Dial(fmt.Sprintf("wss://localhost:%d/ws", port), nil)
		if err != nil {
			t.Fatalf("call %d: %v", number, err)
		}
		t.Cleanup(func() { ws.Close() })
		c.sockets[i] = ws
		if err := ws.WriteJSON(map[string]any{"type": "hello"}); err != nil {
			t.Fatal(err)
		}
		var welcome struct {
			Session string
			Config  struct {
				IceServers []struct{ Username, Credential string }
			}
		}
		c.hear(t, i, "welcome", &welcome)
		c.peers[i] = welcome.Session
		c.say(t, i, map[string]any{"type": "join", "room": fmt.Sprint("call-", number)})
		c.hear(t, i, "joined", nil)
		server := welcome.Config.IceServers[0]
		c.ends[i] = s.relayBy(t, from, way, overTLS, server.Username, server.Credential)
	}
	permit(t, c.ends[0], c.ends[1])
	permit(t, c.ends[1], c.ends[0])
	c.goesOn(t)
	return c
}

// goesOn has both say something to the other, by the hub and by the relay.
func (c *throughFront) goesOn(t *testing.T) {
	t.Helper()
	for i := range 2 {
		c.say(t, i, map[string]any{"type": "signal", "to": c.peers[1-i], "data": map[string]any{"call": c.number}})
		var got struct{ From string }
		if c.hear(t, 1-i, "signal", &got); got.From != c.peers[i] {
			t.Errorf("call %d: a signal from %q", c.number, got.From)
		}
		exchange(t, c.ends[i], c.ends[1-i], 900)
	}
}

func (c *throughFront) say(t *testing.T, i int, message map[string]any) {
	t.Helper()
	c.seq[i]++
	message["seq"] = c.seq[i]
	if err := c.sockets[i].WriteJSON(message); err != nil {
		t.Fatalf("call %d: %v", c.number, err)
	}
}

// hear reads on to a message of a type.
func (c *throughFront) hear(t *testing.T, i int, kind string, into any) {
	t.Helper()
	_ = c.sockets[i].SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		_, text, err := c.sockets[i].ReadMessage()
		if err != nil {
			t.Fatalf("call %d, awaiting %s: %v", c.number, kind, err)
		}
		if strings.HasPrefix(string(text), `{"type":"`+kind+`"`) {
			if into != nil {
				if err := json.Unmarshal(text, into); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
	}
}

// relayBy makes an allocation by a port of this host, from an address of it.
func (s *server) relayBy(t *testing.T, from string, port int, overTLS bool, username, password string) *allocation {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	var conn net.PacketConn
	if overTLS {
		raw, err := as(from).Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		conn = turn.NewSTUNConn(tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: "localhost"}))
	} else {
		socket, err := net.ListenPacket("udp4", from+":0")
		if err != nil {
			t.Fatal(err)
		}
		conn = socket
	}
	client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: address, TURNServerAddr: address, Conn: conn, Username: username, Password: password, Realm: "turnhub"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatalf("allocate: %v\n%s", err, s.log)
	}
	t.Cleanup(func() { _ = relay.Close() })
	return &allocation{client, relay}
}
