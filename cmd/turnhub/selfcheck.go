package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/internal/probe"
	"turnhub/signaling"
)

// selfCheckSource is the loopback address from which the server calls itself,
// so that it is counted apart from others on this host.
var selfCheckSource = net.IPv4(127, 84, 72, 1)

// selfCheck goes through the listeners as a client would: a Binding request over
// UDP, and hello, ping and bye at the hub.
func (n *node) selfCheck(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if len(n.sockets.udp) > 0 {
		at := local(n.sockets.udp[0])
		if _, err := probe.RoundTrip(ctx, "stun:"+at.String(), "", "", probe.Options{Address: at}); err != nil {
			return fmt.Errorf("STUN: %w", err)
		}
	}
	if tcp := n.sockets.tcpAddresses(); len(tcp) > 0 {
		if err := n.checkHub(ctx, local(tcp[0])); err != nil {
			return fmt.Errorf("hub: %w", err)
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
	if n.access != nil {
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
		var answer struct{ Type, Code string }
		if err := ws.ReadJSON(&answer); err != nil {
			return err
		}
		if answer.Type != step.hear {
			return fmt.Errorf("%s was answered by %s %s", step.say, answer.Type, answer.Code)
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
