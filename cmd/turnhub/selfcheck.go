package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/internal/probe"
	"turnhub/signaling"
)

// selfCheckSource is the loopback address from which the server calls itself,
// so that it is counted apart from others on this host.
var selfCheckSource = net.IPv4(127, 84, 72, 1)

// What the self check found wanting. /healthz says no more than this to everybody;
// the log has the rest.
var (
	errNoSTUN = errors.New("STUN: no answer over UDP")
	errNoHub  = errors.New("hub: no answer through its socket")
)

// pulse is what the last self check found.
type pulse struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

const (
	pulseAge      = time.Second     // so long an answer of /healthz may be old
	pulsePatience = 5 * time.Second // so long the server may take to answer itself
)

// health is what /healthz answers: whether the server answers itself. Whoever asks
// at the same time shares one check, so that asking often costs nothing.
func (n *node) health() []string {
	n.pulse.mu.Lock()
	defer n.pulse.mu.Unlock()
	if time.Since(n.pulse.at) > pulseAge {
		before := n.pulse.err
		n.pulse.err = n.selfCheck(context.Background(), pulsePatience)
		n.pulse.at = time.Now()
		if err := n.pulse.err; err != nil && before == nil {
			n.log.Error("the self check of /healthz failed; restart the server if this goes on", "error", err)
		}
	}
	var reasons []string
	for _, known := range []error{errNoSTUN, errNoHub} {
		if errors.Is(n.pulse.err, known) {
			reasons = append(reasons, known.Error())
		}
	}
	return reasons
}

// selfCheck goes through the listeners as a client would: a Binding request over
// UDP, and hello, ping and bye at the hub, which lets nobody in any more when the
// server is going down.
func (n *node) selfCheck(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if len(n.sockets.udp) > 0 {
		at := local(n.sockets.udp[0])
		if _, err := probe.RoundTrip(ctx, "stun:"+at.String(), "", "", probe.Options{Address: at}); err != nil {
			return fmt.Errorf("%w: %w", errNoSTUN, err)
		}
	}
	if tcp := n.sockets.tcpAddresses(); len(tcp) > 0 && !n.draining.Load() {
		if err := n.checkHub(ctx, local(tcp[0])); err != nil {
			return fmt.Errorf("%w: %w", errNoHub, err)
		}
	}
	return nil
}

// local is where to connect for an address that is listened on.
func local(bound netip.AddrPort) netip.AddrPort {
	switch addr := bound.Addr(); {
	case !addr.IsUnspecified():
		return bound
	case addr.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port())
	default:
		return netip.AddrPortFrom(netip.IPv6Loopback(), bound.Port())
	}
}

// checkHub opens a session and lets it answer a ping.
func (n *node) checkHub(ctx context.Context, at netip.AddrPort) error {
	dialer := websocket.Dialer{
		Subprotocols: []string{signaling.Subprotocol},
		NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{}
			if at.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
				d.LocalAddr = &net.TCPAddr{IP: selfCheckSource}
			}
			return d.DialContext(ctx, network, at.String())
		},
		// It is this process that answers: the certificate is checked by the probes.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	header := make(http.Header)
	if !n.access.IsOpen() {
		if n.cfg.Access.TokenSecretFile == "" {
			return n.checkDenied(ctx, dialer, at) // the keys that sign are elsewhere
		}
		token, err := access.Mint(n.cfg.Access.TokenSecretFile, "self-check", nil, time.Now().Add(time.Minute))
		if err != nil {
			return err
		}
		header.Set("Authorization", "Bearer "+token)
	}
	ws, res, err := dialer.DialContext(ctx, "ws://"+at.String()+"/ws", header)
	if err != nil {
		return err
	}
	res.Body.Close()
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { ws.Close() })()
	deadline, _ := ctx.Deadline()
	ws.SetReadDeadline(deadline)
	ws.SetWriteDeadline(deadline)
	for _, step := range []struct{ say, hear string }{
		{`{"type":"hello","name":"self-check"}`, "welcome"},
		{`{"type":"ping","ack":0}`, "pong"},
	} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(step.say)); err != nil {
			return err
		}
		// What the hub says by itself in between, such as that the token expires
		// soon, is no answer.
		for heard := ""; heard != step.hear; {
			var answer struct{ Type, Code string }
			if err := ws.ReadJSON(&answer); err != nil {
				return err
			}
			if heard = answer.Type; heard == "error" {
				return fmt.Errorf("%s was answered by the error %s", step.say, answer.Code)
			}
		}
	}
	return ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"bye"}`))
}

// checkDenied expects the hub to ask for a token.
func (n *node) checkDenied(ctx context.Context, dialer websocket.Dialer, at netip.AddrPort) error {
	ws, res, err := dialer.DialContext(ctx, "ws://"+at.String()+"/ws", nil)
	if err == nil {
		ws.Close()
		return errors.New("in access.mode token a socket without token was let in")
	}
	if res == nil || res.StatusCode != http.StatusUnauthorized {
		return err
	}
	return nil
}
