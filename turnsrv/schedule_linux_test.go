//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/turntest"
)

// schedule is a random life of a few clients beside a model of it: allocations made and
// ended, packets and trains both ways, with relay ports and five-tuples that soon belong
// to somebody else. Everything arrives in order and once, but for what a peer sent to an
// allocation that ended; nothing of one allocation reaches another.
type schedule struct {
	t       *testing.T
	ts      *testServer
	peer    *net.UDPConn
	parties [4]*party
	next    uint32             // the last allocation's number
	up      map[uint32]*upward // by allocation
	waiting int                // packets that must reach the peer
}

type party struct {
	client     *turntest.Client
	allocation uint32 // 0: none
	relayed    netip.AddrPort
	sent, came uint32 // down
}

type upward struct {
	relayed    netip.AddrPort
	sent, came uint32
}

const scheduleBytes = 60 // of a packet

func newSchedule(t *testing.T, ts *testServer) *schedule {
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &schedule{t: t, ts: ts, peer: peer, up: make(map[uint32]*upward)}
	for i := range s.parties {
		s.parties[i] = &party{client: dialRaw(t, ts, "alice")}
	}
	return s
}

// run takes two bytes a step: who does what, and how often.
func (s *schedule) run(steps []byte) {
	for ; len(steps) >= 2; steps = steps[2:] {
		p, n := s.parties[steps[0]&3], uint32(steps[1]&15)+1
		switch what := steps[0] >> 2 & 7; what {
		case 0, 1:
			s.begin(p, what == 0)
		case 2, 3:
			s.upward(p, n, what == 2)
		case 4, 5:
			s.downward(p, n, what == 4)
		case 6:
			s.end(p, n)
		default:
			for _, q := range s.parties { // all at once, while the workers are busy
				s.downward(q, n, false)
			}
			s.settle()
		}
	}
	s.settle()
}

func payload(allocation, number uint32) []byte {
	b := make([]byte, scheduleBytes)
	binary.BigEndian.PutUint32(b, allocation)
	binary.BigEndian.PutUint32(b[4:], number)
	return b
}

func (s *schedule) begin(p *party, fresh bool) {
	if p.allocation != 0 {
		return
	}
	if fresh {
		p.client.Conn.Close()
		p.client = dialRaw(s.t, s.ts, "alice")
	}
	p.relayed = p.client.Allocate()[0]
	if code := turntest.CodeOf(p.client.Do(stun.MethodChannelBind, turntest.Peer(s.peer.LocalAddr().String()), turntest.ChannelNumber(0x4000))); code != 0 {
		s.t.Fatal(code)
	}
	s.next++
	p.allocation, p.sent, p.came = s.next, 0, 0
	s.up[s.next] = &upward{relayed: p.relayed}
}

func (s *schedule) upward(p *party, n uint32, train bool) {
	if p.allocation == 0 {
		return
	}
	u, all := s.up[p.allocation], []byte(nil)
	for range n {
		b := turntest.ChannelData(0x4000, payload(p.allocation, u.sent), false)
		u.sent++
		if all = append(all, b...); !train {
			p.client.Send(b)
		}
	}
	if train {
		burst(s.t, p.client.Conn.(*net.UDPConn), netip.AddrPort{}, all, scheduleBytes+4)
	}
	if s.waiting += int(n); s.waiting > 64 {
		s.settle()
	}
}

func (s *schedule) downward(p *party, n uint32, train bool) {
	if p.allocation == 0 {
		return
	}
	if p.sent-p.came > 64 {
		s.settle()
	}
	var all []byte
	for range n {
		b := payload(p.allocation, p.sent)
		p.sent++
		if all = append(all, b...); train {
			continue
		}
		if _, err := s.peer.WriteToUDPAddrPort(b, p.relayed); err != nil {
			s.t.Fatal(err)
		}
	}
	if train {
		burst(s.t, s.peer, p.relayed, all, scheduleBytes)
	}
}

// end ends an allocation while packets for it are on their way, and those from it before.
func (s *schedule) end(p *party, n uint32) {
	s.upward(p, n, false)
	s.downward(p, n, false)
	if p.allocation == 0 {
		return
	}
	m := p.client.Signed(stun.MethodRefresh, turntest.Lifetime(0))
	p.client.Send(m.Raw)
	for {
		b := p.client.Receive()
		res := new(stun.Message)
		if stun.IsMessage(b) && stun.Decode(b, res) == nil && res.TransactionID == m.TransactionID {
			break
		}
		s.data(p, b)
	}
	p.allocation = 0
}

// data takes a packet at a client.
func (s *schedule) data(p *party, b []byte) {
	s.t.Helper()
	if len(b) != scheduleBytes+4 {
		s.t.Fatalf("%d bytes at a client", len(b))
	}
	if a, n := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]); a != p.allocation || n != p.came {
		s.t.Fatalf("packet %d of allocation %d came, want %d of %d", n, a, p.came, p.allocation)
	}
	p.came++
}

// settle takes in all that must come.
func (s *schedule) settle() {
	s.t.Helper()
	for _, p := range s.parties {
		for p.allocation != 0 && p.came < p.sent {
			s.data(p, p.client.Receive())
		}
	}
	b := make([]byte, 1500)
	for ; s.waiting > 0; s.waiting-- {
		s.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, from, err := s.peer.ReadFromUDPAddrPort(b)
		if err != nil || n != scheduleBytes {
			s.t.Fatalf("%d bytes at the peer, %v", n, err)
		}
		a, number := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		u := s.up[a]
		if u == nil || u.relayed != from || u.came != number {
			s.t.Fatalf("packet %d of allocation %d came to the peer from %v, want %v", number, a, from, u)
		}
		u.came++
	}
}

// scheduleConfig has so few ports that each is soon somebody else's; a fuzzer's processes
// have different ones.
func scheduleConfig(t *testing.T) Config {
	cfg := testConfig(t)
	cfg.Relay = cfg.Relay[:1]
	cfg.PortMin += uint16(os.Getpid()%60) * 12
	cfg.PortMax = cfg.PortMin + 11
	return cfg
}

func randomSteps(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 19))
	steps := make([]byte, 2*n)
	for i := range steps {
		steps[i] = byte(r.Uint32())
	}
	return steps
}

// FuzzSchedules holds every driver to the model.
func FuzzSchedules(f *testing.F) {
	f.Add(randomSteps(1, 150))
	f.Add(randomSteps(2, 60))
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 1000 {
			return
		}
		for _, driver := range []Driver{DriverEpoll, DriverRing, DriverPortable} {
			if _, _, err := ChooseDriver(driver); err != nil {
				continue
			}
			cfg := scheduleConfig(t)
			cfg.on(driver)
			ts := startServer(t, cfg)
			s := newSchedule(t, ts)
			s.run(steps)
			s.peer.Close()
			ts.stop()
		}
	})
}

// crowd has the workers of a server held while packets for everybody and from everybody
// come, several times.
func (s *schedule) crowd(rounds int) {
	for _, p := range s.parties {
		s.begin(p, false)
	}
	for range rounds {
		release := make(chan struct{})
		for _, w := range s.ts.workers {
			w.Post(func(*core.Shard) { <-release })
		}
		for _, p := range s.parties {
			s.upward(p, 15, false)
			s.downward(p, 40, false)
		}
		close(release)
		s.settle()
	}
}
