package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"turnhub/internal/extaddr"
	"turnhub/web"
	"turnhub/web/admin"
)

// adminHandler is what the admin listener serves.
func (n *node) adminHandler() http.Handler { return admin.New(n.family.admin) }

// adminConfig is what the operator sees and does of this process.
func (n *node) adminConfig() admin.Config {
	health := http.NewServeMux()
	health.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { web.Health(w, n.health) })
	health.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { web.Readiness(w, n.ready, n.urlStates) })
	return admin.Config{
		Version:     softwareVersion(),
		Driver:      string(n.turn.Driver()),
		Kernel:      n.turn.KernelAttachment(),
		Relay:       n.turn,
		Hub:         n.hub,
		Media:       n.media.Stats,
		Probes:      n.probes,
		Ports:       n.mux.Stats,
		Web:         n.web.Stats,
		Certificate: n.certificateEnd,
		Range:       n.relayRange,
		Health:      health,
		Errors:      n.errors,
		Logger:      n.log,
		RevokeNote:  n.revokeNote,
		Nodes:       n.nodes,
		Cluster:     n.clusterStats(),
		Drain:       n.askDrain,
		TokenFile:   n.cfg.Listen.AdminTokenFile,
		Credentials: n.mint,
		Store:       n.eventStore,
		Events:      n.eventStats,
		Push:        n.pusher.stats,
	}
}

// mint makes an RTCConfiguration for a user; ttl 0 is credentials.ttl.
func (n *node) mint(user string, ttl time.Duration) any {
	return web.NewRTCConfiguration(n.prober.URLs(0), n.credentials.Mint, user, cmp.Or(ttl, n.settings().Credentials.TTL))
}

// eventStore is nil while another process has it, or nobody.
func (n *node) eventStore() admin.Store {
	if n.recorder == nil {
		return nil
	}
	if store := n.recorder.store.Load(); store != nil {
		return store
	}
	return nil
}

// probes is the prober's knowledge in the console's form.
func (n *node) probes() []admin.Probe {
	states := n.prober.States()
	all := make([]admin.Probe, len(states))
	for i, s := range states {
		all[i] = admin.Probe{URL: s.URL, Proved: s.Proved, Since: s.Since, Latency: s.Latency, Passes: s.Passes, Failures: s.Failures}
		if s.Failure != nil {
			all[i].Failure = s.Failure.Error()
		}
	}
	return all
}

// urlStates is the same in the form of /readyz.
func (n *node) urlStates() []web.URLState {
	var all []web.URLState
	for _, s := range n.prober.States() {
		state := "works"
		switch {
		case s.Failure != nil:
			state = string(s.Failure.Stage)
		case !s.Proved:
			continue // not tried yet
		}
		if s.Optional && !s.Proved {
			continue // never promised
		}
		all = append(all, web.URLState{URL: s.URL, State: state})
	}
	return all
}

// certificateEnd is when the certificate expires, the zero time without TLS.
func (n *node) certificateEnd() time.Time {
	if n.certs == nil {
		return time.Time{}
	}
	return n.certs.NotAfter()
}

// exposed warns of an admin listener that other machines reach, and that asks for no token.
func exposed(ln net.Listener, tokenFile string) []extaddr.Warning {
	if ln == nil || tokenFile != "" {
		return nil
	}
	if addr, ok := ln.Addr().(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		return nil
	}
	return []extaddr.Warning{{
		Problem: "listen.admin: " + ln.Addr().String() + " is not loopback: whoever reaches it reads the metrics, sees who calls and can end calls; it asks for no password",
		Remedy:  "write 127.0.0.1:9478 and use `ssh -L`, name a token in listen.admin_token_file, or keep the port shut in the firewall",
	}}
}

// serveAdmin serves until ctx ends. Requests that are being answered then get
// adminPatience: an operator who is told that something is done must not be wrong.
func serveAdmin(ctx context.Context, ln net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	answered := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(answered)
		grace, cancel := context.WithTimeout(context.Background(), adminPatience)
		defer cancel()
		_ = server.Shutdown(grace)
		server.Close()
	})
	err := server.Serve(ln)
	if !stop() {
		<-answered
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

const adminPatience = 2 * time.Second
