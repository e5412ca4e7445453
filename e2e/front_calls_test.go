package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/turn/v4"
)

// reloaded is a proxy that docs/front.md shows, run so that it can be reloaded.
type reloaded struct {
	tcp    bool // passes TLS on as it is, TURN with it
	long   bool // E2E_LONG=1 alone
	closes bool // its reload ends WebSockets, whose sessions come back
	// begin starts it and returns what reloads it, and then waits until it has reloaded.
	begin func(t *testing.T, s *server, port int) (reload func())
}

var reloadedFronts = map[string]reloaded{
	"nginx, TCP": {tcp: true, long: true, begin: func(t *testing.T, s *server, port int) func() {
		const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
		if !exists(module) {
			t.Skip("SKIPPED: nginx has no stream module (apt-get install libnginx-mod-stream)")
		}
		text := recipe(t, "### nginx, by name", "listen 443", fmt.Sprint("listen 127.0.0.1:", port), "127.0.0.1:8443", fmt.Sprint("127.0.0.1:", s.port))
		return masterOfNginx(t, port, "load_module "+module+";", text)
	}},
	"HAProxy, TCP": {tcp: true, begin: func(t *testing.T, s *server, port int) func() {
		text := recipe(t, "### HAProxy, by name", ":443", fmt.Sprint("127.0.0.1:", port), "127.0.0.1:8443", fmt.Sprint("127.0.0.1:", s.port))
		return masterOfHAProxy(t, port, text)
	}},
	"nginx, HTTP": {long: true, begin: func(t *testing.T, s *server, port int) func() {
		dir := s.directory(t)
		text := recipe(t, "### nginx", "443", fmt.Sprint("127.0.0.1:", port), "calls.example.org", "localhost", "/etc/ssl/calls.pem", filepath.Join(dir, "cert.pem"), "/etc/ssl/calls.key", filepath.Join(dir, "key.pem"), "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port))
		return masterOfNginx(t, port, "", "http {\naccess_log off;\n"+text+"\n}")
	}},
	"HAProxy, HTTP": {long: true, begin: func(t *testing.T, s *server, port int) func() {
		dir, both := s.directory(t), filepath.Join(t.TempDir(), "calls.pem")
		write(t, both, textOf(t, filepath.Join(dir, "cert.pem"))+textOf(t, filepath.Join(dir, "key.pem")))
		return masterOfHAProxy(t, port, recipe(t, "### HAProxy", ":443", fmt.Sprint("127.0.0.1:", port), "/etc/ssl/calls.pem", both, "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", s.port)))
	}},
	"Apache, HTTP": {long: true, begin: func(t *testing.T, s *server, port int) func() {
		return bySignal(t, beginApache(t, s.directory(t), s.port, port, ""), syscall.SIGUSR1)
	}},
	"Caddy, HTTP": {long: true, closes: true, begin: func(t *testing.T, s *server, port int) func() {
		program(t, "caddy", "caddy")
		return beginCaddy(t, s.directory(t), s.port, port, "")
	}},
	"Traefik, HTTP": {long: true, begin: func(t *testing.T, s *server, port int) func() {
		return beginTraefik(t, traefikHTTP(t, s.directory(t), s.port, ""), port)
	}},
	"Traefik, TCP": {tcp: true, long: true, begin: func(t *testing.T, s *server, port int) func() {
		return beginTraefik(t, traefikTCP(t, s.port, freePort(t), 2), port)
	}},
}

func masterOfNginx(t *testing.T, port int, ahead, text string) (reload func()) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf("%s\nuser root;\nworker_processes 1; pid %s/pid; error_log stderr; daemon off;\nevents { worker_connections 2048; }\n%s\n", ahead, dir, text))
	return bySignal(t, run(t, []int{port}, program(t, "nginx", "nginx-light"), "-p", dir, "-e", "stderr", "-c", file), syscall.SIGHUP)
}

func masterOfHAProxy(t *testing.T, port int, text string) (reload func()) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	write(t, file, "defaults\n\ttimeout connect 5s\n\ttimeout client 50s\n\ttimeout server 50s\n"+text+"\n")
	return bySignal(t, run(t, []int{port}, program(t, "haproxy", "haproxy"), "-W", "-db", "-f", file), syscall.SIGUSR2)
}

// bySignal reloads a proxy that starts other processes for it.
func bySignal(t *testing.T, master *os.Process, signal syscall.Signal) (reload func()) {
	return func() {
		old := children(t, master)
		// Said again, since one that comes while the master is still getting ready is lost.
		var said time.Time
		until(t, "another process of the proxy", func() bool {
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				if err := master.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			return slices.ContainsFunc(children(t, master), func(pid string) bool { return !slices.Contains(old, pid) })
		})
	}
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
			reload := proxy.begin(t, s, port)
			way := s.port // HTTP proxies pass no TURN on
			if proxy.tcp {
				way = port
			}
			var all []*throughFront
			for i := range calls {
				if i == calls/2 {
					reload()
				}
				all = append(all, s.callThrough(t, i, port, way, proxy))
			}
			for _, c := range all {
				c.goesOn(t)
			}
			if returned := sockets(all); proxy.closes != (returned > 0) {
				t.Errorf("%d sockets had to be opened anew", returned)
			}
		})
	}
}

// throughFront is a call of two people through a proxy.
type throughFront struct {
	number int
	people [2]*atHub
	ends   [2]*allocation
}

// callThrough begins one: both are at the hub by the proxy's port, and relay over TLS by
// another, or over UDP by the server's own.
func (s *server) callThrough(t *testing.T, number, port, way int, proxy reloaded) *throughFront {
	t.Helper()
	c := &throughFront{number: number}
	for i := range 2 {
		from := fmt.Sprintf("127.0.%d.%d", 1+number/100, 2*(number%100)+i+1)
		person := &atHub{server: s, number: number, from: from, port: port, returns: proxy.closes}
		c.people[i] = person
		person.open(t)
		person.say(t, map[string]any{"type": "join", "room": fmt.Sprint("call-", number)})
		person.hear(t, "joined", nil)
		c.ends[i] = s.relayBy(t, from, way, proxy.tcp, person.username, person.password)
	}
	permit(t, c.ends[0], c.ends[1])
	permit(t, c.ends[1], c.ends[0])
	c.goesOn(t)
	return c
}

// goesOn has both say something to the other, by the hub and by the relay.
func (c *throughFront) goesOn(t *testing.T) {
	t.Helper()
	for i, person := range c.people {
		other := c.people[1-i]
		person.say(t, map[string]any{"type": "signal", "to": other.session, "data": map[string]any{"call": c.number}})
		var got struct{ From string }
		if other.hear(t, "signal", &got); got.From != person.session {
			t.Errorf("call %d: a signal from %q", c.number, got.From)
		}
		exchange(t, c.ends[i], c.ends[1-i], 900)
	}
}

// sockets are those that were opened anew.
func sockets(all []*throughFront) (returned int) {
	for _, c := range all {
		returned += c.people[0].returned + c.people[1].returned
	}
	return returned
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
