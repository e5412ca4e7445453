package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"turnhub/bench/load"
)

const (
	secret    = "bench-secret-that-all-servers-share"
	plainPort = 3478
	tlsPort   = 5349
)

// A rival is one server program. Each has a loopback address of its own, so
// that all can use the same ports at the same time.
type rival struct {
	name    string
	address netip.Addr
	command func(r *rival, e *environment, cpus []int) []string
	tlsPort uint16
	// streamPort is set where nothing but a TCP port is there to wait for.
	streamPort uint16
	// needs is an environment variable that names its program: without it the rival is
	// left out.
	needs string
	// oneAddress marks a server that gives all clients the same relayed address.
	oneAddress bool
	// raw marks the forwarder, which is no TURN server: it takes part in the rows
	// that say so, as a yardstick.
	raw bool
	// namespace is where it runs; empty: here.
	namespace string
	// kernel has packets of running calls pass inside the kernel (relay.kernel).
	kernel  string
	nats    string // where it meets other nodes; empty: it is alone
	proxies string // network whose PROXY headers it believes; empty: none
	version func(e *environment) string
}

// An environment is what all rivals share in one run of the benchmark.
type environment struct {
	bin string // our built programs
	dir string // throw-away state
	cpu struct{ server, load int }
	// plain leaves TLS away in the hub's rows.
	plain bool
}

var rivals = []*rival{
	{
		name: "coturn", address: mustAddr("127.12.0.1"), tlsPort: tlsPort, command: coturn,
		version: func(*environment) string { return "coturn " + output("turnserver", "--version") },
	},
	{
		name: "coturn-new", address: mustAddr("127.12.0.5"), tlsPort: tlsPort, command: coturnNew(),
		needs: newCoturn, version: newCoturnVersion(", with its defaults"),
	},
	{
		name: "coturn-mux", address: mustAddr("127.12.0.6"), tlsPort: tlsPort, command: coturnNew("--multiplex-peer", "--udp-gso"),
		needs: newCoturn, oneAddress: true,
		version: newCoturnVersion(" with --multiplex-peer --udp-gso: one relayed address for all clients, which RFC 8656 does not allow"),
	},
	{
		name: "turnhub", address: mustAddr("127.12.0.2"), tlsPort: plainPort, command: turnhub,
		version: func(e *environment) string { return output(e.path("turnhub"), "version") },
	},
	{
		name: "pion4", address: mustAddr("127.12.0.3"), tlsPort: tlsPort, command: pion,
		version: func(e *environment) string { return "pion/turn " + moduleVersion("github.com/pion/turn/v4") },
	},
	{
		name: "pion5", address: mustAddr("127.12.0.4"), tlsPort: tlsPort, command: pion,
		version: func(e *environment) string { return "pion/turn " + moduleVersion("github.com/pion/turn/v5") },
	},
	{
		name: "forwarder", address: mustAddr("127.12.0.9"), raw: true,
		command: func(r *rival, e *environment, _ []int) []string {
			return []string{filepath.Join(e.bin, "forwarder"), "-address", r.server("udp").Address.String()}
		},
		version: func(*environment) string {
			return "recvmmsg and sendmmsg in one thread, no protocol (bench/load/forward_linux.go)"
		},
	},
}

func pion(r *rival, e *environment, cpus []int) []string {
	address := netip.AddrPortFrom(r.address, plainPort).String()
	return []string{
		filepath.Join(e.bin, r.name), "-address", address, "-tls-address", netip.AddrPortFrom(r.address, tlsPort).String(),
		"-secret", secret, "-threads", strconv.Itoa(len(cpus)), "-cert", e.path("cert.pem"), "-key", e.path("key.pem"),
	}
}

// turnhubConfig opens the quotas, which are on by default, as coturn and pion
// have none by default; they are still checked.
var turnhubConfig = template.Must(template.New("config").Parse(`
listen: {tcp: ["{{.IP}}:3478"], udp: ["{{.IP}}:3478"], admin: "{{.IP}}:9478"{{with .Proxies}}, trusted_proxies: [{{.}}]{{end}}}
tls: {mode: files, cert_file: {{.Dir}}/cert.pem, key_file: {{.Dir}}/key.pem}
relay: {realm: bench, external_ip: {{.IP}}, bind_ip: {{.IP}}, port_min: 10000, port_max: 65535, peers: any, allow_peers: [127.0.0.0/8, {{.Peers}}], kernel: {{.Kernel}}}
credentials: {secrets: ["{{.Secret}}"]}
limits:
  allocations_per_user: 1000000
  allocations_per_ip: 1000000
  bandwidth_per_allocation: 4GB/s
  packets_per_allocation: 1000000000/s
  new_peers_per_allocation: 1000000/s
  unauthenticated_per_prefix: 1000000/s
  connections_per_ip: 1000000
  messages_per_second: 1000000
{{with .NATS}}cluster: {nats: ["{{.}}"], node: {{$.State}}, url: "https://{{$.IP}}:3478"}
{{end}}log: {level: warn}
state_dir: {{.Dir}}/state-{{.State}}
`))

func turnhub(r *rival, e *environment, _ []int) []string {
	file, err := os.Create(e.path(r.name + ".yaml"))
	if err == nil {
		defer file.Close()
		err = turnhubConfig.Execute(file, map[string]string{"IP": r.address.String(), "Dir": e.dir, "Secret": secret,
			"Peers": labSubnets, "Kernel": cmp.Or(r.kernel, "off"), "State": r.name, "Proxies": r.proxies, "NATS": r.nats})
	}
	if err != nil {
		panic(fmt.Sprintf("write turnhub's configuration: %v", err))
	}
	return []string{e.path("turnhub"), "serve", "--config", file.Name()}
}

// server returns where the rival listens for a transport.
func (r *rival) server(transport string) load.Server {
	port := uint16(plainPort)
	if transport == "tls" {
		port = r.tlsPort
	}
	return load.Server{Transport: transport, Address: netip.AddrPortFrom(r.address, port)}
}

func (e *environment) path(name string) string { return filepath.Join(e.dir, name) }

// A process is a started rival.
type process struct {
	*rival
	cmd  *exec.Cmd
	done chan error
}

// start starts the rival on the given processors and waits until it answers.
func (r *rival) start(ctx context.Context, e *environment, cpus ...int) (*process, error) {
	list := make([]string, len(cpus))
	for i, cpu := range cpus {
		list[i] = strconv.Itoa(cpu)
	}
	args := append([]string{"-c", strings.Join(list, ",")}, r.command(r, e, cpus)...)
	log, err := os.Create(e.path(r.name + ".log"))
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", r.name, err)
	}
	defer log.Close()
	p := &process{rival: r, cmd: exec.Command("taskset", args...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.name, err)
	}
	go func() {
		p.done <- p.cmd.Wait()
		close(p.done)
	}()
	// coturn 4.17 shuffles its ports for five seconds of processor time first.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := r.ready(ctx); err != nil {
		p.stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%s: %w\n%s", r.name, err, text)
	}
	return p, nil
}

// ready waits until the rival answers.
func (r *rival) ready(ctx context.Context) error {
	if r.streamPort > 0 {
		for {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(r.address, r.streamPort).String())
			if err == nil {
				return conn.Close()
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if r.raw {
		return nil // its clients ask until it answers
	}
	for _, transport := range []string{"udp", "tls"} {
		if err := r.within(func() error { return load.Ping(ctx, r.server(transport)) }); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid } // taskset becomes the server

// stop ends the server and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }

func rivalNamed(name string) *rival {
	for _, r := range rivals {
		if r.name == name {
			return r
		}
	}
	return nil
}

// output is the first line that a program writes.
func output(name string, args ...string) string {
	first, _, _ := strings.Cut(outputAll(name, args...), "\n")
	return first
}

func outputAll(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil && len(text) == 0 {
		return "not there: " + err.Error()
	}
	return strings.TrimSpace(string(text))
}

func moduleVersion(path string) string {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path)
	cmd.Dir = filepath.Join("bench", "rivals")
	text, err := cmd.Output()
	if err != nil {
		return "not there: " + err.Error()
	}
	return strings.TrimSpace(string(text))
}

// chooseRivals picks rivals by name; a rival that cannot be run is an error.
func chooseRivals(names string) ([]*rival, error) {
	var chosen []*rival
	for name := range strings.SplitSeq(names, ",") {
		r := rivalNamed(name)
		if r == nil {
			return nil, fmt.Errorf("rival %q: there are %s", name, allRivals)
		}
		if r.missing() {
			fmt.Fprintf(os.Stderr, "bench: %s is not measured: %s names no program\n", name, r.needs)
		}
		chosen = append(chosen, r)
	}
	if len(chosen) == 0 {
		return nil, errors.New("no rival chosen")
	}
	return chosen, nil
}
