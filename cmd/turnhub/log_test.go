package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"turnhub/turnsrv"
)

// TestRefusalsAreBounded guesses passwords from one address and from many: the log
// names an address once a second at most, and few addresses in all.
func TestRefusalsAreBounded(t *testing.T) {
	var text strings.Builder
	n := &node{log: slog.New(slog.NewTextHandler(&text, nil))}
	for range 100 {
		n.logRefused(netip.MustParseAddr("203.0.113.7"), turnsrv.TransportUDP, turnsrv.AuthBadIntegrity)
	}
	const line = `msg="TURN credentials refused" client=203.0.113.7 transport=udp reason=bad_integrity`
	if !strings.Contains(text.String(), line) {
		t.Errorf("the log says\n%s", text.String())
	}
	if lines := strings.Count(text.String(), "\n"); lines > 2 { // a second may end in between
		t.Errorf("%d lines about one address", lines)
	}
}
