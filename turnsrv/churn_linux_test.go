//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// churn is many short calls at once on one server: two clients, each over UDP, TCP or
// TLS, or one and a peer outside, that allocate, permit, bind a channel, send both ways,
// refresh and end. Every packet of theirs comes within its retransmissions.
type churn struct {
	t      *testing.T
	ts     *testServer
	at     [3]string // of the listeners
	calls  atomic.Uint32
	again  atomic.Int64
	failed atomic.Bool
	every  uint32     // calls: a handover before each such
	moving sync.Mutex // one at a time
}

func newChurn(t *testing.T, cfg Config) *churn {
	c := &churn{t: t, ts: startServer(t, cfg)}
	secure := testTLS(t)
	c.at = [3]string{
		c.ts.udp.String(),
		c.ts.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn { return &bridge{c} }),
		c.ts.listenStreams(t, wire.TLS, func(c net.Conn) net.Conn {
			s := tls.Server(&bridge{c}, secure)
			if err := s.Handshake(); err != nil {
				t.Error(err)
			}
			return s
		}),
	}
	return c
}

func (c *churn) dial(transport int) (*churnCaller, error) {
	conn, err := net.Dial([]string{"udp", "tcp", "tcp"}[transport], c.at[transport])
	if err != nil {
		return nil, err
	}
	if transport == 2 {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	caller := &churnCaller{again: &c.again, buf: make([]byte, 2000)}
	caller.Client = turntest.Client{T: c.t, Conn: conn, Realm: turntest.Realm, Stream: transport > 0}
	caller.Username, caller.Password = turntest.Mint(c.ts.cfg.Credentials, "anna")
	return caller, nil
}

// churnEnd is one end of a call: how it sends a packet to the other, and waits for one.
type churnEnd struct {
	caller *churnCaller // nil: a peer outside
	peer   *churnCaller // its socket
	to     netip.AddrPort
}

func (e *churnEnd) address() netip.AddrPort {
	if e.caller != nil {
		return e.caller.relayed
	}
	return e.peer.relayed
}

func (e *churnEnd) send(p []byte, channel bool) error {
	var err error
	switch {
	case e.caller == nil:
		_, err = e.peer.Conn.(bare).WriteToUDPAddrPort(p, e.to)
	case channel:
		_, err = e.caller.Conn.Write(turntest.ChannelData(0x4000, p, e.caller.Stream))
	default:
		_, err = e.caller.Conn.Write(turntest.Send(e.to.String(), p))
	}
	return err
}

func (e *churnEnd) listener() *churnCaller {
	if e.caller != nil {
		return e.caller
	}
	return e.peer
}

// call is one life.
func (c *churn) call(r *rand.Rand) error {
	number := c.calls.Add(1)
	if c.every > 0 && number%c.every == 0 {
		if err := c.move(); err != nil {
			return err
		}
	}
	var ends [2]churnEnd
	what := ""
	for i := range ends {
		if i == 1 && r.IntN(3) == 0 {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				return err
			}
			defer conn.Close()
			ends[i].peer = &churnCaller{again: &c.again, buf: make([]byte, 2000), relayed: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
			ends[i].peer.Conn = bare{conn}
			what += " outside"
			continue
		}
		transport := []int{0, 0, 0, 1, 2}[r.IntN(5)]
		what += []string{" udp", " tcp", " tls"}[transport]
		caller, err := c.dial(transport)
		if err != nil {
			return err
		}
		defer caller.Conn.Close()
		ends[i].caller = caller
		if err := caller.allocate(); err != nil {
			return fmt.Errorf("call %d,%s: %w", number, what, err)
		}
	}
	if err := c.talk(number, &ends, r); err != nil {
		return fmt.Errorf("call %d,%s: %w", number, what, err)
	}
	return nil
}

func (c *churn) talk(number uint32, ends *[2]churnEnd, r *rand.Rand) error {
	for i := range ends {
		e := &ends[i]
		if e.to = ends[1-i].address(); e.caller == nil {
			continue
		}
		if _, err := e.caller.do(stun.MethodCreatePermission, turntest.Peer(e.to.String())); err != nil {
			return err
		}
	}
	p := make([]byte, 8+r.IntN(1000))
	binary.BigEndian.PutUint32(p, number)
	packets := uint32(0)
	exchange := func(channel bool) error {
		for i := range ends {
			packets++
			binary.BigEndian.PutUint32(p[4:], packets)
			from, to := &ends[i], &ends[1-i]
			if err := to.listener().expect(number, packets, from, channel, p); err != nil {
				return err
			}
		}
		return nil
	}
	if err := exchange(false); err != nil {
		return err
	}
	for i := range ends {
		if e := &ends[i]; e.caller != nil {
			if _, err := e.caller.do(stun.MethodChannelBind, turntest.Peer(e.to.String()), turntest.ChannelNumber(0x4000)); err != nil {
				return err
			}
		}
	}
	for range r.IntN(8) {
		if err := exchange(true); err != nil {
			return err
		}
	}
	for i := range ends {
		e := &ends[i]
		if e.caller == nil {
			continue
		}
		if _, err := e.caller.do(stun.MethodRefresh); err != nil {
			return err
		}
		if e.caller.Stream && r.IntN(2) == 0 {
			continue // it just goes
		}
		if _, err := e.caller.do(stun.MethodRefresh, turntest.Lifetime(0)); err != nil {
			return err
		}
	}
	return nil
}

// bare reads datagrams of anybody.
type bare struct{ *net.UDPConn }

func (b bare) Read(p []byte) (int, error) {
	n, _, err := b.ReadFromUDPAddrPort(p)
	return n, err
}

// run has so many goroutines make calls, while more says so.
func (c *churn) run(goroutines int, more func(call uint32) bool) {
	var all sync.WaitGroup
	seed := rand.Uint64()
	c.t.Logf("seed %d", seed)
	for g := range goroutines {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			for more(c.calls.Load()) && !c.failed.Load() {
				if err := c.call(r); err != nil {
					c.failed.Store(true)
					c.t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// move hands the listeners over, as to a new process, and takes them back: the calls that
// go on have sockets of their own from then on.
func (c *churn) move() error {
	c.moving.Lock()
	defer c.moving.Unlock()
	spare, err := c.ts.ListenerFiles()
	if err != nil {
		return err
	}
	if lost := c.ts.Yield(); lost != 0 {
		return fmt.Errorf("%d clients were lost in a handover", lost)
	}
	return c.ts.Resume(spare)
}

// holding is what a process has that must not grow.
type holding struct {
	goroutines int
	heap       uint64 // bytes in use
	resident   uint64 // bytes
}

func held(t *testing.T) holding {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return holding{runtime.NumGoroutine(), m.HeapAlloc, resident * uint64(os.Getpagesize())}
}

// descriptors is how many the process has.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// churnLength reads TURNSRV_CHURN and TURNSRV_CHURN_CALLS.
func churnLength(t *testing.T) (length time.Duration, perSecond int) {
	t.Helper()
	var err error
	if s := os.Getenv("TURNSRV_CHURN"); s != "" {
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("TURNSRV_CHURN_CALLS"); s != "" {
		if perSecond, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return length, perSecond
}

// TestChurn ends with everything where it began. TURNSRV_CHURN says how long it takes, and
// TURNSRV_CHURN_CALLS how many calls a second begin at most, for a machine that has more to
// do (0: as many as it can).
func TestChurn(t *testing.T) {
	length, perSecond := churnLength(t)
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Relay = cfg.Relay[:1]
		c := newChurn(t, cfg)
		settled := func() bool {
			s := c.ts.Stats()
			return s.Created == s.Ended && s.Streams == 0
		}
		enough := func(calls uint32) func(uint32) bool {
			calls += c.calls.Load()
			return func(call uint32) bool { return call < calls }
		}
		c.run(16, enough(16)) // everything has its size
		until(t, settled)
		before, fds, start := held(t), descriptors(t), time.Now()
		if cfg.Driver != DriverPortable {
			c.every = 8
		}
		c.run(16, enough(24))
		for round := 1; time.Since(start) < length && !t.Failed(); round++ {
			end := start.Add(min(time.Duration(round)*time.Minute, length))
			first, begun := c.calls.Load(), time.Now()
			c.run(16, func(call uint32) bool {
				if perSecond > 0 {
					time.Sleep(time.Until(begun.Add(time.Duration(call-first) * time.Second / time.Duration(perSecond))))
				}
				return time.Now().Before(end)
			})
			if c.failed.Load() {
				return // what it has left is there for minutes
			}
			until(t, settled)
			t.Logf("%v: %d calls, %d sent again, %d descriptors, %+v", time.Since(start).Round(time.Second), c.calls.Load(), c.again.Load(), descriptors(t), held(t))
		}
		until(t, settled)
		until(t, func() bool { return descriptors(t) <= fds })
		after, s := held(t), c.ts.Stats()
		if after.goroutines > before.goroutines {
			t.Errorf("%d goroutines, %d before", after.goroutines, before.goroutines)
		}
		if after.heap > before.heap+before.heap/10+1<<20 {
			t.Errorf("%d bytes in use, %d before", after.heap, before.heap)
		}
		if after.resident > before.resident+before.resident/4+16<<20 {
			t.Errorf("%d bytes resident, %d before", after.resident, before.resident)
		}
		t.Logf("%d calls, %d sent again, dropped %v", c.calls.Load(), c.again.Load(), s.Drops)
	})
}
