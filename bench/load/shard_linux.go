package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"
)

// The phases of a run.
const (
	phaseWarmup = iota
	phaseMeasure
	phaseDrain
	phaseEnd
)

const (
	greeting     = 1                      // bytes, see Options.Greet
	fewReceivers = 24                     // so many sockets are polled one by one, more by epoll
	lostAfter    = 100 * time.Millisecond // a flow with nothing coming back for so long has lost its window
)

// A shard is one thread of the generator with flows and sockets of its own.
type shard struct {
	o     *Options
	cpu   int // -1: any
	base  time.Time
	phase *atomic.Int32

	clients   []*client
	flows     []*flow
	receivers []*conn // their fds carry media to us
	peers     []*conn // the plain UDP peers' sockets, see peer
	idle      []*client
	epoll     int
	events    []unix.EpollEvent

	single, trains *batch
	fromPeerFn     func([]byte) // method values made once: each new one is an allocation
	fromClientFn   func([]byte)
	stamp          time.Duration // when the batch at hand arrived
	latency        Histogram
	bad            uint64
	delivered      atomic.Uint64
	drained        atomic.Bool // everything that was sent has come
	count          uint64
	err            error
}

// setUp makes the shard's allocations, permissions and channels.
func (s *shard) setUp(first, n int) error {
	s.fromPeerFn, s.fromClientFn = s.fromPeer, s.fromClient
	s.single = newBatch(false)
	s.trains = s.single
	if s.o.GRO {
		s.trains = newBatch(true)
	}
	for i := range n {
		if s.o.Method == "direct" {
			if err := s.direct(i); err != nil {
				return fmt.Errorf("client %d: %w", first+i, err)
			}
			continue
		}
		a, err := s.open(first+i, s.o.ClientNamespace)
		if err != nil {
			return fmt.Errorf("client %d: %w", first+i, err)
		}
		if s.o.Pair {
			b, err := s.open(first+i, s.o.PeerNamespace)
			if err != nil {
				return fmt.Errorf("partner of client %d: %w", first+i, err)
			}
			err = s.connect(a, b)
			if err != nil {
				return fmt.Errorf("pair %d: %w", first+i, err)
			}
			continue
		}
		if err := s.reach(a, i); err != nil {
			return fmt.Errorf("client %d: %w", first+i, err)
		}
	}
	if err := s.rest(); err != nil {
		return err
	}
	if s.o.Greet && s.o.Method == "channel" {
		for _, c := range s.clients {
			if err := c.write(channelFrame(firstChannel, greeting, c.stream).bytes); err != nil {
				return err
			}
		}
	}
	return s.watch()
}

// rest makes the allocations that carry nothing.
func (s *shard) rest() error {
	for len(s.idle) < s.o.Idle && s.o.Method != "direct" {
		var group []*client
		err := Within(s.o.ClientNamespace, func() (err error) {
			group, err = newClients(s.o.Server, s.o.Secret, s.o.Sources, len(s.idle), min(groupSize, s.o.Idle-len(s.idle)))
			return err
		})
		if err != nil {
			return err
		}
		s.idle = append(s.idle, group...)
		if err := errors.Join(allocateAll(s.single, group)...); err != nil {
			return err
		}
	}
	return nil
}

// open connects one client and makes its allocation. Both of a pair belong to
// one user, so that any peer policy lets them talk.
func (s *shard) open(i int, namespace string) (c *client, err error) {
	var source netip.Addr
	if len(s.o.Sources) > 0 {
		source = s.o.Sources[i%len(s.o.Sources)]
	}
	for try := 0; ; try++ {
		err := Within(namespace, func() error {
			conn, err := dial(s.o.Server, source)
			c = &client{conn: conn}
			return err
		})
		if err != nil {
			return nil, err
		}
		c.username, c.password = Mint(s.o.Secret, "load"+strconv.Itoa(i))
		if s.o.Method == "raw" {
			s.clients = append(s.clients, c)
			return c, nil
		}
		err = c.allocate(s.single)
		// A port that an earlier run has used may still have its allocation.
		if refused := (errorAnswer{}); errors.As(err, &refused) && refused.code == stun.CodeAllocMismatch && try < 10 {
			defer c.close()
			continue
		}
		s.clients = append(s.clients, c)
		return c, err
	}
}

// connect joins two clients of the server.
func (s *shard) connect(a, b *client) error {
	if err := s.admit(a, b.relayed); err != nil {
		return err
	}
	if err := s.admit(b, a.relayed); err != nil {
		return err
	}
	if s.o.Direction != "down" {
		if err := s.clientFlow(a, b.relayed); err != nil {
			return err
		}
	}
	if s.o.Direction != "up" {
		return s.clientFlow(b, a.relayed)
	}
	return nil
}

func (s *shard) admit(c *client, peer netip.AddrPort) error {
	switch s.o.Method {
	case "raw":
		return c.announce(s.single, peer)
	case "send":
		return c.permit(s.single, peer)
	}
	return c.bind(s.single, firstChannel, peer)
}

func (s *shard) clientFlow(c *client, peer netip.AddrPort) error {
	shape := channelFrame(firstChannel, s.o.Size, c.stream)
	switch s.o.Method {
	case "raw", "direct":
		shape = rawFrame(s.o.Size)
	case "send":
		var err error
		if shape, err = sendFrame(peer, s.o.Size); err != nil {
			return err
		}
	}
	f, err := newFlow(len(s.flows), c.conn, c.fd, netip.AddrPort{}, shape, s.o)
	s.flows = append(s.flows, f)
	return err
}

// watch prepares everything that media may come to.
func (s *shard) watch() error {
	s.receivers = append(s.receivers, s.peers...)
	for _, c := range s.clients {
		if c.raw != nil {
			c.raw.patient = false
		}
		if s.o.Pair || s.o.Direction != "up" {
			s.receivers = append(s.receivers, c.conn)
		}
	}
	var err error
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create an epoll: %w", err)
	}
	s.events = make([]unix.EpollEvent, 256)
	for i, c := range s.receivers {
		if s.o.GRO && !c.stream {
			if err := unix.SetsockoptInt(c.fd, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
				return fmt.Errorf("set UDP_GRO: %w", err)
			}
		}
		if s.o.Spin && len(s.receivers) <= fewReceivers {
			continue
		}
		e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, c.fd, &e); err != nil {
			return fmt.Errorf("watch a socket: %w", err)
		}
	}
	return nil
}

func (s *shard) close() {
	for _, c := range append(s.clients, s.idle...) {
		if c.raw != nil {
			c.raw.patient = true
		}
		if c.relayed.IsValid() {
			// Best effort: the server need not hold it for ten minutes more.
			_ = c.ask(refreshMethod, lifetime(0))
		}
		c.close()
	}
	for _, c := range s.peers {
		c.close()
	}
	unix.Close(s.epoll)
}

// run is the loop of the shard's thread.
func (s *shard) run() {
	runtime.LockOSThread()
	if s.cpu >= 0 {
		if s.err = Pin(s.cpu); s.err != nil {
			return
		}
	}
	if s.o.Rate > 0 {
		s.openLoop()
	} else {
		s.closedLoop()
	}
}

func (s *shard) closedLoop() {
	share := max(s.o.Window/len(s.flows), s.o.Burst)
	for {
		phase := s.phase.Load()
		if phase == phaseEnd {
			return
		}
		sent := 0
		if phase != phaseDrain {
			now := time.Since(s.base)
			for _, f := range s.flows {
				if f.inFlight+f.burst <= share && !f.blocked() {
					sent += f.send(now)
				} else if f.inFlight > 0 && now-f.progress > lostAfter {
					f.inFlight, f.progress = 0, now
				}
			}
		}
		s.poll(sent == 0)
	}
}

func (s *shard) openLoop() {
	interval := time.Duration(float64(s.o.Burst) * float64(time.Second) / s.o.Rate)
	due, turn := time.Since(s.base), 0
	tick := due
	for {
		phase := s.phase.Load()
		if phase == phaseEnd {
			return
		}
		now := time.Since(s.base)
		if now >= due && now >= tick && phase != phaseDrain {
			f := s.flows[turn]
			if !f.blocked() || len(f.conn.raw.pending) < maxPending {
				f.send(now)
			}
			turn = (turn + 1) % len(s.flows)
			due += interval
			if now-due > lostAfter { // the machine was busy elsewhere: do not make up for it
				due = now
			}
			if now >= due {
				continue
			}
			tick = now + s.o.Tick
		}
		if !s.o.Spin {
			rest := unix.NsecToTimespec(int64(max(due, tick) - time.Since(s.base)))
			if rest.Nano() > 0 {
				_ = unix.Nanosleep(&rest, nil) // woken early it only looks once more
			}
		}
		s.poll(false)
	}
}

// poll takes in what has arrived. With idle and without Spin it sleeps for at
// most a millisecond.
func (s *shard) poll(idle bool) {
	if s.o.Spin && len(s.receivers) <= fewReceivers {
		for _, c := range s.receivers {
			s.receive(c)
		}
		s.publish()
		return
	}
	timeout := uintptr(0)
	if idle && !s.o.Spin {
		timeout = 1
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(s.epoll), uintptr(unsafe.Pointer(&s.events[0])),
		uintptr(len(s.events)), timeout, 0, 0)
	if errno != 0 {
		n = 0
	}
	for _, e := range s.events[:n] {
		s.receive(s.receivers[e.Fd])
	}
	s.publish()
}

// publish tells the coordinator how far the shard is.
func (s *shard) publish() {
	s.delivered.Store(s.count)
	if s.phase.Load() != phaseDrain {
		return
	}
	for _, f := range s.flows {
		if f.received < f.sent || f.blocked() {
			return
		}
	}
	s.drained.Store(true)
}

func (s *shard) receive(c *conn) {
	b := s.single
	deliver := s.fromClientFn
	if !c.stream {
		b = s.trains
	}
	if c.peer {
		deliver = s.fromPeerFn
	}
	for range 8 { // then the senders have their turn again
		s.stamp = 0
		more, err := c.messages(b, deliver)
		if err != nil {
			s.bad++
		}
		if !more {
			return
		}
	}
}

func (s *shard) fromClient(packet []byte) {
	if s.o.Method == "direct" {
		s.fromPeer(packet)
	} else if p := payload(packet); p != nil {
		s.fromPeer(p)
	} else if len(packet) == 0 || packet[0]&0xC0 != 0 {
		s.bad++
	}
}

func (s *shard) fromPeer(p []byte) {
	if len(p) == greeting {
		return
	}
	if len(p) != s.o.Size {
		s.bad++
		return
	}
	id := binary.BigEndian.Uint32(p)
	if int(id) >= len(s.flows) || p[len(p)-1] != byte(len(p)-1) && len(p) > minPayload {
		s.bad++
		return
	}
	if s.stamp == 0 {
		s.stamp = time.Since(s.base)
	}
	f := s.flows[id]
	f.received++
	f.inFlight = max(f.inFlight-1, 0)
	f.progress = s.stamp
	number := binary.BigEndian.Uint64(p[4:])
	if number < f.next {
		f.reordered++
	} else {
		f.next = number + 1
	}
	s.count++
	if s.phase.Load() == phaseMeasure {
		s.latency.Add(s.stamp - time.Duration(binary.BigEndian.Uint64(p[12:])))
	}
}
