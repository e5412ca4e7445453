package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"turnhub/bench/load"
)

// What is passed on by name: turnhub's listen.forward beside HAProxy, as its documentation
// has it done (mode tcp, req.ssl_sni), with what it says about splicing in three ways. The
// fastest of the three is who turnhub is compared with.

const (
	passName  = "www.example.org"
	passPort  = 8443
	passLimit = 1.1 // times the processor time
)

// passUpstream is the other server, in the generator's process.
var passUpstream = netip.MustParseAddrPort("127.12.1.9:8444")

var passConfig = template.Must(template.New("haproxy").Parse(`
global
  nbthread 1
  maxconn 4000
{{- if .Pipe}}
  tune.pipesize {{.Pipe}}
{{- end}}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
{{- range .Options}}
  option {{.}}
{{- end}}
frontend front
  bind {{.Listen}}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend other if { req.ssl_sni -i {{.Name}} }
backend other
  server other {{.Upstream}}
`))

func haproxy(pipe int, options ...string) func(r *rival, e *environment, _ []int) []string {
	return func(r *rival, e *environment, _ []int) []string {
		file, err := os.Create(e.path(r.name + ".cfg"))
		if err == nil {
			defer file.Close()
			err = passConfig.Execute(file, map[string]any{"Pipe": pipe, "Options": options, "Name": passName,
				"Listen": netip.AddrPortFrom(r.address, passPort), "Upstream": passUpstream})
		}
		if err != nil {
			panic(fmt.Sprintf("write HAProxy's configuration: %v", err))
		}
		return []string{"haproxy", "-db", "-f", file.Name()}
	}
}

var passRivals = []*rival{
	{name: "haproxy-copy", address: mustAddr("127.12.1.1"), streamPort: passPort, command: haproxy(0)},
	{name: "haproxy-auto", address: mustAddr("127.12.1.2"), streamPort: passPort, command: haproxy(0, "splice-auto")},
	{name: "haproxy-splice", address: mustAddr("127.12.1.3"), streamPort: passPort, command: haproxy(1<<20, "splice-request", "splice-response")},
	{name: "turnhub", address: mustAddr("127.12.1.4"), streamPort: passPort, command: func(r *rival, e *environment, _ []int) []string {
		text := fmt.Sprintf("public_host: localhost\nlisten: {tcp: [%q], udp: [], admin: \"\", forward: [{host: \"*.example.org\", to: %q}]}\n"+
			"tls: {mode: files, cert_file: %q, key_file: %q}\nlimits: {connections_per_ip: 1000000}\nrelay: {external_ip: 127.0.0.1}\nlog: {level: warn}\nstate_dir: %q\n",
			netip.AddrPortFrom(r.address, passPort), passUpstream, e.path("cert.pem"), e.path("key.pem"), e.path("pass-state"))
		if err := os.WriteFile(e.path("pass.yaml"), []byte(text), 0o600); err != nil {
			panic(fmt.Sprintf("write turnhub's configuration: %v", err))
		}
		return []string{e.path("turnhub"), "serve", "--config", e.path("pass.yaml")}
	}},
}

func passVersion() string { return output("haproxy", "-v") }

// A passRow is what goes through.
type passRow struct {
	kind, title        string
	connections, bytes int
}

var passRows = []passRow{
	{"down", "download, 8 connections at once, 64 MiB each", 8, 64 << 20},
	{"up", "upload, 8 connections at once, 64 MiB each", 8, 64 << 20},
	{"stream", "64 streams of 4 KiB every 20 ms, 512 KiB each", 64, 512 << 10},
	{"short", "4,000 short connections, 16 at a time: 3,000 B, 500 B back, 2,000 B", 4000, 0},
}

func (r passRow) name() string { return "pass-" + r.kind }

// measurePass gives each of them its turn in every round; the order turns too.
func (b *bench) measurePass(ctx context.Context, wanted func(string) bool) error {
	if _, err := exec.LookPath("haproxy"); err != nil {
		return fmt.Errorf("%w: apt-get install haproxy", err)
	}
	processes := make([]*process, 0, len(passRivals))
	defer func() {
		for _, p := range processes {
			p.stop()
		}
	}()
	for _, r := range passRivals {
		p, err := r.start(ctx, b.env, b.env.cpu.server)
		if err != nil {
			return err
		}
		processes = append(processes, p)
	}
	for _, r := range passRows {
		if !wanted(r.name()) {
			continue
		}
		by := make(map[string]*figure)
		b.figures[r.name()] = by
		for round := range b.rounds {
			for i := range processes {
				p := processes[(i+round)%len(processes)]
				if by[p.name] == nil {
					by[p.name] = new(figure)
				}
				cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(b.env.cpu.load), filepath.Join(b.env.bin, "turnload"), "pass",
					"-server", netip.AddrPortFrom(p.address, passPort).String(), "-upstream", passUpstream.String(), "-name", passName,
					"-pid", strconv.Itoa(p.pid()), "-kind", r.kind, "-connections", strconv.Itoa(r.connections), "-bytes", strconv.Itoa(r.bytes))
				cmd.Stderr = os.Stderr
				text, err := cmd.Output()
				if err != nil {
					return fmt.Errorf("%s under %s: turnload pass: %w", p.name, r.name(), err)
				}
				if err := appendJSON(&by[p.name].Pass, text); err != nil {
					return err
				}
			}
		}
	}
	var s strings.Builder
	b.passSection(&s)
	fmt.Print(s.String())
	return nil
}

// cost is the processor time of one connection, in microseconds.
func passCost(f *figure) float64 {
	if f == nil {
		return 0
	}
	return median(each(f.Pass, func(r load.PassResult) float64 { return 1e6 * r.ServerCPU / float64(max(r.Connections, 1)) }))
}

func (b *bench) passSection(s *strings.Builder) {
	header := false
	for _, r := range passRows {
		by := b.figures[r.name()]
		if by == nil {
			continue
		}
		if !header {
			header = true
			fmt.Fprintf(s, "## TLS passed on by name\n\nProcessor time of the server for each connection, in microseconds: turnhub with `listen.forward` beside HAProxy (mode tcp, `req.ssl_sni`, one thread), which copies, splices when it thinks fit (`splice-auto`) or always (`splice-request`, `splice-response`, pipes of 1 MiB). The aim is at most %.1f times the best of the three.\n\n| what goes through | HAProxy, copied | splice-auto | spliced | **turnhub** | ratio | |\n|---|--:|--:|--:|--:|--:|---|\n", passLimit)
		}
		best := 0.0
		fmt.Fprintf(s, "| %s |", r.title)
		for _, rival := range passRivals {
			cost := passCost(by[rival.name])
			if rival.name == "turnhub" {
				fmt.Fprintf(s, " **%.0f** |", cost)
				continue
			}
			fmt.Fprintf(s, " %.0f |", cost)
			if best == 0 || cost < best {
				best = cost
			}
		}
		ratio, mark := passCost(by["turnhub"])/best, "met"
		if ratio > passLimit {
			mark = "missed"
		}
		fmt.Fprintf(s, " %.2f | %s |\n", ratio, mark)
	}
	if header {
		s.WriteString("\n")
	}
}
