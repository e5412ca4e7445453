package hub

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"

	"turnhub/signaling"
	"turnhub/signaling/media"
)

// startHub serves turnhub's hub with its limits out of the way.
func startHub(t *testing.T, secure bool) Options {
	h := signaling.NewHub(signaling.Config{Limits: signaling.Limits{ConnectionsPerIP: 1e6, MessagesPerSecond: 1e6}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx) }()
	beside := media.New(media.Config{Hub: h})
	mux := http.NewServeMux()
	mux.Handle("/media", beside)
	mux.Handle("/", h)
	server := httptest.NewUnstartedServer(mux)
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		cancel()
		beside.Close(context.Background())
		if err := <-done; err != nil {
			t.Errorf("hub: %v", err)
		}
		h.Close()
		server.Close()
	})
	return Options{
		Server: netip.MustParseAddrPort(server.Listener.Addr().String()), Dialect: "turnhub", TLS: secure, PID: os.Getpid(),
		Clients: 20, Rooms: 4, Size: 300, Window: 10, Rate: 200, Duration: 500 * time.Millisecond,
	}
}

// eachWay runs a test without and with TLS.
func eachWay(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("plain", func(t *testing.T) { test(t, startHub(t, false)) })
	t.Run("TLS", func(t *testing.T) { test(t, startHub(t, true)) })
}

func TestRelayAgainstHub(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		r, err := Relay(context.Background(), o)
		if err != nil || r.Messages == 0 || r.Failed > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestMediaAgainstHub(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		r, err := Media(context.Background(), o)
		if err != nil || r.Messages == 0 || r.Failed > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestIdleAgainstHub(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		r, err := Idle(context.Background(), o)
		if err != nil || r.Clients != 20 || r.Failed > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestJoinAgainstHub(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		r, err := Join(context.Background(), o)
		if err != nil || r.Messages == 0 || r.P50 == 0 || r.Failed > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestStallAgainstHub(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		r, err := Stall(context.Background(), o)
		if err != nil || r.Without.P50 == 0 || r.With.P50 == 0 || r.With.Failed > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestStampedeAgainstHub(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		asked := 0
		r, err := Stampede(context.Background(), o, func(opened int) (int, error) {
			asked = opened
			return os.Getpid(), nil
		})
		if err != nil || asked != o.Clients || r.BackSeconds == 0 {
			t.Errorf("asked with %d in: %+v, %v", asked, r, err)
		}
	})
}
