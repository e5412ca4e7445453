package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"

	"turnhub/internal/forwarded"
	"turnhub/internal/netaddr"
	"turnhub/internal/proxyheader"
)

// front looks at what stands between this machine and the server, by what the
// server says of it: whether a header that anybody can write makes the server
// believe that we are somebody else, whether it takes all who come through a
// reverse proxy for one, and whether it knows its own address.
func (c *checker) front(ctx context.Context, s site, ice iceConfig) []Row {
	if !ice.fetched {
		return nil
	}
	rows := c.socketURL(s, ice.Signaling)
	plain, _, ok := c.believed(ctx, s, nil)
	if !ok { // an older server, which does not say
		return rows
	}
	for _, forged := range []http.Header{
		{"X-Forwarded-For": {forwarded.Claimed.String()}},
		{"Forwarded": {"for=" + forwarded.Claimed.String()}},
	} {
		name := "X-Forwarded-For"
		if forged[name] == nil {
			name = "Forwarded"
		}
		subject := "a forged " + name
		got, path, ok := c.believed(ctx, s, forged)
		switch {
		case !ok:
		case got == forwarded.Claimed && path.to.IsLoopback() && c.cfg.Side != nil:
			rows = append(rows, Row{Verdict: Skipped, Subject: subject, Detail: "believed from this machine, where listen.trusted_proxies names a proxy",
				Remedy: "run turnhub check with the public URL, so that it goes through the proxy"})
		case got == forwarded.Claimed:
			rows = append(rows, Row{Verdict: Failed, Trust: true, Subject: subject,
				Detail: fmt.Sprintf("the server believes that this machine is %s", got),
				Remedy: "anybody can pretend to be anywhere, and so open the relay to any address: the reverse proxy must overwrite " + name + " with the client's address, or remove it: " +
					line(believes, c.proxy) + ". Where no proxy is in front of this URL, listen.trusted_proxies names this machine: then run the check with the public URL"})
		case path.hides(got) && !path.hides(plain):
			rows = append(rows, Row{Verdict: Warned, Subject: subject,
				Detail: fmt.Sprintf("not believed, but who sends one counts as the proxy at %s", got),
				Remedy: "let the reverse proxy overwrite or remove the header: " + line(believes, c.proxy)})
		default:
			rows = append(rows, Row{Verdict: OK, Subject: subject, Detail: fmt.Sprintf("not believed: you are %s", got)})
		}
	}
	rows = append(rows, c.forgedHeader(ctx, s))
	return rows
}

// hiddenClient warns where the server takes this machine for something in front of it: by
// the address alone, or since the relay sees it elsewhere over UDP, where no proxy is.
func (c *checker) hiddenClient(ctx context.Context, s site, turn []Row) []Row {
	plain, path, ok := c.believed(ctx, s, nil)
	if !ok {
		return nil
	}
	detail := fmt.Sprintf("the server takes this machine for %s, which is something in front of the server", plain)
	if !path.hides(plain) {
		own, known := seenOverUDP(turn, plain)
		if !path.to.IsValid() || !known || own == plain || plain == path.from {
			return nil
		}
		detail = fmt.Sprintf("the server takes this machine for %s over HTTP and for %s over UDP: the first is something in front of the server, unless this network has several ways out", plain, own)
	}
	named := netip.PrefixFrom(plain, plain.BitLen()).String()
	if plain.IsLoopback() {
		named = "127.0.0.1/32, ::1/128"
	}
	return []Row{{Verdict: Warned, Subject: "your address", Detail: detail,
		Remedy: fmt.Sprintf("if it is a reverse proxy, all people count as one visitor, who may have limits.connections_per_ip connections: write listen.trusted_proxies: [%s] and let the proxy set it: %s", named, line(noClient, c.proxy))}}
}

// forgedHeader claims by the PROXY protocol to be somebody else.
func (c *checker) forgedHeader(ctx context.Context, s site) Row {
	row := Row{Verdict: OK, Subject: "a forged PROXY header", Detail: "not believed"}
	if through, _ := http.ProxyFromEnvironment(&http.Request{URL: s.base}); through != nil {
		return Row{Verdict: Skipped, Subject: row.Subject, Detail: "this network's own way out would get it", Remedy: "run turnhub check from a machine that connects directly"}
	}
	liar := &checker{cfg: c.cfg, roots: c.roots}
	liar.first = proxyheader.Append(nil, proxyheader.V1, proxyheader.Header{
		Client: netip.AddrPortFrom(forwarded.Claimed, 5000), Server: netip.AddrPortFrom(forwarded.Claimed, 443),
	})
	switch got, path, ok := liar.believed(ctx, s, nil); {
	case !ok || got != forwarded.Claimed:
	case path.to.IsLoopback() && c.cfg.Side != nil:
		row = Row{Verdict: Skipped, Subject: row.Subject, Detail: "believed from this machine, where listen.trusted_proxies names a proxy",
			Remedy: "run turnhub check with the public URL, so that it goes through the proxy"}
	default:
		row = Row{Verdict: Failed, Trust: true, Subject: row.Subject, Detail: fmt.Sprintf("the server believes that this machine is %s", got),
			Remedy: "anybody can pretend to be anywhere: what is in front of this URL passes on what clients write and sends no header of its own; let it send one (HAProxy: send-proxy-v2 on the server line; nginx: proxy_protocol on; Traefik: proxyProtocol: {version: 2}), or take it out of listen.trusted_proxies, see docs/front.md." +
				" Where nothing is in front of this URL, listen.trusted_proxies names this machine: then run the check from another"}
	}
	return row
}

// socketURL judges the URL that browsers are told for the signaling socket.
func (c *checker) socketURL(s site, text string) []Row {
	u, err := url.Parse(text)
	if text == "" || err != nil {
		return nil
	}
	remedy := "; the reverse proxy must be named in listen.trusted_proxies, pass the Host header on and set X-Forwarded-Proto: " + line(noName, c.proxy)
	switch {
	case s.base.Scheme == "https" && u.Scheme == "ws":
		return []Row{{Verdict: Failed, Subject: text, Detail: "the signaling URL that the server hands out: a page from https may not open it",
			Remedy: "the server does not know that people come over TLS" + remedy}}
	case !strings.EqualFold(u.Hostname(), s.base.Hostname()):
		return []Row{{Verdict: Warned, Subject: text, Detail: "the signaling URL that the server hands out is not at " + s.base.Host,
			Remedy: "the server does not know under which name people come" + remedy}}
	}
	return nil
}

// route is the connection over which the server was asked.
type route struct{ from, to netip.Addr }

// hides reports whether an address that the server believes to be ours is that of
// something in front of it: its own loopback or the very address that we have
// connected to, seen from elsewhere, or a private one though we have connected to
// a public one.
func (r route) hides(believed netip.Addr) bool {
	switch {
	case !r.to.IsValid() || believed == r.from:
		return false
	case believed.IsLoopback():
		return !r.to.IsLoopback()
	case believed == r.to:
		return true
	}
	return netaddr.Special(r.to) == "" && netaddr.Special(believed) != ""
}

// believed asks where the server believes us to be.
func (c *checker) believed(ctx context.Context, s site, headers http.Header) (netip.Addr, route, bool) {
	var r route
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		r = route{addressOf(info.Conn.LocalAddr()), addressOf(info.Conn.RemoteAddr())}
	}})
	body, status, err := c.ask(ctx, s, "/config", headers)
	if through, _ := http.ProxyFromEnvironment(&http.Request{URL: s.base}); through != nil {
		r = route{} // this network's way out, which says nothing about the server
	}
	var ice iceConfig
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &ice) != nil {
		return netip.Addr{}, r, false
	}
	addr, err := netip.ParseAddr(ice.Client)
	return netaddr.Plain(addr), r, err == nil
}

func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return netaddr.Plain(tcp.AddrPort().Addr())
	}
	return netip.Addr{}
}
