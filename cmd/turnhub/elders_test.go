package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"turnhub/internal/config"
	"turnhub/turnsrv"
)

// TestElders holds that relayed addresses have sockets beside an older process that cannot
// say which ports it has, and go as relay.sockets says beside one that can and beside none.
func TestElders(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	port := freePort(t)
	var log output
	environ := []string{
		"STATE_DIRECTORY=" + t.TempDir(), fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port),
		"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_RELAY_SOCKETS=off",
	}
	n := startNode(t, ctx, environ, &log)
	var served sync.WaitGroup
	served.Go(func() { n.serve(ctx) })
	<-n.prober.First()
	allocate := func() {
		t.Helper()
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		username, password := n.credentials.Mint("anna", time.Now().Add(time.Hour))
		client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: fmt.Sprintf("127.0.0.1:%d", port), Conn: conn, Username: username, Password: password})
		if err == nil {
			err = client.Listen()
		}
		if err == nil {
			_, err = client.Allocate()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); conn.Close() })
	}
	handed := func(body string) func() {
		return func() {
			h, err := decode[handover]([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			n.inherit(h)
		}
	}
	for _, x := range []struct {
		name    string
		happens func()
		bound   bool
	}{
		{"alone", func() {}, false},
		{"a version that knows nothing of it hands over", handed(`{"past":{}}`), true},
		{"a reload does not change that", func() { n.elders.setMode(turnsrv.SocketsOff) }, true},
		{"it has ended", n.askElders, false},
		{"one that says it has no ports hands over", handed(`{"past":{},"ports":[{"Address":"127.0.0.1","Bits":""}]}`), false},
		{"a reload", func() { n.elders.setMode(turnsrv.SocketsOn) }, true},
		{"and back", func() { n.elders.setMode(turnsrv.SocketsOff) }, false},
	} {
		x.happens()
		before := n.turn.Stats().Bare
		allocate()
		if bound := n.turn.Stats().Bare == before; bound != x.bound {
			t.Errorf("%s: a relayed address has a socket: %v, want %v", x.name, bound, x.bound)
		}
	}
	if n.turn.Left() {
		t.Fatal("something has left the server")
	}
	handed(`{"past":{},"left":true,"ports":[]}`)()
	if !n.turn.Left() {
		t.Error("that a packet has left is not inherited")
	}
	cancel()
	served.Wait()
	// And after a restart.
	again, stop := context.WithCancel(context.Background())
	defer stop()
	n = startNode(t, again, environ, &log)
	if !n.turn.Left() {
		t.Error("that a packet has left is forgotten after a restart")
	}
	stop()
	n.serve(again)
	if strings.Contains(log.String(), "cannot write down") {
		t.Error(log.String())
	}
}

// TestDefaultLimitsHoldCalls holds the defaults that the call of six in the relay's own tests
// (TestCallOfSixTouchesNoBound) goes by, and that a user has no bound over all calls.
func TestDefaultLimitsHoldCalls(t *testing.T) {
	cfg, err := config.Load("", []string{"STATE_DIRECTORY=" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	l := turnLimits(cfg)
	if l.BandwidthPerAllocation < 8_000_000 || l.PacketsPerAllocation < 10_000 || l.NewPeersPerAllocation < 5 || l.PermissionsPerAllocation < 128 ||
		l.BandwidthPerUser != 0 || l.VolumePerUserDay != 0 {
		t.Errorf("%+v", l)
	}
}
