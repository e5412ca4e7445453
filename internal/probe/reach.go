package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// reachTimeout is how long packets between this machine and a relayed address are
// waited for.
const reachTimeout = 3 * time.Second

// meetInside is why a closed range is no fault.
const meetInside = "two relayed people meet inside the server, and calls need no more"

// reach sees whether a peer that needs no relay can exchange packets with a
// relayed address: a plain UDP socket of this machine plays the peer, whose first packet
// is one that nothing has asked for. It shows whether the relay's ports are open, which
// calls do not need, and a wrong relay.external_ip. said is what /config tells of the
// ports, by address family.
func (c *checker) reach(ctx context.Context, p *pair, rows []Row, said map[string]string) Row {
	row := Row{Verdict: Skipped, Subject: "relayed address from here"}
	url, username, password := c.udpURL(p.a.ice, rows)
	if url == "" {
		row.Detail, row.Remedy = "no TURN URL over UDP works from here", "see above"
		return row
	}
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	server, err := ParseURL(url)
	if err != nil {
		return row
	}
	addresses, err := Lookup(ctx, server.Host)
	if err != nil {
		return failureRow(row.Subject, dnsFailure(server, err))
	}
	at := pick(addresses, false)
	if c.cfg.Side != nil {
		at, _ = c.cfg.Side(at)
	}
	address := netip.AddrPortFrom(at, server.Port)
	l, failure := open(ctx, server, address, username, password, c.roots)
	if failure != nil {
		return failureRow(row.Subject, failure)
	}
	defer l.close()
	if err := l.allocate(); err != nil {
		return failureRow(row.Subject, l.failure(ctx, server, StageAllocate, err))
	}
	relayed := l.relay.LocalAddr().(*net.UDPAddr).AddrPort()
	relayed = netip.AddrPortFrom(relayed.Addr().Unmap(), relayed.Port())

	peer, err := newPeer(ctx, address)
	if err != nil {
		row.Detail, row.Remedy = err.Error(), "see above"
		return row
	}
	defer peer.Close()
	row.Subject = "relayed address " + relayed.String()
	if peer.mapped.Addr() == relayed.Addr() {
		row.Verdict, row.Detail = Noted, "no firewall is between the server and itself: `turnhub check URL` on another machine sees what comes through"
		return row
	}
	if err := l.client.CreatePermission(net.UDPAddrFromAddrPort(peer.mapped)); err != nil {
		code, _, _, _ := l.conn.seen()
		row.Verdict = Noted
		row.Detail = fmt.Sprintf("as it should be, the server does not relay to %s, in its own network (%d): `turnhub check URL` in another network sees what comes through", peer.mapped.Addr(), code)
		return row
	}
	begin := time.Now()
	inward, outward, foreign := exchange(ctx, l, peer, relayed)
	row.Took = time.Since(begin)
	row.Verdict, row.Detail, row.Remedy = rangeVerdict(inward && outward, relayed, foreign, said[familyOf(relayed.Addr())])
	if row.Verdict != OK {
		row.Took = 0
	}
	return row
}

// familyOf is how /config names an address's family.
func familyOf(addr netip.Addr) string {
	if addr.Unmap().Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// rangeVerdict judges what exchange has found. said is what /config tells of the ports.
func rangeVerdict(both bool, relayed, foreign netip.AddrPort, said string) (v Verdict, detail, remedy string) {
	switch {
	case both && said == "closed":
		return OK, "packets pass both ways, though /config says that the range is closed: what has passed shows it, unless relay.range says so", ""
	case both:
		return OK, "packets pass both ways", ""
	case foreign.IsValid() && foreign.Addr() != relayed.Addr():
		return Warned, fmt.Sprintf("relayed packets come from %s, but the server says %s: %s", foreign.Addr(), relayed.Addr(), meetInside),
			fmt.Sprintf("write relay.external_ip: auto, or %s", foreign.Addr())
	}
	how := ""
	if foreign.IsValid() { // a container's host hides its ports
		how = fmt.Sprintf(" (what is relayed comes from port %d)", foreign.Port())
	}
	if said == "open" {
		return Warned, "the relay's range is closed from here" + how + ", though /config says that it is open: " + meetInside,
			"with relay.range: open, see that the firewall and the security group let UDP relay.port_min to relay.port_max in, and that relay.external_ip is right; or write relay.range: auto"
	}
	return Noted, "the relay's range is closed" + how + ", as is normal: " + meetInside, ""
}

// udpURL returns a TURN URL over UDP that the table says works, with credentials.
func (c *checker) udpURL(ice iceConfig, rows []Row) (url, username, password string) {
	for _, server := range ice.Servers {
		for _, url := range server.URLs {
			parsed, err := ParseURL(url)
			if err != nil || parsed.Scheme != "turn" || parsed.Transport != "udp" {
				continue
			}
			for _, row := range rows {
				if row.Subject == url && row.Verdict == OK {
					return url, server.Username, server.Credential
				}
			}
		}
	}
	return "", "", ""
}

// peer is a plain UDP socket that knows how the world sees it.
type peer struct {
	*net.UDPConn
	mapped netip.AddrPort
}

// newPeer opens a socket and asks the server's STUN for its address.
func newPeer(ctx context.Context, server netip.AddrPort) (*peer, error) {
	network := "udp4"
	if server.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		conn.Close()
		return nil, err
	}
	buffer := make([]byte, 1500)
	for range 5 {
		if ctx.Err() != nil {
			break
		}
		if _, err := conn.WriteToUDPAddrPort(request.Raw, server); err != nil {
			conn.Close()
			return nil, err
		}
		conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			continue
		}
		answer := &stun.Message{Raw: append([]byte(nil), buffer[:n]...)}
		var mapped stun.XORMappedAddress
		if answer.Decode() != nil || answer.TransactionID != request.TransactionID || mapped.GetFrom(answer) != nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(mapped.IP); ok {
			return &peer{conn, netip.AddrPortFrom(addr.Unmap(), uint16(mapped.Port))}, nil
		}
	}
	conn.Close()
	return nil, errors.New("the server's STUN did not answer")
}

// exchange sends both ways until both have arrived or time is up. foreign is where
// relayed packets come from when that is not the relayed address.
func exchange(ctx context.Context, l *leg, p *peer, relayed netip.AddrPort) (inward, outward bool, foreign netip.AddrPort) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	payload := make([]byte, payloadSize)
	rand.Read(payload)
	var back net.Addr = net.UDPAddrFromAddrPort(p.mapped)
	buffer := make([]byte, 1500)
	for ctx.Err() == nil && !(inward && outward) {
		_, _ = p.WriteToUDPAddrPort(payload, relayed) // a refusal shows as silence
		_ = l.relay.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, from, err := l.relay.ReadFrom(buffer); err == nil && bytes.Equal(buffer[:n], payload) {
			inward, back = true, from // a symmetric NAT shows another port here
		}
		if _, err := l.relay.WriteTo(payload, back); err != nil {
			continue
		}
		_ = p.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, from, err := p.ReadFromUDPAddrPort(buffer)
		if err != nil || !bytes.Equal(buffer[:n], payload) {
			continue
		}
		if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); from == relayed {
			outward = true
		} else {
			foreign = from
			return inward, outward, foreign
		}
	}
	return inward, outward, foreign
}
