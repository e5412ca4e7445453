package load

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/policy"
)

// TestRunAgainstTurnsrv holds the generator itself: every kind of load arrives
// whole, nothing is lost, nothing comes that was not sent.
func TestRunAgainstTurnsrv(t *testing.T) {
	server := startServer(t)
	for name, change := range map[string]func(*Options){
		"up":              func(*Options) {},
		"down":            func(o *Options) { o.Direction = "down" },
		"both":            func(o *Options) { o.Direction = "both" },
		"pair":            func(o *Options) { o.Pair = true },
		"trains":          func(o *Options) { o.Size, o.Burst = 1200, 8 },
		"trains to GRO":   func(o *Options) { o.Size, o.Burst, o.GRO, o.Pair = 1200, 8, true, true },
		"sendmmsg":        func(o *Options) { o.Size, o.Burst, o.BurstBy = 1200, 8, "mmsg" },
		"Send indication": func(o *Options) { o.Method, o.Size = "send", 173 },
		"fixed rate":      func(o *Options) { o.Rate, o.Clients = 2000, 40 },
		"two shards":      func(o *Options) { o.CPUs, o.Spin = []int{0, 0}, false },
	} {
		t.Run(name, func(t *testing.T) {
			o := Defaults()
			o.Server, o.Secret, o.PID = server, testSecret, os.Getpid()
			o.Clients, o.Window, o.Warmup, o.Duration = 4, 64, 20*time.Millisecond, 200*time.Millisecond
			change(&o)
			r, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Sent == 0 || r.Received != r.Sent || r.Bad > 0 {
				t.Errorf("sent %d, received %d, bad %d", r.Sent, r.Received, r.Bad)
			}
		})
	}
}

func TestIdleAndChurn(t *testing.T) {
	server := startServer(t)
	idle, err := Idle(context.Background(), IdleOptions{
		Server: server, Secret: testSecret, PID: os.Getpid(), Allocations: 100,
		Hold: 50 * time.Millisecond, Refresh: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if idle.Allocations != 100 || idle.Refreshes < 100 || idle.Lost > 0 {
		t.Errorf("idle: %+v", idle)
	}
	churn, err := Churn(context.Background(), ChurnOptions{
		Server: server, Secret: testSecret, PID: os.Getpid(), Duration: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if churn.Allocations == 0 || churn.Failed > 0 {
		t.Errorf("churn: %+v", churn)
	}
}

const testSecret = "the load generator's secret"

func startServer(t *testing.T) Server {
	credentials, err := credentials.New([]string{testSecret})
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddr("127.12.20.1")
	s, err := turnsrv.New(turnsrv.Config{
		Realm: "bench", Credentials: credentials, PortMin: 10000, PortMax: 60000,
		Relay: []netaddr.RelayAddress{{Bind: address, Advertise: address}},
		Policy: policy.New(policy.Config{
			Mode: policy.ModeAny, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	listening, err := s.ListenUDP(netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("turnsrv: %v", err)
		}
	})
	return Server{Transport: "udp", Address: listening}
}
