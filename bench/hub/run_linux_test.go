package hub

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"

	"turnhub/signaling"
)

// startHub serves turnhub's hub with its limits out of the way.
func startHub(t *testing.T) Options {
	h := signaling.NewHub(signaling.Config{Limits: signaling.Limits{ConnectionsPerIP: 1e6, MessagesPerSecond: 1e6}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx) }()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("hub: %v", err)
		}
		h.Close()
		server.Close()
	})
	return Options{
		Server: netip.MustParseAddrPort(server.Listener.Addr().String()), Dialect: "turnhub", PID: os.Getpid(),
		Clients: 20, Rooms: 4, Size: 300, Window: 10, Rate: 200, Duration: 500 * time.Millisecond,
	}
}

func TestRelayAgainstHub(t *testing.T) {
	r, err := Relay(context.Background(), startHub(t))
	if err != nil || r.Messages == 0 || r.Failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestIdleAgainstHub(t *testing.T) {
	r, err := Idle(context.Background(), startHub(t))
	if err != nil || r.Clients != 20 || r.Failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestJoinAgainstHub(t *testing.T) {
	r, err := Join(context.Background(), startHub(t))
	if err != nil || r.Messages == 0 || r.P50 == 0 || r.Failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestStallAgainstHub(t *testing.T) {
	r, err := Stall(context.Background(), startHub(t))
	if err != nil || r.Without.P50 == 0 || r.With.P50 == 0 || r.With.Failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
