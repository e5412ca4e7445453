package portmux

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSilentClientIsCutOff(t *testing.T) {
	b := start(t, func(c *Config) { c.IdentifyTimeout = 20 * time.Millisecond })
	for _, send := range []string{"", "GE", "\x16"} {
		if got := ask(t, b.dial(t), 1, send); got != "" {
			t.Errorf("after %q: %q", send, got)
		}
	}
	if s := b.Stats(); s.Refused["timeout"] != 3 {
		t.Errorf("%+v", s)
	}
	// How far the TLS comes in that time is for the machine to say, and so is the reason.
	const record = "\x16\x03\x01\x40\x00" // its header
	b = start(t, func(c *Config) { c.IdentifyTimeout = 500 * time.Millisecond })
	for send, conn := range map[string]net.Conn{record: b.dial(t), "\x00\x01": tls.Client(b.dial(t), b.tls)} {
		if got := ask(t, conn, 1, send); got != "" {
			t.Errorf("after %q in or for TLS: %q", send, got)
		}
	}
	if s := b.Stats(); s.Refused["tls"]+s.Refused["timeout"] != 2 {
		t.Errorf("%+v", s)
	}
	// Who goes away is told apart by how far he came.
	b = start(t, nil)
	b.tls.MaxVersion = tls.VersionTLS12 // whose server has nothing more to say than the client waits for
	for reason, conn := range map[string]net.Conn{"tls": b.dial(t), "closed": b.dialTLS(t)} {
		conn.Write([]byte(map[string]string{"tls": record, "closed": "\x00\x01"}[reason]))
		conn.Close()
		come(t, "one is counted as "+reason, func() bool { return b.Stats().Refused[reason] == 1 })
	}
}

func TestOldestMakesRoom(t *testing.T) {
	b := start(t, func(c *Config) { c.Unidentified, c.Patience = 2, time.Nanosecond })
	silent := []net.Conn{b.dial(t), b.dial(t)}
	third := b.dial(t)
	if got := ask(t, silent[0], 1); got != "" {
		t.Errorf("the oldest got %q", got)
	}
	if got := ask(t, third, 13, string(binding)); got != "secure=false " {
		t.Errorf("the newest got %q", got)
	}
	if got := ask(t, silent[1], 13, string(binding)); got != "secure=false " {
		t.Errorf("the second got %q", got)
	}
	if s := b.Stats(); s.Refused["crowded"] != 1 || s.Refused["closed"] != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCrowdAtOnce has far more clients come in the same moment than may wait, as
// after a restart of the server: all get in at the first try, those that are slow
// with their TLS handshakes too.
func TestCrowdAtOnce(t *testing.T) {
	// However slow this machine is.
	b := start(t, func(c *Config) { c.Unidentified, c.Patience, c.IdentifyTimeout = 16, time.Hour, time.Hour })
	var clients sync.WaitGroup
	for range 300 {
		clients.Go(func() {
			conn, err := tls.Dial("tcp", b.addr, b.tls)
			if err != nil {
				t.Errorf("a client is refused: %v", err)
				return
			}
			defer conn.Close()
			if got := ask(t, conn, 12, string(binding)); got != "secure=true " {
				t.Errorf("a client got %q", got)
			}
		})
	}
	clients.Wait()
	if s := b.Stats(); s.Refused["crowded"] != 0 || s.Accepted["turns"] != 300 {
		t.Errorf("%+v", s)
	}
}

func TestConnectionsPerIP(t *testing.T) {
	b := start(t, func(c *Config) { c.ConnectionsPerIP = 2 })
	first, second := b.dial(t), b.dial(t)
	ask(t, first, 13, string(binding))
	ask(t, second, 13, string(binding))
	if third, err := net.Dial("tcp", b.addr); err == nil { // the reset may come as early as this
		if got := ask(t, third, 1, string(binding)); got != "" {
			t.Errorf("the third got %q", got)
		}
		third.Close()
	}
	first.Close()
	come(t, "the server has noticed", func() bool { return b.Stats().Open == 1 })
	if got := ask(t, b.dial(t), 13, string(binding)); got != "secure=false " {
		t.Errorf("after one left: %q", got)
	}
	if s := b.Stats(); s.Refused["per_ip"] != 1 {
		t.Errorf("%+v", s)
	}

	proxied := start(t, func(c *Config) {
		c.ConnectionsPerIP = 1
		c.Proxy = netip.MustParsePrefix("127.0.0.0/8").Contains
	})
	for range 3 {
		if got := ask(t, proxied.dial(t), 13, string(binding)); got != "secure=false " {
			t.Errorf("a proxy is limited: %q", got)
		}
	}
}

// TestIdleMakesRoom: connections that a browser keeps for later refuse nobody; those on
// which something is going on, or which are no HTTP, do.
func TestIdleMakesRoom(t *testing.T) {
	const most = 4
	release := make(chan struct{})
	over := sync.OnceFunc(func() { close(release) })
	defer over()
	b := start(t, func(c *Config) {
		c.ConnectionsPerIP = most
		c.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-release
			}
			io.WriteString(w, "here")
		})
	})
	get := func(path string) (*http.Client, string) {
		one := &http.Client{Transport: &http.Transport{TLSClientConfig: b.tls.Clone()}}
		t.Cleanup(one.CloseIdleConnections)
		answer, err := one.Get("https://" + b.addr + path)
		if err != nil {
			return one, err.Error()
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return one, string(text)
	}
	var first *http.Client
	for i := range 5 * most { // each keeps its connection
		one, said := get("/")
		if said != "here" {
			t.Fatalf("the %dth visitor: %s", i+1, said)
		}
		if first == nil {
			first = one
		}
	}
	if s := b.Stats(); s.Refused["per_ip"] != 0 || s.Open > most {
		t.Errorf("%+v", s)
	}
	if answer, err := first.Get("https://" + b.addr + "/"); err != nil { // on a new connection
		t.Error(err)
	} else {
		_, _ = io.Copy(io.Discard, answer.Body) // else the client closes it
		answer.Body.Close()
	}
	idle := func() (n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, list := range b.idle {
			n += len(list)
		}
		return n
	}
	come(t, "all wait for the next request", func() bool { return idle() == most }) // the last one does so a moment after its answer
	// Those in use do not.
	var busy sync.WaitGroup
	for range most - 1 {
		busy.Go(func() {
			if _, said := get("/slow"); said != "here" {
				t.Error(said)
			}
		})
	}
	turn := b.dial(t)
	if got := ask(t, turn, 13, string(binding)); got != "secure=false " {
		t.Errorf("TURN: %q", got)
	}
	come(t, "all of them are in use", func() bool { return idle() == 0 && b.Stats().Open == most })
	if _, said := get("/"); said == "here" {
		t.Error("one more than there may be is served")
	}
	over()
	busy.Wait()
	if got := ask(t, turn, 13, "x"); len(got) != 13 {
		t.Errorf("TURN has made room: %q", got)
	}
}

// TestRelayLeavesRoom: however many connections to the relay a household's calls open, its
// pages come in.
func TestRelayLeavesRoom(t *testing.T) {
	const most = 8
	b := start(t, func(c *Config) { c.ConnectionsPerIP = most })
	var in []net.Conn
	for range 2 * most {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if ask(t, conn, 13, string(binding)) == "secure=false " {
			in = append(in, conn)
		}
	}
	if len(in) != most-most/4 {
		t.Errorf("%d connections to the relay, want %d", len(in), most-most/4)
	}
	come(t, "those that were refused do not count any more", func() bool { return int(b.Stats().Open) <= len(in) })
	const request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	for range most / 4 {
		if got := ask(t, b.dial(t), 15, request); got != "HTTP/1.1 200 OK" {
			t.Errorf("a page: %q", got)
		}
	}
	// Who leaves makes room for another one.
	in[0].Close()
	come(t, "another one comes in", func() bool { return ask(t, b.dial(t), 13, string(binding)) == "secure=false " })
	b.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.relaying.Total() != 0 || b.clients.Total() != 0 || len(b.idle) != 0 {
		t.Errorf("left: %d to the relay, %d in all, %d idle", b.relaying.Total(), b.clients.Total(), len(b.idle))
	}
}

// from is a connection that seems to come from an address.
type from struct {
	net.Conn
	addr netip.Addr
}

func (c from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 1)) }

// TestConnectionsPerNetwork has all homes of a /48 connect, and all of a /24: they
// get as many places as 16 of them, and others are not touched by it.
func TestConnectionsPerNetwork(t *testing.T) {
	m := New(Config{ConnectionsPerIP: 2, HTTP: http.NotFoundHandler(), STUN: func(c *Conn, _ bool) { c.Close() }})
	open := func(addr netip.Addr) (far net.Conn, in bool) {
		near, far := net.Pipe()
		before := m.Stats().Open
		m.take(from{near, addr})
		if m.Stats().Open == before {
			far.Close()
			return nil, false
		}
		return far, true
	}
	home := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(i), 15: 1})
	}
	four := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }
	var all []net.Conn
	for _, address := range []func(int) netip.Addr{home, four} {
		for i := range 200 {
			if far, in := open(address(i / 2)); in {
				all = append(all, far)
			}
		}
	}
	if len(all) != 64 {
		t.Errorf("a /48 and a /24 have %d connections, want 32 each", len(all))
	}
	if _, in := open(home(0)); in {
		t.Error("one household has a third connection")
	}
	for _, other := range []string{"2001:db8:1::1", "203.0.114.1"} {
		far, in := open(netip.MustParseAddr(other))
		if !in {
			t.Fatalf("%s pays for its neighbours", other)
		}
		all = append(all, far)
	}
	if s := m.Stats(); s.Refused["per_network"] != 2*(200-32) || s.Refused["per_ip"] != 1 {
		t.Errorf("%+v", s)
	}
	for _, far := range all {
		far.Close()
	}
	m.handing.Wait()
	if m.clients.Total() != 0 {
		t.Errorf("%d are counted and none is there", m.clients.Total())
	}
}

// TestSlowNetworkCrowdsNobodyOut has all homes of a /48 connect and say nothing yet:
// they get a quarter of the places of those who have not said what they are, though
// they may have as many connections as there are places, and others are let in.
func TestSlowNetworkCrowdsNobodyOut(t *testing.T) {
	var log bytes.Buffer
	m := New(Config{ConnectionsPerIP: 4, Unidentified: 64, Patience: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		HTTP: http.NotFoundHandler(), STUN: func(c *Conn, _ bool) { c.Close() }})
	var all []net.Conn
	open := func(addr netip.Addr) (in bool) {
		near, far := net.Pipe()
		before := m.Stats().Open
		m.take(from{near, addr})
		all = append(all, far)
		return m.Stats().Open > before
	}
	got := 0
	for i := range 64 {
		if open(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(i), 15: 1})) {
			got++
		}
	}
	if got != 16 || m.Stats().Refused["crowded"] != 48 {
		t.Errorf("a /48 has %d of 64 places; %+v", got, m.Stats())
	}
	if !m.room(t.Context()) || !open(netip.MustParseAddr("9.9.9.9")) {
		t.Error("another one does not get in")
	}
	if n := strings.Count(log.String(), "TCP connections are refused"); n != 1 || !strings.Contains(log.String(), "limits.connections_per_ip") {
		t.Errorf("%d lines about it:\n%s", n, log.String())
	}
	for _, far := range all {
		far.Close()
	}
	m.handing.Wait()
	if m.places.Total() != 0 || m.clients.Total() != 0 || m.waiting.Len() != 0 {
		t.Errorf("left: %d places, %d connections, %d waiting", m.places.Total(), m.clients.Total(), m.waiting.Len())
	}
}
