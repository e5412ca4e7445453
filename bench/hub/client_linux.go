package hub

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"turnhub/bench/load"
)

// The states of a client, in their order.
const (
	stateConnecting = iota
	stateUpgrading
	stateOpening
	stateJoining
	stateIn
	stateGone
)

// A client is one socket and what it has learned.
type client struct {
	fd    int
	id    string
	name  string // by which others reach it
	room  string
	state int
	began time.Duration // when it started to connect
	asked time.Duration // when it asked to join

	rest    []byte // an incomplete frame
	out     []byte // what the kernel did not take
	scratch []byte

	sent, seen, acked uint64 // numbers of turnhub.v1
	partner           *client
	inFlight          int
	stalled           bool
}

func (c *client) next() uint64 { c.sent++; return c.sent }

// A crowd is all clients of one run, in one thread.
type crowd struct {
	server  netip.AddrPort
	dialect dialect
	sources []netip.Addr
	epoll   int
	base    time.Time
	clients map[int]*client // by descriptor
	order   []*client       // who beats next
	turn    int
	beat    time.Duration // each client beats once in that time
	beaten  time.Duration
	buffer  []byte
	events  []unix.EpollEvent

	entered   func(c *client)                                     // it is ready, or in its room
	delivered func(c *client, message []byte, sent time.Duration) // a letter came
	opened    int                                                 // clients that are in
	failed    int                                                 // sockets that ended unasked
	reason    error                                               // why the last of them did
}

func newCrowd(server netip.AddrPort, d dialect, sources []netip.Addr) (*crowd, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll: %w", err)
	}
	return &crowd{
		server: server, dialect: d, sources: sources, epoll: epoll, base: time.Now(),
		clients: make(map[int]*client), buffer: make([]byte, 1<<18), events: make([]unix.EpollEvent, 512),
		beat: 15 * time.Second,
	}, nil
}

func (w *crowd) now() time.Duration { return time.Since(w.base) }

func (w *crowd) close() {
	for _, c := range w.clients {
		unix.Close(c.fd)
	}
	unix.Close(w.epoll)
}

// connect starts a client; entered will tell when it is in. A room of that name is
// this crowd's own: those of an earlier crowd keep their seats until nobody can
// resume its sessions any more.
func (w *crowd) connect(room string) (*client, error) {
	if room != "" {
		room = fmt.Sprintf("%s-%x", room, w.base.UnixNano())
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	c := &client{fd: fd, id: "load" + strconv.Itoa(len(w.order)), room: room, began: w.now()}
	if len(w.sources) > 0 {
		source := w.sources[len(w.order)%len(w.sources)]
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("bind %s: %w", source, err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: w.server.Addr().As4(), Port: int(w.server.Port())})
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", w.server, err)
	}
	w.clients[fd] = c
	w.order = append(w.order, c)
	return c, w.watch(unix.EPOLL_CTL_ADD, c, unix.EPOLLIN|unix.EPOLLOUT)
}

func (w *crowd) watch(op int, c *client, events uint32) error {
	if err := unix.EpollCtl(w.epoll, op, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)}); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// leave ends a client on purpose.
func (w *crowd) leave(c *client) {
	if c.state == stateGone {
		return
	}
	if c.state == stateIn {
		w.opened--
	}
	c.state = stateGone
	delete(w.clients, c.fd)
	unix.Close(c.fd)
}

// lose ends a client that the server or the network has ended.
func (w *crowd) lose(c *client, why error) {
	if c.state != stateGone {
		w.failed++
		w.reason = why
		w.leave(c)
	}
}

// say sends one text message.
func (w *crowd) say(c *client, message []byte) { w.write(c, opText, message) }

func (w *crowd) write(c *client, opcode byte, message []byte) {
	if c.state == stateGone {
		return
	}
	busy := len(c.out) > 0
	c.out = appendFrame(c.out, opcode, message)
	if !busy {
		w.flush(c)
	}
}

func (w *crowd) flush(c *client) {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		if err == unix.EAGAIN {
			if err := w.watch(unix.EPOLL_CTL_MOD, c, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
				w.lose(c, err)
			}
			return
		}
		if err != nil {
			w.lose(c, fmt.Errorf("write: %w", err))
			return
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
}

// step handles what is ready, waiting at most d, and keeps sockets alive.
func (w *crowd) step(d time.Duration) error {
	n, err := unix.EpollWait(w.epoll, w.events, int(d/time.Millisecond))
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("wait for sockets: %w", err)
	}
	for _, e := range w.events[:max(n, 0)] {
		c := w.clients[int(e.Fd)]
		if c == nil {
			continue
		}
		if e.Events&unix.EPOLLOUT != 0 {
			w.writable(c)
		}
		if e.Events&^unix.EPOLLOUT != 0 && c.state != stateGone && !c.stalled {
			w.readable(c)
		}
	}
	w.beats()
	return nil
}

func (w *crowd) beats() {
	if len(w.order) == 0 {
		return
	}
	now := w.now()
	for n := int(float64(now-w.beaten) / float64(w.beat) * float64(len(w.order))); n > 0; n-- {
		w.beaten = now
		w.turn = (w.turn + 1) % len(w.order)
		if c := w.order[w.turn]; c.state == stateIn {
			w.say(c, w.dialect.beat(c))
		}
	}
}

func (w *crowd) writable(c *client) {
	if c.state == stateConnecting {
		if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			w.lose(c, fmt.Errorf("connect: %w", errors.Join(err, unix.Errno(code))))
			return
		}
		target, subprotocol := w.dialect.request(c.id)
		c.out = fmt.Appendf(c.out, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", target, w.server)
		if subprotocol != "" {
			c.out = fmt.Appendf(c.out, "Sec-WebSocket-Protocol: %s\r\n", subprotocol)
		}
		c.out = append(c.out, "\r\n"...)
		c.state = stateUpgrading
	}
	if w.flush(c); c.state != stateGone && len(c.out) == 0 {
		if err := w.watch(unix.EPOLL_CTL_MOD, c, unix.EPOLLIN); err != nil {
			w.lose(c, err)
		}
	}
}

func (w *crowd) readable(c *client) {
	have := copy(w.buffer, c.rest)
	n, err := unix.Read(c.fd, w.buffer[have:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n <= 0 {
		w.lose(c, errors.Join(errors.New("the server closed the socket"), err))
		return
	}
	b := w.buffer[:have+n]
	if c.state == stateUpgrading {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			c.rest = append(c.rest[:0], b...)
			return
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
			w.lose(c, fmt.Errorf("upgrade refused: %.60q", b))
			return
		}
		b = b[end+4:]
		c.state = stateOpening
		if hello := w.dialect.opened(c); hello != nil {
			w.say(c, hello)
		}
	}
	for c.state != stateGone {
		opcode, payload, size := nextFrame(b)
		if size == 0 {
			break
		}
		w.frame(c, opcode, payload)
		b = b[size:]
	}
	c.rest = append(c.rest[:0], b...)
	if len(c.rest) == 0 && cap(c.rest) > 4096 {
		c.rest = nil
	}
	if c.seen-c.acked >= 32 {
		c.acked = c.seen
		w.say(c, fmt.Appendf(c.scratch[:0], `{"type":"ack","ack":%d}`, c.seen))
	}
}

func (w *crowd) frame(c *client, opcode byte, m []byte) {
	switch opcode {
	case opPing:
		w.write(c, opPong, m)
		return
	case opClose:
		w.lose(c, fmt.Errorf("closed with % x %.80s", m[:min(2, len(m))], m[min(2, len(m)):]))
		return
	case opText:
	default:
		return
	}
	c.seen = max(c.seen, number(m, `"seq":`))
	switch c.state {
	case stateOpening:
		if w.dialect.ready(c, m) {
			c.asked = w.now()
			if join := w.dialect.join(c, c.room); c.room != "" && join != nil {
				c.state = stateJoining
				w.say(c, join)
				return
			}
			w.enter(c)
		}
	case stateJoining:
		if w.dialect.joined(m) {
			w.enter(c)
		}
	case stateIn:
		if sent, ok := sentAt(m); ok && w.delivered != nil {
			w.delivered(c, m, sent)
		}
	}
}

func (w *crowd) enter(c *client) {
	c.state = stateIn
	w.opened++
	if w.entered != nil {
		w.entered(c)
	}
}

// gather connects n clients, at most window at a time, room(i) for each, and
// returns when all are in or one has failed.
func (w *crowd) gather(n, window int, room func(i int) string, limit time.Duration) ([]*client, error) {
	made := make([]*client, 0, n)
	before, begin := w.opened, w.now()
	for w.opened-before < n {
		for len(made) < n && len(made)-(w.opened-before) < window {
			c, err := w.connect(room(len(made)))
			if err != nil {
				return made, fmt.Errorf("client %d: %w", len(made), err)
			}
			made = append(made, c)
		}
		if err := w.step(10 * time.Millisecond); err != nil {
			return made, err
		}
		if w.failed > 0 {
			return made, fmt.Errorf("after %d clients: %w", w.opened, w.reason)
		}
		if w.now()-begin > limit {
			return made, fmt.Errorf("%d of %d clients in after %v", w.opened-before, n, limit)
		}
	}
	return made, nil
}

// histogram is the TURN generator's.
type histogram = load.Histogram
