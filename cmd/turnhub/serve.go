package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"turnhub/internal/config"
)

// stopTimeout bounds an orderly end after the drain.
const stopTimeout = 10 * time.Second

// serve runs the server until a signal ends it: SIGTERM drains for
// drain_timeout, SIGINT does not wait, a second signal ends at once. SIGHUP
// reloads, SIGUSR2 hands over to the binary on disk.
func serve(ctx context.Context, in invocation) error {
	file, _, err := in.flags(0, nil)
	if err != nil {
		return err
	}
	cfg, err := config.Load(file, in.environ)
	if err != nil {
		return err
	}
	collectEarly(len(cfg.Cluster.NATS) > 0)
	log := newLogger(cfg.Log, in.stderr, in.environ)
	if _, err := inspect(cfg); err != nil { // all at once; its warnings come again from who reads the files
		return err
	}
	for _, w := range cfg.Warnings() {
		log.Warn(w.Problem, "remedy", w.Remedy)
	}
	signals, ignore := hangupSignals()
	defer ignore()
	sockets, err := inherit(in.environ)
	if err != nil {
		return err
	}
	predecessor, err := sockets.succession(in.environ)
	if err != nil {
		return err
	}
	n, err := newNode(ctx, cfg, log, sockets)
	if err != nil {
		return err
	}
	n.environ = in.environ
	n.family.generation = predecessor.generation + 1
	if err := predecessor.loaded(n); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.serve(ctx) }()

	go func() {
		select {
		case <-n.prober.First():
		case <-ctx.Done():
			return
		}
		announce(n, in, log.Logger)
		predecessor.ready(n)
	}()

	for {
		var s os.Signal
		select {
		case err := <-ended: // by itself: something is broken
			return err
		case s = <-signals:
		case s = <-n.commands:
		}
		switch s {
		case syscall.SIGUSR2:
			yielded, err := n.upgrade(append([]string{"serve"}, in.args...), in.environ)
			if err != nil && !yielded {
				n.log.Error("the upgrade failed; the old binary goes on", "error", err)
				continue
			}
			if err != nil {
				n.log.Error("the upgrade failed", "error", err)
			}
			if err != nil && n.family.stopped() == nil {
				n.resume()
				continue
			}
			if !n.linger(ctx, signals) {
				continue
			}
		case syscall.SIGHUP:
			done := supervisor{n}.reloading()
			_ = n.reload(in.environ) // it has logged what is wrong
			n.family.reload()
			done()
			continue
		case syscall.SIGTERM:
			supervisor{n}.stopping()
			n.family.end(false)
			if n.drain(ctx, signals) {
				n.family.end(true)
			}
		default:
			supervisor{n}.stopping()
			n.family.end(true)
			n.farewell()
		}
		break
	}
	log.Info("stopping")
	cancel()
	select {
	case err := <-ended:
		return err
	case s := <-signals:
		return fmt.Errorf("ended at once by a second signal (%v)", s)
	case <-time.After(stopTimeout):
		pprof.Lookup("goroutine").WriteTo(in.stderr, 1) // what it waits for
		return errors.New("the server did not end within 10 s; please report this with the goroutines above and the log")
	}
}

// announce says that the server is ready, for people and for programs.
func announce(n *node, in invocation, log *slog.Logger) {
	open := n.openURL()
	urls := n.prober.URLs(0)
	if err := n.prober.Ready(); err != nil {
		log.Error("running, but no TURN URL works; calls that need the relay will fail", "open", open, "error", err)
		return
	}
	log.Info("ready", "open", open, "urls", urls, "version", softwareVersion(), "start", time.Since(n.started).Round(time.Millisecond))
	if f := in.terminal(); f != nil && open != "" {
		welcome(f, n.cfg, open, in.environ)
	}
}

// openURL is what a person types into a browser: on this machine localhost,
// where a browser gives a page the camera without TLS too.
func (n *node) openURL() string {
	if len(n.sockets.tcp) == 0 {
		return ""
	}
	port := n.sockets.tcpAddresses()[0].Port()
	scheme, host, standard := "http", "localhost", uint16(80)
	if n.cfg.TLS.Mode != config.TLSOff {
		scheme, standard = "https", 443
		for _, a := range n.sockets.tcpAddresses() {
			if a.Port() == 443 {
				port = 443
			}
		}
		if host = n.cfg.PublicHost; host == "" {
			host = n.addresses.Relay()[0].Advertise.String()
		}
	}
	if port == standard {
		if addr := net.ParseIP(host); addr != nil && addr.To4() == nil {
			host = "[" + host + "]"
		}
		return scheme + "://" + host + "/"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + "/"
}
