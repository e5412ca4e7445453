package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/cluster"
	"turnhub/internal/access"
	"turnhub/internal/certs"
	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/internal/forwarded"
	"turnhub/internal/netaddr"
	"turnhub/internal/portmux"
	"turnhub/internal/probe"
	"turnhub/internal/ratelimit"
	"turnhub/signaling"
	"turnhub/signaling/media"
	"turnhub/turnsrv"
	turncred "turnhub/turnsrv/credentials"
	"turnhub/turnsrv/policy"
	"turnhub/web"
	"turnhub/web/admin"
)

// node is one running server with everything wired together.
type node struct {
	cfg     *config.Config // as started with
	environ []string
	live    *config.Config // as last reloaded, under reloads
	reloads sync.Mutex
	log     *slog.Logger
	level   *slog.LevelVar
	errors  *admin.Errors // the last ones of log
	started time.Time

	addresses   addresses
	warned      []extaddr.Warning // at start
	credentials *turncred.Secrets
	elders      *elders
	rangeSaid   atomic.Pointer[string] // relay.range
	ttl         atomic.Int64           // the longest credentials.ttl so far, in nanoseconds
	access      *access.Verifier
	certs       certs.Source   // nil: no TLS
	tickets     *certs.Tickets // nil: no TLS
	turn        *turnsrv.Server
	hub         *signaling.Hub
	media       *media.Server
	dialects    []dialect
	proxies     *forwarded.Proxies
	gateway     *netaddr.Gateway // of a container, nil outside one
	rechecker   *rechecker
	refused     ratelimit.Lines // of wrong TURN credentials in the log
	web         *web.Server
	mux         *portmux.Mux
	prober      *probe.Prober
	sockets     sockets
	cluster     *cluster.Cluster // nil: this server is alone
	digests     atomic.Value     // map[string]string, see digestsOf
	busy        busy
	recorder    *recorder // nil: nothing is made of events
	pusher      *pusher   // nil: nobody is rung by push

	pulse    pulse
	draining atomic.Bool
	serving  atomic.Bool
	office   office
	family   *family
	commands chan os.Signal // of `turnhub drain`, as a signal would say it

	// For the goroutine of serve alone, see upgrade.
	listening []net.Listener // TCP and admin, as they are now
	spares    []spare        // of what a successor listens on
	unused    []string       // of what was inherited
}

// newNode makes everything and binds all sockets, but serves nothing yet.
func newNode(ctx context.Context, cfg *config.Config, l logger, in *inherited) (*node, error) {
	log := l.Logger
	n := &node{cfg: cfg, live: cfg, log: log, level: l.level, errors: l.errors, started: time.Now(), rechecker: newRechecker(), commands: make(chan os.Signal, 1)}
	n.family = newFamily(log, 0)
	n.ttl.Store(int64(cfg.Credentials.TTL))
	n.rangeSaid.Store(&cfg.Relay.Range)
	n.proxies = forwarded.New(cfg.Listen.TrustedProxies, log)
	if contained(os.Environ()) {
		n.gateway = netaddr.NewGateway(defaultGateways(), n.tellGateway)
	}
	secrets, warnings, err := cfg.Secrets(true)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.Warn(w.Problem, "remedy", w.Remedy)
	}
	if n.credentials, err = turncred.New(secrets); err != nil {
		return nil, err
	}
	rules := access.Config{
		Open:              cfg.Access.Mode != config.AccessToken,
		RevokedFile:       filepath.Join(cfg.StateDir, "revoked.json"),
		InvitationKeyFile: filepath.Join(cfg.StateDir, "invitation-key"),
		CredentialLife:    func() time.Duration { return time.Duration(n.ttl.Load()) },
		Logger:            log,
	}
	if !rules.Open {
		rules.SecretFile, rules.JWKSFile = cfg.Access.TokenSecretFile, cfg.Access.TokenJWKSFile
	}
	if n.access, err = access.NewVerifier(rules); err != nil {
		return nil, err
	}
	relay, unsure, err := extaddr.Detect(ctx, extaddrOptions(cfg))
	if err != nil {
		return nil, err
	}
	n.warned = unsure
	n.warn(unsure)
	n.addresses.set(relay)
	n.certs, err = certs.Open(certs.Config{
		TLS: cfg.TLS, StateDir: cfg.StateDir, Names: certificateNames(cfg, relay), Listen: cfg.Listen.TCP,
		Changed: func() { n.prober.Trigger() }, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	if n.recorder, err = newRecorder(n); err != nil {
		return nil, err
	}
	if n.pusher, err = newPusher(n); err != nil {
		return nil, err
	}
	n.makeHub(secrets, in.control != nil)
	if err := n.makeTURN(relay, in.kernel); err != nil {
		return nil, err
	}
	n.warn(relayWarnings(cfg, n.turn, relay))
	n.rechecker.recheck, n.rechecker.revoke = n.turn.Recheck, n.turn.Revoke
	if n.sockets, err = listen(ctx, cfg.Listen, n.turn, in); err != nil {
		return nil, err
	}
	for _, err := range n.sockets.missed {
		log.Info("listen.udp: auto goes without an address", "why", err)
	}
	n.unused = in.unused
	n.listening = slices.Clone(n.sockets.tcp)
	if n.sockets.admin != nil {
		n.listening = append(n.listening, n.sockets.admin)
	}
	n.warn(exposed(n.sockets.admin, cfg.Listen.AdminTokenFile))
	n.makeProber()
	if err := n.makeCluster(secrets); err != nil {
		return nil, err
	}
	n.makeWeb()
	n.family.join(n)
	return n, nil
}

func (n *node) warn(warnings []extaddr.Warning) {
	for _, w := range warnings {
		n.log.Warn(w.Problem, "remedy", w.Remedy)
	}
}

func (n *node) makeHub(secrets []string, succeeds bool) {
	n.hub = signaling.NewHub(signaling.Config{
		Limits: hubLimits(n.cfg),
		IceConfig: func(session, _ string, port uint16) (json.RawMessage, time.Duration) {
			return n.web.RTCConfiguration(session, port)
		},
		OnChange: func(sessions ...string) {
			n.rechecker.change(sessions...)
			n.media.Recheck(sessions...)
		},
		OnEnd:          func(session, reason string) { n.media.Ended(session, reason) },
		OnRevoke:       n.rechecker.end,
		OnRoom:         n.roomOpened(),
		OnCall:         n.recorder.onCall(),
		Absent:         n.pusher.absent(),
		Secrets:        secrets,
		Nodes:          n.streams(),
		Seconds:        n.seconds(),
		Succeeds:       succeeds,
		Node:           n.cfg.Cluster.Node,
		Relays:         n.relaysAt,
		Logger:         n.log,
		Access:         n.access,
		AllowedOrigins: n.cfg.Access.AllowedOrigins,
		ClientAddress:  n.proxies.ClientAddress,
		Port:           n.proxies.Port,
		Gateway:        n.gateway,
	})
	if n.pusher != nil {
		n.hub.SetPush(n.pusher.key.Load().Public())
	}
	n.makeMedia()
}

func (n *node) makeTURN(relay []netaddr.RelayAddress, inherited *turnsrv.KernelInheritance) (err error) {
	cfg := turnsrv.Config{
		Realm:       n.cfg.Relay.Realm,
		Software:    "turnhub",
		Credentials: n.credentials,
		Revoked:     n.access.VoidsCredentials,
		Unproved: func(user string) bool {
			return n.access.IsOpen() && !strings.HasPrefix(user, access.SessionPrefix)
		},
		Consumer: n.access.Consumer,
		Gateway:  n.gateway,
		Refused:  n.logRefused,
		Relay:    relay,
		PortMin:  n.cfg.Relay.PortMin,
		PortMax:  n.cfg.Relay.PortMax,
		Sockets:  turnSockets(n.cfg),
		Policy:   n.policy(n.cfg),
		Limits:   turnLimits(n.cfg),
		Driver:   turnsrv.Driver(n.cfg.Relay.Driver),
		Kernel:   turnsrv.Kernel(n.cfg.Relay.Kernel),
		Logger:   n.log,
	}
	if n.recorder != nil {
		cfg.Ended, cfg.NoRoom = n.recorder.ended, n.recorder.noRoom
	}
	cfg.Inherited = inherited
	n.turn, err = turnsrv.New(cfg)
	if err == nil {
		n.elders = newElders(n.turn, n.cfg, n.log)
	}
	return err
}

func (n *node) policy(cfg *config.Config) *policy.Policy {
	mode, _ := policy.ParseMode(cfg.Relay.Peers) // config has checked it
	return policy.New(policy.Config{
		Mode:  mode,
		Allow: cfg.Relay.AllowPeers,
		Deny:  cfg.Relay.DenyPeers,
		Calls: n.hub,
		Own:   n.addresses.Own,
		Proxy: func(addr netip.Addr) bool { return n.proxies.Named(addr) || n.gateway.Is(addr) },
	})
}

func (n *node) makeProber() {
	n.prober = probe.New(probe.Config{
		Targets: func() []probe.Target {
			layout := probe.Layout{
				PublicHost: n.cfg.PublicHost,
				Relay:      n.addresses.Relay(),
				UDP:        n.sockets.udp,
				TCP:        n.sockets.tcpAddresses(),
				TLS:        n.certs != nil,
				Front:      len(n.cfg.Listen.TrustedProxies) > 0,
			}
			return append(probe.Targets(layout), probe.Beside(layout)...)
		},
		Mint: func() (string, string) {
			return n.credentials.Mint(probe.User, time.Now().Add(10*time.Minute))
		},
		Relay:       n.addresses.Relay,
		Certificate: n.certificate,
		Changed:     func() { n.hub.RefreshConfig() },
		Logger:      n.log,
	})
}

// certificate is what clients that ask for host are shown.
func (n *node) certificate(host string) *x509.Certificate {
	if n.certs == nil {
		return nil
	}
	cert, err := n.certs.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	if err != nil || cert == nil {
		return nil
	}
	return cert.Leaf
}

func (n *node) makeWeb() {
	cfg := n.cfg
	pages := web.Config{
		Mint:      n.credentials.Mint,
		URLs:      n.prober.URLs,
		Place:     n.place(),
		Range:     n.relayRange,
		Health:    n.health,
		Ready:     n.ready,
		URLStates: n.urlStates,
		Access:    n.access,
		Proxies:   n.proxies,
		Gateway:   n.gateway,

		Mounts: n.mounts(),

		PublicPath: cfg.PublicPath,
		Privacy:    privacyOf(cfg),

		Secure: n.certs != nil,
		HSTS:   cfg.TLS.Mode == config.TLSACME || cfg.TLS.Mode == config.TLSFiles,
		Logger: n.log,
	}
	n.web = web.New(pages, webSettings(cfg))

	listener := portmux.Config{
		HTTP: certs.HTTPChallenges(n.certs, n.web),
		STUN: func(conn *portmux.Conn, secure bool) {
			transport := turnsrv.TransportTCP
			if secure {
				transport = turnsrv.TransportTLS
			}
			n.turn.ServeStream(conn, transport)
		},
		ConnectionsPerIP: cfg.Limits.ConnectionsPerIP,
		Gateway:          n.gateway,
		Own:              cfg.PublicHost,
		Forwards:         forwards(cfg),
		Proxy:            n.proxies.Named,
		Unnamed:          n.proxies.UnnamedHeader,
		Logger:           n.log,
	}
	if n.certs != nil {
		listener.TLS = certs.ServerTLS(n.certs)
		listener.HTTP = certs.HTTPChallenges(n.certs, n.web)
	}
	n.mux = portmux.New(listener)
	if n.certs != nil {
		n.tickets = certs.OpenTickets(filepath.Join(cfg.StateDir, "ticket-keys"), n.log)
		n.mux.SetTicketKeys(n.tickets.Keys())
	}
}

// ready is what /readyz answers: calls can be made.
func (n *node) ready() []string {
	if n.draining.Load() {
		return []string{"the server is going down"}
	}
	if err := n.prober.Ready(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// serve runs everything until ctx ends, or until a part fails, and returns when
// every goroutine has ended.
func (n *node) serve(ctx context.Context) error {
	n.serving.Store(true)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The relay ends last: what streams carry must not outlive their listener.
	var parts, relay sync.WaitGroup
	relayCtx, endRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer endRelay()
	relay.Go(func() { cancel(part("relay", n.turn.Serve(relayCtx))) })
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil {
				cancel(part(name, err))
			}
		})
	}
	quiet := func(f func(context.Context)) func(context.Context) error {
		return func(ctx context.Context) error { f(ctx); return nil }
	}
	run("hub", n.hub.Serve)
	run("relay ports of older processes", quiet(n.watchElders))
	run("rechecks", quiet(n.rechecker.serve))
	run("memory", quiet(new(memory).serve))
	if n.cluster != nil {
		run("cluster", n.cluster.Serve)
	}
	endRecords := n.recorder.begin(ctx)
	defer endRecords()
	if n.tickets != nil {
		run("session tickets", quiet(func(ctx context.Context) { n.tickets.Serve(ctx, n.mux.SetTicketKeys) }))
	}
	n.office.open(ctx, n.sockets.admin, func(office context.Context, adminListener net.Listener) <-chan struct{} {
		var held sync.WaitGroup
		hold := func(name string, f func(context.Context) error) {
			held.Go(func() {
				if err := f(office); err != nil {
					cancel(part(name, err))
				}
			})
		}
		hold("probes", quiet(n.prober.Run))
		hold("addresses", quiet(n.watchAddresses))
		hold("supervision", quiet(supervisor{n}.serve))
		if n.certs != nil {
			hold("certificate", quiet(n.certs.Serve))
		}
		if n.recorder != nil {
			hold("events", quiet(n.serveEvents))
		}
		if n.pusher != nil {
			n.pusher.openSoon(office)
			hold("push", quiet(n.pusher.serve))
		}
		if adminListener != nil {
			hold("admin listener", func(ctx context.Context) error { return serveAdmin(ctx, adminListener, n.adminHandler()) })
		}
		ended := make(chan struct{})
		parts.Go(func() {
			held.Wait()
			close(ended)
		})
		return ended
	})
	// Last, when the store of push is open: it says whose a name is.
	run("listeners", func(ctx context.Context) error { return n.mux.Serve(ctx, n.sockets.tcp...) })
	<-ctx.Done()
	n.office.close()
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer stop()
	for _, d := range n.dialects {
		parts.Go(func() { d.Close(grace) })
	}
	parts.Wait()
	endRecords()
	endRelay()
	relay.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// part names the part that failed; nil when it did not.
func part(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the %s failed: %w; restart the server, and report this if it happens again", name, err)
}

// watchAddresses follows the host's addresses.
func (n *node) watchAddresses(ctx context.Context) {
	relay := n.addresses.Relay()
	var group sync.WaitGroup
	group.Go(func() {
		extaddr.Watch(ctx, extaddrOptions(n.cfg), relay, n.warned, func(relay []netaddr.RelayAddress, warnings []extaddr.Warning) {
			n.warn(warnings)
			n.addresses.set(relay)
			n.turn.SetRelay(relay)
			n.prober.Trigger()
		})
	})
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			group.Wait()
			return
		case <-tick.C:
			n.addresses.look()
		}
	}
}

// settings is the configuration as last reloaded.
func (n *node) settings() *config.Config {
	n.reloads.Lock()
	defer n.reloads.Unlock()
	return n.live
}
