package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"turnhub/internal/netaddr"
)

// Verdict is the outcome of one line of a check.
type Verdict string

// The verdicts. Only Failed means that calls would fail, or that the server
// believes what anybody can forge.
const (
	OK      Verdict = "ok"
	Failed  Verdict = "FAIL"
	Warned  Verdict = "warn"
	Skipped Verdict = "skip"
	Noted   Verdict = "note" // nothing to do, and nothing that can be tried from here
)

// A Row is one line of a check's table.
type Row struct {
	Verdict Verdict
	Subject string        // what was tried
	Took    time.Duration // zero when it does not apply
	Detail  string
	Remedy  string // for everything but OK
	Trust   bool   // of a Failed one: calls would work, but the server believes what anybody can forge

	over string     // the transport of a TURN URL that works: udp, tcp or tls
	seen netip.Addr // where the server sees this machine by it
}

// CheckConfig says what to check and what is known about it.
type CheckConfig struct {
	// URL is the server's address for browsers, such as https://turn.example.org,
	// with ?token= where it wants one.
	URL string
	// Targets are URLs that must work whether or not the server hands them out.
	Targets []Target
	// Mint returns credentials where they are known without the server's help; nil:
	// only those that it hands out are used.
	Mint func() (username, password string)
	// Side maps an address to where this machine reaches it, for a check on the
	// server itself behind NAT; nil: as it is.
	Side func(netip.Addr) (at netip.Addr, local bool)
	// Idle is for how long a signaling socket must stay open on which the client says
	// nothing, and a minute's silence is tried beside it; 0: neither is tried.
	Idle time.Duration
	// Roots are trusted beside the system's authorities; nil: none.
	Roots []*x509.Certificate
}

// eachTimeout bounds every single step of a check.
const eachTimeout = 8 * time.Second

// Check goes the way of a browser: it fetches /config, proves each URL with the
// credentials from there, opens the signaling socket, and sees whether relayed
// addresses can be reached from this machine. It returns a table.
func Check(ctx context.Context, cfg CheckConfig) []Row {
	c := &checker{cfg: cfg, roots: pool(cfg.Roots)}
	if cfg.URL == "" { // a server that listens on no TCP port has TURN alone
		return c.urls(ctx, iceConfig{})
	}
	site, err := parseSite(cfg.URL)
	if err != nil {
		return []Row{{Verdict: Failed, Subject: cfg.URL, Detail: err.Error(), Remedy: "write the address that people open in the browser, such as https://turn.example.org"}}
	}
	ice, row := c.fetch(ctx, site)
	said := make(chan Row, 1)
	go func() { // it takes a second
		defer close(said)
		if !ice.fetched {
			return
		}
		if row, ok := c.streamed(ctx, site); ok {
			said <- row
		}
	}()
	rows := append([]Row{row}, c.front(ctx, site, ice)...)
	turn := c.urls(ctx, ice)
	rows = append(rows, turn...)
	if ice.fetched {
		rows = append(rows, c.hiddenClient(ctx, site, turn)...)
	}
	socket, pair := c.signaling(ctx, site)
	for row := range said {
		rows = append(rows, row)
	}
	rows = append(rows, socket)
	if pair == nil {
		return rows
	}
	defer pair.close()
	rows = append(rows, c.reach(ctx, pair, rows, ice.Range))
	if cfg.Idle > 0 {
		rows = append(rows, c.idles(ctx, site)...)
	}
	return rows
}

// CallsFail reports whether a line says that calls would fail.
func CallsFail(rows []Row) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { return r.Verdict == Failed && !r.Trust })
}

// Succeeded reports whether calls would work, and the server believes nobody wrongly.
func Succeeded(rows []Row) bool {
	return !slices.ContainsFunc(rows, func(r Row) bool { return r.Verdict == Failed })
}

type checker struct {
	cfg   CheckConfig
	roots *x509.CertPool // nil: the system's alone
	first []byte         // before all else on each connection for HTTP
	proxy string         // that has shown itself in front, see proxyOf
}

func pool(extra []*x509.Certificate) *x509.CertPool {
	if len(extra) == 0 {
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, cert := range extra {
		roots.AddCert(cert)
	}
	return roots
}

// urls proves what the server hands out and what it should.
func (c *checker) urls(ctx context.Context, ice iceConfig) []Row {
	type job struct {
		url, username, password string
		optional, missing       bool
	}
	var jobs []job
	for _, server := range ice.Servers {
		for _, url := range server.URLs {
			jobs = append(jobs, job{url: url, username: server.Username, password: server.Credential})
		}
	}
	if c.cfg.Mint != nil {
		username, password := c.cfg.Mint()
		for _, target := range c.cfg.Targets {
			if !slices.ContainsFunc(jobs, func(j job) bool { return j.url == target.URL }) {
				jobs = append(jobs, job{target.URL, username, password, target.Optional, true})
			}
		}
	}
	rows := make([]Row, len(jobs))
	var group sync.WaitGroup
	for i, j := range jobs {
		group.Go(func() {
			rows[i] = c.url(ctx, j.url, j.username, j.password)
			switch {
			case rows[i].Verdict == Failed && j.optional:
				rows[i].Verdict = Skipped
			case rows[i].Verdict == OK && j.missing && !j.optional && c.cfg.URL != "":
				rows[i] = Row{Verdict: Warned, Subject: j.url, Took: rows[i].Took, Detail: rows[i].Detail + ", but /config does not hand it out", Remedy: "the running server could not prove it; its log says why, and it tries again by itself"}
			}
		})
	}
	group.Wait()
	excuseSecondUDP(rows)
	seeProxies(rows)
	if len(jobs) == 0 && ice.fetched {
		rows = append(rows, Row{Verdict: Failed, Subject: "TURN", Detail: "the server hands out no URL: it could not prove any" + ice.reasons, Remedy: "see /readyz and the server's log, where each failure has its remedy"})
	}
	return rows
}

// excuseSecondUDP calls a UDP port that cannot be reached no failure where another can:
// each opens the way to nearly all networks.
func excuseSecondUDP(rows []Row) {
	udp := func(r Row, v Verdict) bool {
		s, err := ParseURL(r.Subject)
		return err == nil && s.Scheme == "turn" && s.Transport == "udp" && r.Verdict == v
	}
	for i := range rows {
		if udp(rows[i], Failed) && slices.ContainsFunc(rows, func(r Row) bool { return udp(r, OK) }) {
			rows[i].Verdict = Warned
			rows[i].Remedy += "; calls work by the other UDP port: a second one helps where networks let only 443 (QUIC) out over UDP, or all but 443"
		}
	}
}

// url proves one URL by each address family of its host that this machine has.
func (c *checker) url(ctx context.Context, url, username, password string) Row {
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	server, err := ParseURL(url)
	if err != nil {
		return failureRow(url, &Failure{URL: url, Stage: StageURL, Err: err, Remedy: "correct public_host"})
	}
	addresses, err := Lookup(ctx, server.Host)
	if err != nil {
		return failureRow(url, dnsFailure(server, err))
	}
	var row Row
	for _, is4 := range []bool{true, false} {
		i := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Is4() == is4 })
		if i < 0 {
			continue
		}
		at, local := addresses[i], false
		if c.cfg.Side != nil {
			at, local = c.cfg.Side(at)
		}
		result, err := RoundTrip(ctx, url, username, password, Options{Address: netip.AddrPortFrom(at, server.Port), Roots: c.roots})
		switch {
		case err != nil && row.Verdict == OK && !is4 && lacksIPv6(err):
			// This machine has no IPv6; the server's cannot be judged from here.
		case err != nil:
			if !is4 && len(addresses) == 1 && lacksIPv6(err) {
				return Row{Verdict: Skipped, Subject: url, Detail: "it has an IPv6 address only, and this machine none", Remedy: "run the check from a machine with IPv6"}
			}
			return failureRow(url, err)
		case row.Verdict == "":
			row = Row{Verdict: OK, Subject: url, Took: result.Latency, Detail: describe(result, local), over: server.Transport, seen: netaddr.Plain(result.Mapped.Addr())}
			if server.Scheme == "stun" {
				row.Took = result.Allocate
			}
			if hidden(result) {
				row.blameProxy(server, "; that is a proxy, not you")
			}
			if server.Transport == "tls" && c.roots != nil && !trusted(reached{Result: result}) {
				row.Verdict, row.Remedy = Warned, "browsers accept this certificate only where its authority is installed: use tls.mode acme for everybody else"
			}
		default:
			row.Detail += "; IPv6 too"
		}
	}
	return row
}

// hidden reports whether the server sees somebody else in this machine's place: it
// was reached at a public address, or at one that is not this machine's, and says
// that this machine is on its own loopback or on a private network that it is not on.
func hidden(r Result) bool {
	mapped, at := netaddr.Plain(r.Mapped.Addr()), netaddr.Plain(r.Address.Addr())
	switch {
	case r.Server.Transport == "udp" || !mapped.IsValid() || mapped == r.Local:
		return false
	case mapped.IsLoopback():
		return !at.IsLoopback()
	}
	return netaddr.Special(at) == "" && netaddr.Special(mapped) != ""
}

// blameProxy warns of what stands in front of a URL's port.
func (r *Row) blameProxy(server Server, detail string) {
	r.Verdict = Warned
	r.Detail += detail
	r.Remedy = fmt.Sprintf("something ends or forwards TCP on port %d in front of turnhub, and all people look like one to it: Firefox throws such relays away, and relay.peers: calls knows nobody. Let connections through to turnhub itself, at IP level (docs/firewall.md), or let it say who came: %s", server.Port, line(noHeader, ""))
}

// seeProxies warns of URLs over TCP by which the server sees this machine elsewhere than
// over UDP, where nothing can be in between: on a private network a proxy's address looks
// like anybody's.
func seeProxies(rows []Row) {
	for i := range rows {
		r := &rows[i]
		if own, ok := seenOverUDP(rows, r.seen); ok && r.over != "udp" && r.Verdict == OK && r.seen != own {
			if server, err := ParseURL(r.Subject); err == nil {
				r.blameProxy(server, fmt.Sprintf("; over UDP you are %s: that is a proxy, unless this network has several ways out", own))
			}
		}
	}
}

// seenOverUDP is where the server sees this machine over UDP, in the family of another
// address; false where no URL says so, or two say different things.
func seenOverUDP(rows []Row, like netip.Addr) (own netip.Addr, ok bool) {
	for _, r := range rows {
		switch {
		case r.over != "udp" || !r.seen.IsValid() || r.seen.Is4() != like.Is4():
		case own.IsValid() && own != r.seen:
			return netip.Addr{}, false
		default:
			own = r.seen
		}
	}
	return own, own.IsValid()
}

// describe says how a round trip went.
func describe(r Result, local bool) string {
	text := fmt.Sprintf("by %s, you are %s", r.Address, r.Mapped)
	if r.Scheme != "stun" {
		text = fmt.Sprintf("by %s, you are %s, allocated in %s", r.Address, r.Mapped, round(r.DNS+r.Connect+r.TLS+r.Allocate))
	}
	if len(r.Chain) > 0 {
		text += ", certificate until " + r.Chain[0].NotAfter.UTC().Format(time.DateOnly)
	}
	if local {
		text += " (local side of the NAT: run the check from outside too)"
	}
	return text
}

func failureRow(subject string, err error) Row {
	var f *Failure
	if !errors.As(err, &f) {
		return Row{Verdict: Failed, Subject: subject, Detail: err.Error(), Remedy: "look at the server's log"}
	}
	detail := fmt.Sprintf("%s: %v", f.Stage, f.Err)
	if f.Address != "" {
		detail += " (" + f.Address + ")"
	}
	return Row{Verdict: Failed, Subject: subject, Detail: detail, Remedy: f.Remedy}
}

// lacksIPv6 reports whether an error is this machine's lack of a route.
func lacksIPv6(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Stage == StageConnect && f.Err.Error() == "no route to this address"
}

// round makes a duration readable.
func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > 10*time.Millisecond:
		return d.Round(time.Millisecond)
	default:
		return d.Round(10 * time.Microsecond)
	}
}

// Side maps an address outside a 1:1 NAT to its local side, for CheckConfig.Side
// on the server itself.
func (l Layout) Side(address netip.Addr) (at netip.Addr, local bool) {
	for _, r := range l.Relay {
		if r.Advertise == address && r.Bind != r.Advertise {
			return r.Bind, true
		}
	}
	return address, false
}
