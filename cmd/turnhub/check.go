package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/internal/probe"
	"turnhub/turnsrv"
	turncred "turnhub/turnsrv/credentials"
)

// checkTimeout bounds a whole check.
const checkTimeout = 40 * time.Second

// idleTime is for how long a proxy must leave a quiet socket open.
const idleTime = 65 * time.Second

// check goes the way of a browser: with a URL to any server from anywhere, else to
// the one of the configuration.
func check(ctx context.Context, in invocation) error {
	var self, idle bool
	file, others, err := in.flags(1, func(f *flag.FlagSet) {
		f.BoolVar(&self, "self", false, "ask only whether the server on this machine answers, as a health check does")
		f.BoolVar(&idle, "idle", false, "see too whether a quiet socket stays open, which takes a minute")
	})
	if err != nil {
		return err
	}
	if self {
		if len(others) > 0 {
			return usageError{"either --self or a URL"}
		}
		if idle {
			return usageError{"either --self or --idle"}
		}
		cfg, err := config.Load(file, in.environ)
		if err != nil {
			return err
		}
		return checkSelf(ctx, cfg, in)
	}
	most := checkTimeout
	if idle {
		most += idleTime
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	// An interrupted check gives back what it has made before it ends.
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	var cfg probe.CheckConfig
	var own []probe.Row
	switch {
	case len(others) == 1 && file != "":
		return usageError{"either --config or a URL"}
	case len(others) == 1:
		cfg.URL = others[0]
	default:
		configured, err := in.load(file)
		if err != nil {
			return err
		}
		if cfg, err = checkOwn(ctx, configured, in); err != nil {
			return err
		}
		own = append(own, checkDriver(configured), checkKernel(configured))
		own = append(own, checkCluster(ctx, configured)...)
		own = append(own, checkWebhooks(ctx, configured)...)
	}
	if idle {
		cfg.Idle = idleTime
	}
	rows := append(probe.Check(ctx, cfg), own...)
	if ctx.Err() == context.Canceled {
		return errors.New("interrupted")
	}
	printRows(in.stdout, rows)
	if !probe.Succeeded(rows) {
		wrong := "the server believes what anybody can forge"
		if probe.CallsFail(rows) {
			wrong = "calls would fail"
		}
		fmt.Fprintf(in.stderr, "turnhub check: %s; the table says why and what to do\n", wrong)
		return errSilent
	}
	return nil
}

// checkOwn says what a configuration leads to.
func checkOwn(ctx context.Context, cfg *config.Config, in invocation) (probe.CheckConfig, error) {
	relay, warnings, err := extaddr.Detect(ctx, extaddrOptions(cfg))
	if err != nil {
		return probe.CheckConfig{}, err
	}
	for _, w := range warnings {
		fmt.Fprintln(in.stderr, "turnhub check:", w)
	}
	layout, err := configuredLayout(cfg, relay)
	if err != nil {
		return probe.CheckConfig{}, err
	}
	own := probe.CheckConfig{URL: siteOf(cfg, layout), Targets: probe.Targets(layout), Side: layout.Side, Roots: ownRoots(cfg)}
	if secrets, _, err := cfg.Secrets(false); err != nil {
		fmt.Fprintln(in.stderr, "turnhub check: only what the server hands out is tried:", err)
	} else if minter, err := turncred.New(secrets); err == nil {
		own.Mint = func() (string, string) { return minter.Mint(probe.User, time.Now().Add(10*time.Minute)) }
	}
	if cfg.Access.Mode == config.AccessToken && cfg.Access.TokenSecretFile != "" && own.URL != "" {
		token, err := access.Mint(cfg.Access.TokenSecretFile, "turnhub-check", nil, time.Now().Add(10*time.Minute))
		if err != nil {
			return probe.CheckConfig{}, err
		}
		own.URL += "?" + url.Values{"token": {token}}.Encode()
	}
	return own, nil
}

// checkDriver says how the relay would send and receive if this process were the server.
func checkDriver(cfg *config.Config) probe.Row {
	row := probe.Row{Verdict: probe.OK, Subject: "relay.driver"}
	driver, why, err := turnsrv.ChooseDriver(turnsrv.Driver(cfg.Relay.Driver))
	if err != nil {
		row.Verdict, row.Detail, row.Remedy = probe.Failed, err.Error(), "The server would not start: let relay.driver be auto."
		return row
	}
	row.Detail = string(driver) + ": " + why
	return row
}

// checkKernel says whether packets would pass inside the kernel if this process were the
// server: what it may do depends on who has started it.
func checkKernel(cfg *config.Config) probe.Row {
	row := probe.Row{Verdict: probe.OK, Subject: "relay.kernel"}
	wanted := turnsrv.Kernel(cfg.Relay.Kernel)
	if wanted == turnsrv.KernelOff {
		row.Detail = "off: configured"
		return row
	}
	switch how, err := turnsrv.TryKernel(wanted); {
	case err == nil:
		row.Detail = "on: " + how
	case wanted == turnsrv.KernelOn, wanted == turnsrv.KernelClsact:
		row.Verdict, row.Detail = probe.Failed, err.Error()
		row.Remedy = "The server would not start if it may do no more than this process: let relay.kernel be auto, or see docs/kernel.md."
	default:
		row.Detail = "off: " + err.Error()
	}
	return row
}

// siteOf is the URL of the pages; empty when no TCP port is listened on. Below a path it is
// there, whether or not a proxy takes the path off.
func siteOf(cfg *config.Config, layout probe.Layout) string {
	if site := layout.Site(); site != "" {
		return site + cfg.PublicPath
	}
	return ""
}

// ownRoots are the certificates that this server's configuration vouches for:
// whether browsers accept them is said in the table.
func ownRoots(cfg *config.Config) []*x509.Certificate {
	file := ""
	switch cfg.TLS.Mode {
	case config.TLSSelfSigned:
		file = filepath.Join(cfg.StateDir, "tls", "ca.pem")
	case config.TLSFiles:
		file = cfg.TLS.CertFile
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // then the system's authorities must do
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return []*x509.Certificate{cert}
}

// printRows writes the table, and under each line that is not well what to do.
func printRows(w io.Writer, rows []probe.Row) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		took := ""
		if row.Took > 0 {
			took = row.Took.Round(10 * time.Microsecond).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", row.Verdict, row.Subject, took, row.Detail)
	}
	table.Flush()
	for _, row := range rows {
		if row.Verdict != probe.OK && row.Remedy != "" {
			fmt.Fprintf(w, "\n%s  %s\n      %s\n", row.Verdict, row.Subject, row.Remedy)
		}
	}
}
