// Package extaddr finds out under which addresses the relay is reached from
// outside: what relay.external_ip says, or when that is "auto" what the host, its
// cloud's metadata service and STUN servers say.
//
// A relayed transport address has two faces: the local address to which the
// socket is bound, and the address that peers are told. They are the same on a
// host with a public address, and differ behind 1:1 NAT, as in most clouds.
package extaddr

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/internal/netaddr"
)

// DefaultPatience is how long Detect waits for the network at start. A cloud's
// metadata service answers within some milliseconds; where there is none,
// nothing more is to be had by waiting.
const DefaultPatience = 100 * time.Millisecond

const (
	watchPatience = 4 * time.Second  // for the same questions in the background
	lookInterval  = 15 * time.Second // how often the interfaces are looked at
	askInterval   = 10 * time.Minute // how often the network is asked again
)

// Options is what detection needs to know.
type Options struct {
	// External is relay.external_ip: what clients are told in Advertise, and in
	// Bind the local side of a pair or the zero Addr. Empty: detect.
	External    []netaddr.RelayAddress
	BindIP      []netip.Addr  // relay.bind_ip, at most one of each family; empty: all
	STUNServers []string      // relay.stun_servers, host[:port] each
	PublicHost  string        // public_host: where clients find the server, if nobody else knows; may be empty
	PortMin     uint16        // the relay's port range, for what the warnings say
	PortMax     uint16        //
	Patience    time.Duration // longest wait for the network in Detect; 0: DefaultPatience

	clouds  []cloud                                                               // tests; nil: the real ones
	resolve func(ctx context.Context, network, host string) ([]netip.Addr, error) // tests; nil: the system's
}

// A Warning is something that keeps calls from connecting from some place, with
// what to do about it.
type Warning struct {
	Problem string
	Remedy  string
}

func (w Warning) String() string { return w.Problem + "; " + w.Remedy }

// Detect returns the relay's addresses, IPv4 before IPv6, at least one. It takes
// Options.Patience at most; what comes later is Watch's to tell. An error means
// that the setting cannot work on this host.
func Detect(ctx context.Context, opts Options) ([]netaddr.RelayAddress, []Warning, error) {
	patience := opts.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return detect(ctx, opts, lookHost(), len(opts.External) > 0)
}

// Watch goes on looking until ctx ends: it asks the network with more patience
// than Detect at first, then again every ten minutes, and looks at the interfaces
// every 15 seconds. It calls changed, never twice at once, whenever addresses or
// warnings differ from what was told before; have and warned are what Detect
// returned. A public address once learned is not given up because a metadata
// service is silent.
func Watch(ctx context.Context, opts Options, have []netaddr.RelayAddress, warned []Warning, changed func([]netaddr.RelayAddress, []Warning)) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	var seen host
	var asked time.Time
	for {
		now := lookHost()
		if !slices.Equal(now.addresses, seen.addresses) || !slices.Equal(now.routed, seen.routed) || time.Since(asked) >= askInterval {
			have, warned = round(ctx, opts, now, have, warned, changed)
			seen, asked = now, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round is one patient detection, with what it leaves as known.
func round(ctx context.Context, opts Options, h host, have []netaddr.RelayAddress, warned []Warning, changed func([]netaddr.RelayAddress, []Warning)) ([]netaddr.RelayAddress, []Warning) {
	within, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	relay, warnings, err := detect(within, opts, h, false)
	if ctx.Err() != nil {
		return have, warned
	}
	if err != nil { // an address went away while we run: keep what we have
		relay, warnings = have, []Warning{{err.Error(), "it is kept; restart when the address is not to come back"}}
	}
	for i, r := range relay {
		for _, known := range have {
			if r.Bind == known.Bind && r.Bind == r.Advertise && known.Advertise != known.Bind {
				relay[i], warnings = known, warned
			}
		}
	}
	if !slices.Equal(relay, have) || !slices.Equal(warnings, warned) {
		changed(slices.Clone(relay), slices.Clone(warnings))
	}
	return relay, warnings
}

// detect does the work. With quick set it does not ask the network whether a
// configured address is right.
func detect(ctx context.Context, opts Options, h host, quick bool) ([]netaddr.RelayAddress, []Warning, error) {
	for _, ip := range opts.BindIP {
		if !ip.IsUnspecified() && !h.has(ip) {
			return nil, nil, fmt.Errorf("relay.bind_ip: %s is on no interface of this host (it has %s); write one of these, or nothing for all", ip, h.list())
		}
	}
	if len(opts.External) > 0 {
		return configured(ctx, opts, h, quick)
	}
	var relay []netaddr.RelayAddress
	var warnings []Warning
	public := false
	within, cancel := context.WithCancel(ctx)
	named := opts.lookUp(within, h)
	defer func() { cancel(); named() }()
	for _, is4 := range []bool{true, false} {
		local := opts.local(h, is4)
		if !local.IsValid() {
			continue
		}
		address, more := detectFamily(ctx, opts, h, local, named)
		if reserved(address.Advertise) == "" {
			public = true
		}
		if !is4 && public {
			more = nil // an IPv6 network of its own beside a public IPv4 address is harmless
		}
		relay, warnings = append(relay, address), append(warnings, more...)
	}
	if !slices.ContainsFunc(relay, func(r netaddr.RelayAddress) bool { return r.Advertise.Is4() }) {
		// An IPv6-only host, or none at all.
		if len(relay) == 0 {
			loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
			relay = []netaddr.RelayAddress{{Bind: loopback, Advertise: loopback}}
			warnings = []Warning{{"this host has no network: the relay is at 127.0.0.1, calls connect on this machine only",
				"connect it to a network (the address is taken over within 15 s), or write relay.external_ip"}}
		}
	}
	return relay, warnings, nil
}

// local is the address of one family to bind to, invalid for none.
func (o Options) local(h host, is4 bool) netip.Addr {
	for _, ip := range o.BindIP {
		if ip.Unmap().Is4() == is4 && !ip.IsUnspecified() {
			return ip.Unmap()
		}
	}
	if len(o.BindIP) == 0 || slices.ContainsFunc(o.BindIP, func(ip netip.Addr) bool { return ip.IsUnspecified() && ip.Is4() == is4 }) {
		return h.best(is4)
	}
	return netip.Addr{}
}

// detectFamily finds the outer side of a local address. named are public_host's
// addresses, to be waited for.
func detectFamily(ctx context.Context, opts Options, h host, local netip.Addr, named func() []netip.Addr) (netaddr.RelayAddress, []Warning) {
	same := netaddr.RelayAddress{Bind: local, Advertise: local}
	why := reserved(local)
	if why == "" {
		return same, nil
	}
	if local.IsLoopback() {
		return same, []Warning{{fmt.Sprintf("relay.bind_ip: %s is loopback: calls connect on this machine only", local), "write nothing there for a server that others reach"}}
	}
	// Both at once: the cloud knows better, a STUN server knows more often.
	type outside struct {
		reflexive
		err error
	}
	seen := make(chan outside, 1)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		r, err := askSTUN(inner, opts.STUNServers, local, opts.PortMin, opts.PortMax)
		seen <- outside{r, err}
	}()
	if local.Is4() {
		if pairs, _ := askClouds(ctx, opts.cloudList()); pairs != nil {
			if pair, ok := choose(pairs, h, local); ok {
				cancel()
				<-seen
				return pair, nil
			}
		}
	}
	stun := <-seen
	if stun.err == nil && stun.mapped.Addr().Is4() == local.Is4() {
		mapped := stun.mapped.Addr()
		if mapped == local || reserved(mapped) == "" || reserved(mapped) == "documentation" {
			return netaddr.RelayAddress{Bind: local, Advertise: mapped}, opts.behindNAT(stun.reflexive)
		}
		return same, []Warning{{fmt.Sprintf("the STUN server %s sees this host at %s, which is not a public address either (%s)", stun.server, mapped, reserved(mapped)),
			"there is a second NAT on the way; the server needs a public address, or relay.external_ip with the one that is forwarded to it"}}
	}
	if outer, ok := forwarding(named(), h, local); ok {
		return netaddr.RelayAddress{Bind: local, Advertise: outer}, []Warning{{
			fmt.Sprintf("this host has only the %s address %s, so the relay's is taken to be public_host's, %s", kind(why), local, outer),
			fmt.Sprintf("see that the listening ports are forwarded to %s, and write relay.external_ip: \"%s=%s\" to make this message go away", local, local, outer)}}
	}
	if local.Is6() && slices.ContainsFunc(h.addresses, netip.Addr.Is4) {
		return same, nil // the IPv4 address has said what there is to say
	}
	problem := fmt.Sprintf("only the %s address %s was found: calls connect inside this network only", kind(why), local)
	if len(opts.STUNServers) > 0 && stun.err != nil {
		problem += " (" + strings.ReplaceAll(stun.err.Error(), "\n", ", ") + ")"
	}
	return same, []Warning{{problem, fmt.Sprintf(
		"for calls over the internet forward the listening ports to %s and write relay.external_ip: \"%s=YOUR.PUBLIC.ADDRESS\"; inside one network all is well as it is",
		local, local)}}
}

// lookUp asks for the addresses of public_host where one of this host's own is not
// enough, while others are asked too: these may take all the time that there is. The
// answer is waited for by whoever wants it, and ends with ctx.
func (o Options) lookUp(ctx context.Context, h host) (answer func() []netip.Addr) {
	inner := func(is4 bool) bool {
		local := o.local(h, is4)
		return local.IsValid() && !local.IsLoopback() && reserved(local) != ""
	}
	if o.PublicHost == "" || !inner(true) && !inner(false) {
		return func() []netip.Addr { return nil }
	}
	resolve := o.resolve
	if resolve == nil {
		resolve = net.DefaultResolver.LookupNetIP // takes addresses too
	}
	var found []netip.Addr
	var asking sync.WaitGroup
	asking.Go(func() { found, _ = resolve(ctx, "ip", o.PublicHost) }) // without an answer it is nowhere
	return func() []netip.Addr { asking.Wait(); return found }
}

// forwarding is the one of public_host's addresses that is public and of the family of a
// local address that nobody outside knows: in a container, and behind a router that
// forwards ports, it is where clients come to. One that this host has itself tells
// nothing new.
func forwarding(named []netip.Addr, h host, local netip.Addr) (netip.Addr, bool) {
	for _, addr := range named {
		addr = addr.Unmap().WithZone("")
		if addr.Is4() == local.Is4() && !h.has(addr) && (reserved(addr) == "" || reserved(addr) == "documentation") {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// choose picks the pair for the local address, or one for another address of this
// host when the local one has none.
func choose(pairs []mapping, h host, local netip.Addr) (netaddr.RelayAddress, bool) {
	for _, m := range pairs {
		if !m.private.IsValid() || m.private == local {
			return netaddr.RelayAddress{Bind: local, Advertise: m.public}, true
		}
	}
	for _, m := range pairs {
		if slices.Contains(h.addresses, m.private) {
			return netaddr.RelayAddress{Bind: m.private, Advertise: m.public}, true
		}
	}
	return netaddr.RelayAddress{}, false
}

// behindNAT says what STUN cannot know: whether anybody gets in.
func (o Options) behindNAT(r reflexive) []Warning {
	remedy := fmt.Sprintf("the router must forward the listening ports to %s, and UDP %d-%d too where relay.range is to be open; write relay.external_ip: \"%s=%s\" when they are, to make this message go away",
		r.local.Addr(), o.PortMin, o.PortMax, r.local.Addr(), r.mapped.Addr())
	problem := fmt.Sprintf("the public address %s was learned from the STUN server %s: this host is behind NAT", r.mapped.Addr(), r.server)
	if !r.preserved() {
		problem += " that changes ports, which is no 1:1 NAT"
	}
	return []Warning{{problem, remedy}}
}

func (o Options) cloudList() []cloud {
	if o.clouds != nil {
		return o.clouds
	}
	return clouds
}

// kind is a reserved word as an adjective.
func kind(why string) string {
	switch why {
	case "documentation", "benchmark", "protocol":
		return why + "-range"
	default:
		return why
	}
}

// configured takes the operator's addresses and says what looks wrong about them.
func configured(ctx context.Context, opts Options, h host, quick bool) ([]netaddr.RelayAddress, []Warning, error) {
	var relay []netaddr.RelayAddress
	for _, r := range opts.External {
		external := r.Advertise
		switch {
		case r.Bind.IsValid() && !h.has(r.Bind):
			return nil, nil, fmt.Errorf("relay.external_ip: the local side of %s=%s is on no interface of this host (it has %s); write one of these before the =", r.Bind, external, h.list())
		case r.Bind.IsValid():
		case h.has(external):
			r.Bind = external
		default:
			if r.Bind = opts.local(h, external.Is4()); !r.Bind.IsValid() {
				family := "IPv6"
				if external.Is4() {
					family = "IPv4"
				}
				return nil, nil, fmt.Errorf("relay.external_ip: this host has no %s address that could stand behind %s (it has %s); remove it, or give the host one", family, external, h.list())
			}
		}
		relay = append(relay, r)
	}
	slices.SortStableFunc(relay, func(a, b netaddr.RelayAddress) int {
		return boolRank(a.Advertise.Is6()) - boolRank(b.Advertise.Is6())
	})
	var warnings []Warning
	for _, r := range relay {
		if w, doubtful := doubt(ctx, opts, h, r, quick); doubtful {
			warnings = append(warnings, w)
		}
	}
	return relay, warnings, nil
}

// doubt says what speaks against a configured address.
func doubt(ctx context.Context, opts Options, h host, r netaddr.RelayAddress, quick bool) (Warning, bool) {
	setting := fmt.Sprintf("relay.external_ip: %s", r.Advertise)
	if why := reserved(r.Advertise); r.Advertise.IsLoopback() {
		return Warning{setting + " is loopback: calls connect on this machine only", "write auto, or the address under which clients reach this server"}, true
	} else if why != "" {
		return Warning{fmt.Sprintf("%s is a %s address: calls connect inside that network only", setting, kind(why)),
			"for calls over the internet write the public address; inside one network all is well as it is"}, true
	}
	if r.Bind == r.Advertise {
		return Warning{}, false
	}
	if reserved(r.Bind) == "" && r.Bind.Is4() {
		return Warning{fmt.Sprintf("%s is on no interface, while the host has the public address %s", setting, r.Bind),
			fmt.Sprintf("write relay.external_ip: auto, unless %s is really forwarded to %s", r.Advertise, r.Bind)}, true
	}
	if quick {
		return Warning{}, false
	}
	var actual netip.Addr
	var source string
	if r.Bind.Is4() {
		if pairs, name := askClouds(ctx, opts.cloudList()); pairs != nil {
			// A cloud can map several addresses to one machine: any is right.
			if slices.ContainsFunc(pairs, func(m mapping) bool { return m.public == r.Advertise }) {
				return Warning{}, false
			}
			if pair, ok := choose(pairs, h, r.Bind); ok {
				actual, source = pair.Advertise, name
			}
		}
	}
	if !actual.IsValid() {
		if seen, err := askSTUN(ctx, opts.STUNServers, r.Bind, opts.PortMin, opts.PortMax); err == nil {
			actual, source = seen.mapped.Addr(), "the STUN server "+seen.server
		}
	}
	if actual.IsValid() && actual != r.Advertise {
		return Warning{fmt.Sprintf("%s looks wrong: %s says that this host is %s outside", setting, source, actual),
			fmt.Sprintf("write relay.external_ip: \"%s=%s\", or auto", r.Bind, actual)}, true
	}
	return Warning{}, false
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}
