package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"turnhub/internal/netaddr"
)

// Config is what a Prober is made of.
type Config struct {
	// Targets returns the URLs to prove. It is asked at every round.
	Targets func() []Target
	// Mint returns credentials of User.
	Mint func() (username, password string)
	// Relay returns the relay's addresses. An address behind 1:1 NAT cannot be
	// reached from the host itself (few NATs send back inside what comes from
	// inside), so the probe connects to its local side, once it is clear that the
	// URL leads there.
	Relay func() []netaddr.RelayAddress
	// Certificate returns the certificate that the server shows to clients that
	// ask for host, nil for none: it is trusted beside the system's authorities.
	Certificate func(host string) *x509.Certificate
	// Changed is called when URLs returns something else than before; may be nil.
	Changed func()
	Logger  *slog.Logger

	Interval time.Duration // between rounds, varied by a tenth; 0: 3 minutes
	Timeout  time.Duration // of one probe; 0: 5 seconds
}

// A State is what is known about one URL.
type State struct {
	URL      string
	Optional bool
	Port     uint16    // see Target
	Proved   bool      // handed out
	Since    time.Time // when Proved last changed
	Probed   time.Time // when it was last tried
	Latency  time.Duration
	// Local is true when the probe connected to the local side of a 1:1 NAT: all
	// but the way through the NAT is proved.
	Local bool
	// Trusted is false for TLS with a certificate that only those accept who have
	// installed its authority.
	Trusted bool
	// NotAfter is when the certificate expires; zero without TLS.
	NotAfter time.Time
	// Failure is why it is not proved, or what is wrong with one of its
	// addresses; nil when all is well.
	Failure *Failure
	// Untried is an IPv6 address of the host that cannot be judged from here, as this
	// machine has no IPv6, while the other works; invalid where there is none.
	Untried netip.Addr
	// Passes and Failures count probes since the start.
	Passes, Failures uint64
}

// A Prober proves the server's URLs again and again. Safe for concurrent use.
type Prober struct {
	cfg     Config
	log     *slog.Logger
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	trigger chan struct{}
	first   chan struct{} // closed after the first round
	once    sync.Once

	mutex  sync.Mutex
	states []State // in the order of the targets
}

const (
	defaultInterval = 3 * time.Minute
	defaultTimeout  = 5 * time.Second
	retryFirst      = 3 * time.Second // after a failure, doubled each time up to the interval
)

// New returns a prober that works when Run is called.
func New(cfg Config) *Prober {
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Prober{cfg: cfg, log: cfg.Logger, lookup: Lookup, trigger: make(chan struct{}, 1), first: make(chan struct{})}
}

// Run probes at once and then from time to time until ctx ends.
func (p *Prober) Run(ctx context.Context) {
	retry := retryFirst
	for {
		healthy := p.round(ctx)
		p.once.Do(func() { close(p.first) })
		wait := p.cfg.Interval*9/10 + rand.N(p.cfg.Interval/5+1)
		if healthy {
			retry = retryFirst
		} else {
			wait = min(retry, wait)
			retry = min(2*retry, p.cfg.Interval)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.trigger:
			timer.Stop()
			retry = retryFirst
		case <-timer.C:
		}
	}
}

// Trigger asks for a round now: an address or a certificate has changed.
func (p *Prober) Trigger() {
	select {
	case p.trigger <- struct{}{}:
	default: // one is asked for already
	}
}

// First is closed when the first round is over.
func (p *Prober) First() <-chan struct{} { return p.first }

// URLs returns what may be handed out to somebody who has come by a TCP port (0: it is not
// known), best first, at most MaxURLs: where that port has a URL of its own, and nothing
// else leads to it, that goes before the last of them.
func (p *Prober) URLs(port uint16) []string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	urls, own := []string{}, ""
	for _, s := range p.states {
		switch {
		case !s.Proved:
		case s.Port == 0:
			urls = append(urls, s.URL)
		case s.Port == port:
			own = s.URL
		}
	}
	if own != "" {
		urls = append(urls[:min(len(urls), MaxURLs-1)], own)
	}
	return urls
}

// States returns what is known about each URL, in the order of preference.
func (p *Prober) States() []State {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return slices.Clone(p.states)
}

// Ready returns nil when clients can be served: at least one URL is proved. The
// error says why not.
func (p *Prober) Ready() error {
	states := p.States()
	var failures []error
	for _, s := range states {
		if s.Proved {
			return nil
		}
		if s.Failure != nil {
			failures = append(failures, s.Failure)
		}
	}
	if len(failures) == 0 {
		return errors.New("no TURN URL has been proved yet")
	}
	return errors.Join(failures...)
}

func proved(states []State) []string {
	urls := []string{}
	for _, s := range states {
		if s.Proved {
			urls = append(urls, s.URL)
		}
	}
	return urls
}

// round probes every target at once and reports whether all is well.
func (p *Prober) round(ctx context.Context) (healthy bool) {
	targets := p.cfg.Targets()
	username, password := p.cfg.Mint()
	next := make([]State, len(targets))
	var group sync.WaitGroup
	for i, target := range targets {
		old := p.state(target.URL)
		group.Go(func() { next[i] = p.probe(ctx, target, old, username, password) })
	}
	group.Wait()
	if ctx.Err() != nil {
		return true // it is not the URLs' fault
	}
	p.mutex.Lock()
	before := proved(p.states)
	p.states = next
	after := proved(p.states)
	p.mutex.Unlock()
	if p.cfg.Changed != nil && !slices.Equal(before, after) {
		p.cfg.Changed()
	}
	for _, s := range next {
		if s.Failure != nil && !s.Optional {
			return false
		}
	}
	return true
}

func (p *Prober) state(url string) State {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, s := range p.states {
		if s.URL == url {
			return s
		}
	}
	return State{}
}

// probe tries one URL by each address family of its host. It is proved when one
// of them works; what is wrong with the other is said all the same. What has been
// proved is withdrawn only when a second try fails too.
func (p *Prober) probe(ctx context.Context, target Target, old State, username, password string) State {
	state := old
	state.URL, state.Optional, state.Port = target.URL, target.Optional, target.Port
	results, failure, untried := p.families(ctx, target, username, password)
	if len(results) == 0 && old.Proved && ctx.Err() == nil {
		p.log.Debug("a proved URL failed once", "url", target.URL, "error", failure)
		results, failure, untried = p.families(ctx, target, username, password)
	}
	if ctx.Err() != nil {
		return old
	}
	now := time.Now()
	state.Probed, state.Failure, state.Untried, state.Proved = now, failure, untried, len(results) > 0
	if state.Proved {
		state.Passes++
		best := results[0]
		state.Latency, state.Local = best.Latency, best.local
		state.NotAfter, state.Trusted = time.Time{}, true
		if len(best.Chain) > 0 {
			state.NotAfter, state.Trusted = best.Chain[0].NotAfter, trusted(best)
		}
	}
	if failure != nil {
		state.Failures++
	}
	if state.Proved != old.Proved || old.Probed.IsZero() {
		state.Since = now
	}
	p.report(old, state)
	return state
}

// report writes what has changed to the log.
func (p *Prober) report(old, state State) {
	if state.Proved && !old.Proved {
		way := "direct"
		if state.Local {
			way = "by the local side of the NAT"
		}
		p.log.Info("URL works", "url", state.URL, "latency", state.Latency.Round(time.Microsecond), "way", way)
		if !state.Trusted {
			p.log.Warn("this URL works only for those who trust the certificate's own authority; with tls.mode acme, or a certificate of a public authority, it works in every browser", "url", state.URL)
		}
	}
	if f := state.Failure; f != nil && (old.Failure == nil || old.Failure.Stage != f.Stage || old.Failure.Err.Error() != f.Err.Error() || old.Proved != state.Proved) {
		level := slog.LevelWarn
		if state.Optional {
			level = slog.LevelDebug
		}
		p.log.Log(context.Background(), level, "URL failed", "url", f.URL, "address", f.Address, "stage", string(f.Stage), "error", f.Err, "remedy", f.Remedy, "handed_out", state.Proved)
	}
	if state.Untried.IsValid() && state.Untried != old.Untried && !state.Optional {
		p.log.Info("this machine or container has no IPv6, so the URL's IPv6 address cannot be tried from here; it works if something passes it on, as Docker's proxy does, and else belongs out of DNS",
			"url", state.URL, "address", state.Untried)
	}
	if state.Failure == nil && old.Failure != nil && old.Proved {
		p.log.Info("URL works by all its addresses again", "url", state.URL)
	}
}

// reached is a result with the way by which it was had.
type reached struct {
	Result
	local bool
}

// families probes the first address of each family. It returns the successes,
// the first failure, and what cannot be judged for want of IPv6.
func (p *Prober) families(ctx context.Context, target Target, username, password string) (results []reached, failure *Failure, untried netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	server, err := ParseURL(target.URL)
	if err != nil {
		return nil, &Failure{URL: target.URL, Stage: StageURL, Err: err, Remedy: "correct public_host"}, untried
	}
	addresses, err := p.lookup(ctx, server.Host)
	if err != nil {
		f := dnsFailure(server, err)
		f.URL = target.URL
		return nil, f, untried
	}
	var tries []netip.Addr
	for _, is4 := range []bool{true, false} {
		if i := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Is4() == is4 }); i >= 0 {
			tries = append(tries, addresses[i])
		}
	}
	type outcome struct {
		result  reached
		failure *Failure
		noIPv6  bool // the failure is this machine's, not the address's
	}
	outcomes := make([]outcome, len(tries))
	var group sync.WaitGroup
	for i, address := range tries {
		group.Go(func() {
			at, local, foreign := p.side(address)
			result, err := RoundTrip(ctx, target.URL, username, password,
				Options{Address: netip.AddrPortFrom(at, server.Port), Roots: p.roots(server)})
			outcomes[i].result = reached{result, local}
			if err != nil && !errors.As(err, &outcomes[i].failure) {
				outcomes[i].failure = &Failure{URL: target.URL, Stage: StageConnect, Err: err, Remedy: "look at the log"}
			}
			outcomes[i].noIPv6 = foreign && address.Is6() && !p.relaysOver6() && lacksIPv6(err)
			if f := outcomes[i].failure; f != nil && foreign && !outcomes[i].noIPv6 && server.Host != address.String() {
				f.Remedy = fmt.Sprintf("%s resolves to %s, which is not this server (%s): correct the DNS record, or relay.external_ip when that address is this server's", server.Host, address, p.own())
			}
		})
	}
	group.Wait()
	for i, o := range outcomes {
		switch {
		case o.failure == nil:
			results = append(results, o.result)
		case o.noIPv6 && len(results) > 0: // IPv4 was first
			untried = tries[i]
		case failure == nil:
			failure = o.failure
		}
	}
	return results, failure, untried
}

// relaysOver6 reports whether the server believes to have IPv6.
func (p *Prober) relaysOver6() bool {
	return slices.ContainsFunc(p.cfg.Relay(), func(r netaddr.RelayAddress) bool { return r.Advertise.Is6() })
}

// side tells where to connect for an address: to itself, or behind 1:1 NAT to the
// local side. foreign is true for an address that is not this host's.
func (p *Prober) side(address netip.Addr) (at netip.Addr, local, foreign bool) {
	relay := p.cfg.Relay()
	for _, r := range relay {
		if r.Advertise == address {
			return r.Bind, r.Bind != r.Advertise, false
		}
	}
	if address.IsLoopback() {
		return address, false, false
	}
	interfaces, _ := net.InterfaceAddrs()
	for _, i := range interfaces {
		if prefix, err := netip.ParsePrefix(i.String()); err == nil && prefix.Addr().Unmap() == address {
			return address, false, false
		}
	}
	return address, false, true
}

// own lists the relay's addresses for a remedy.
func (p *Prober) own() string {
	text := ""
	for _, r := range p.cfg.Relay() {
		if text != "" {
			text += ", "
		}
		text += r.Advertise.String()
	}
	return text
}

// roots are the system's authorities and the server's own certificate, so that
// name and validity are checked whoever signed it.
func (p *Prober) roots(s Server) *x509.CertPool {
	if s.Transport != "tls" || p.cfg.Certificate == nil {
		return nil
	}
	cert := p.cfg.Certificate(s.Host)
	if cert == nil {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AddCert(cert)
	return pool
}

// trusted reports whether the system's authorities vouch for the certificate.
func trusted(r reached) bool {
	intermediates := x509.NewCertPool()
	for _, c := range r.Chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := r.Chain[0].Verify(x509.VerifyOptions{DNSName: r.Host, Intermediates: intermediates})
	return err == nil
}
