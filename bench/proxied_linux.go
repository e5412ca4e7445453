package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"turnhub/bench/load"
)

// What a PROXY header before the first byte costs a relayed stream afterwards: the same
// server, with the header and without it in turn. It should be nothing that can be measured.

var behindProxy = &rival{
	name: "proxied", address: mustAddr("127.12.0.8"), tlsPort: plainPort,
	command: turnhub, proxies: "127.0.0.0/8",
}

var (
	proxiedStreams = []string{"tcp", "tls"}
	proxiedHeaders = []string{"", "v1", "v2"}
)

func proxiedName(transport string) string { return "proxied-" + transport }

// headerName is what figures with a header are kept by.
func headerName(version string) string {
	if version == "" {
		return "none"
	}
	return version
}

func (b *bench) measureProxied(ctx context.Context, wanted func(string) bool) error {
	p, err := behindProxy.start(ctx, b.env, b.env.cpu.server)
	if err != nil {
		return err
	}
	defer p.stop()
	for _, transport := range proxiedStreams {
		name := proxiedName(transport)
		if !wanted(name) {
			continue
		}
		by := make(map[string]*figure)
		b.figures[name] = by
		for round := range b.rounds {
			for i := range proxiedHeaders {
				version := proxiedHeaders[(i+round)%len(proxiedHeaders)]
				f := by[headerName(version)]
				if f == nil {
					f = new(figure)
					by[headerName(version)] = f
				}
				cmd := exec.CommandContext(ctx, filepath.Join(b.env.bin, "turnload"), "media", "-proxied", version,
					"-server", transport+"://"+p.server(transport).Address.String(), "-secret", secret, "-pid", strconv.Itoa(p.pid()),
					"-cpu", strconv.Itoa(b.env.cpu.load), "-duration", b.duration)
				cmd.Stderr = os.Stderr
				text, err := cmd.Output()
				if err != nil {
					return fmt.Errorf("%s with header %q: turnload media: %w", name, version, err)
				}
				if err := appendJSON(&f.Media, text); err != nil {
					return err
				}
			}
		}
	}
	var s strings.Builder
	b.proxiedSection(&s)
	fmt.Print(s.String())
	return nil
}

func (b *bench) proxiedSection(s *strings.Builder) {
	header := false
	for _, transport := range proxiedStreams {
		by := b.figures[proxiedName(transport)]
		if by == nil {
			continue
		}
		if !header {
			header = true
			s.WriteString("## Behind a TCP proxy\n\nThousands of 172 B packets per second of the server's processor time, relayed for 16 clients whose connections begin with a PROXY header, and without one, in turn against one server. The aim is that nothing can be measured.\n\n| | no header | version 1 | version 2 | version 2 to none |\n|---|--:|--:|--:|--:|\n")
		}
		of := func(version string) float64 {
			if by[headerName(version)] == nil {
				return 0
			}
			return median(each(by[headerName(version)].Media, func(r load.Result) float64 { return r.PerCPU / 1000 }))
		}
		fmt.Fprintf(s, "| %s | %.1f | %.1f | %.1f | %.2f |\n", strings.ToUpper(transport), of(""), of("v1"), of("v2"), of("v2")/of(""))
	}
	if header {
		s.WriteString("\n")
	}
}
