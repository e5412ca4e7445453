package turnsrv

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// testServer is a running server on loopback.
type testServer struct {
	*Server
	udp  netip.AddrPort // IPv4
	udp6 netip.AddrPort
	stop func()
}

// testConfig relays on loopback, IPv4 and IPv6, to anybody.
func testConfig(t testing.TB) Config {
	t.Helper()
	secrets, err := credentials.New([]string{"secret", "old secret"})
	if err != nil {
		t.Fatal(err)
	}
	four, six := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	return Config{
		Realm: turntest.Realm, Software: "turnhub", Credentials: secrets,
		Relay:   []netaddr.RelayAddress{{Bind: four, Advertise: four}, {Bind: six, Advertise: six}},
		PortMin: 11100, PortMax: 11899,
		Policy:  policy.New(policy.Config{Mode: policy.ModeAny}),
		Workers: 2,
		// Every test can be run on a driver: TURNSRV_DRIVER=io_uring go test ./turnsrv
		Driver: Driver(os.Getenv("TURNSRV_DRIVER")),
		// And with packets of running calls inside the kernel: TURNSRV_KERNEL=on, or clsact
		Kernel: Kernel(os.Getenv("TURNSRV_KERNEL")),
	}
}

// inKernel is how many packets have passed inside the kernel, in all tests.
var inKernel atomic.Uint64

// TestMain holds that a run with packets inside the kernel has had some there: without
// it, it would be none.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if Kernel(os.Getenv("TURNSRV_KERNEL")).must() && flag.Lookup("test.run").Value.String() == "" {
		n := inKernel.Load()
		fmt.Printf("%d packets of the tests have passed inside the kernel\n", n)
		if n == 0 {
			fmt.Println("######## NOT TESTED: THE RELAY IN THE KERNEL: no packet of the tests has passed there ########")
			code = 1
		}
	}
	os.Exit(code)
}

func startServer(t testing.TB, cfg Config) *testServer {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := s.ListenUDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp6, err := s.ListenUDP("[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := serveTest(t, s)
	ts.udp, ts.udp6 = udp, udp6
	return ts
}

// serveTest runs a server that listens already.
func serveTest(t testing.TB, s *Server) *testServer {
	t.Helper()
	ts := &testServer{Server: s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	ts.stop = func() {
		if stopped {
			return
		}
		stopped = true
		inKernel.Add(s.Stats().Kernel.Packets)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(ts.stop)
	// Serve has begun once the workers answer.
	s.Stats()
	return ts
}

// notPortable skips a test of what the portable driver has never had, where all tests are
// run on that.
func notPortable(t *testing.T, what string) {
	t.Helper()
	if Driver(os.Getenv("TURNSRV_DRIVER")) == DriverPortable {
		t.Skip("the portable driver " + what)
	}
}

// on chooses the driver of a test that runs on several. The portable one leaves the kernel
// to the others.
func (cfg *Config) on(driver Driver) {
	if cfg.Driver = driver; driver == DriverPortable {
		cfg.Kernel = KernelOff
	}
}

// eachDriver runs a test on every driver that this system has.
func eachDriver(t *testing.T, test func(t *testing.T, cfg Config)) {
	for _, driver := range []Driver{DriverEpoll, DriverRing, DriverPortable} {
		t.Run(string(driver), func(t *testing.T) {
			if _, _, err := ChooseDriver(driver); err != nil {
				t.Skip(err)
			}
			cfg := testConfig(t)
			cfg.on(driver)
			test(t, cfg)
		})
	}
}

// listenStreams serves TCP (or TLS, with wrap) clients and returns the address.
func (ts *testServer) listenStreams(t testing.TB, transport wire.Transport, wrap func(net.Conn) net.Conn) string {
	t.Helper()
	return ts.listenStreamsAt(t, "127.0.0.1:0", transport, wrap)
}

func (ts *testServer) listenStreamsAt(t testing.TB, address string, transport wire.Transport, wrap func(net.Conn) net.Conn) string {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go ts.ServeStream(wrap(conn), transport)
		}
	}()
	return ln.Addr().String()
}

// TestStreamBeforeServe comes while the server starts: it waits, and is served then.
func TestStreamBeforeServe(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		early := &testServer{Server: s}
		conn, err := net.Dial("tcp", early.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn { return c }))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("before Serve: %v", err)
		}
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		newRaw(t, serveTest(t, s), conn, "alice", true).Allocate()
	})
}

// dialRaw returns a client of the server over UDP.
func dialRaw(t testing.TB, ts *testServer, user string) *turntest.Client {
	t.Helper()
	conn, err := net.Dial("udp", ts.udp.String())
	if err != nil {
		t.Fatal(err)
	}
	return newRaw(t, ts, conn, user, false)
}

// newRaw returns a client of the server over a connection.
func newRaw(t testing.TB, ts *testServer, conn net.Conn, user string, stream bool) *turntest.Client {
	t.Cleanup(func() { conn.Close() })
	c := &turntest.Client{T: t, Conn: conn, Realm: turntest.Realm, Stream: stream}
	c.Username, c.Password = turntest.Mint(ts.cfg.Credentials, user)
	return c
}
