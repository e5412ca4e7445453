package hub

import (
	"bytes"
	"context"
	"crypto/tls"
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
	link  *link // nil until it is connected, over TLS until the handshake is over
	id    string
	name  string // by which others reach it
	token string // by which its session is resumed
	room  string
	state int
	began time.Duration // when it started to connect
	asked time.Duration // when it asked to join

	server netip.AddrPort
	source netip.Addr

	rest    []byte // an incomplete frame
	frames  []byte // of the message that is being written
	scratch []byte

	sent, seen, acked uint64 // numbers of turnhub.v1
	partner           *client
	inFlight          int
	stalled           bool
}

func (c *client) next() uint64 { c.sent++; return c.sent }

// A crowd is all clients of one run, in one thread.
type crowd struct {
	servers []netip.AddrPort // each gets the next client
	dialect dialect
	sources []netip.Addr
	tls     *tls.Config // nil: plain
	dialed  chan dialed // TLS handshakes that are over
	dialing int
	stop    context.CancelFunc // ends the handshakes
	ctx     context.Context
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
	heard     func(c *client, message []byte)                     // anything came, to one who is in
	opened    int                                                 // clients that are in
	failed    int                                                 // sockets that ended unasked
	reason    error                                               // why the last of them did
}

// dialed is how a TLS handshake ended.
type dialed struct {
	client *client
	link   *link
	err    error
}

// maxDialing bounds the TLS handshakes at the same time.
const maxDialing = 1 << 14

func newCrowd(o *Options, d dialect) (*crowd, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll: %w", err)
	}
	w := &crowd{
		servers: append([]netip.AddrPort{o.Server}, o.Others...), dialect: d, sources: o.Sources, epoll: epoll, base: time.Now(),
		clients: make(map[int]*client), buffer: make([]byte, 1<<18), events: make([]unix.EpollEvent, 512),
		beat: 15 * time.Second, dialed: make(chan dialed, maxDialing),
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	if o.TLS {
		// The servers under test have a certificate of their own making.
		w.tls = &tls.Config{
			InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
	}
	return w, nil
}

func (w *crowd) now() time.Duration { return time.Since(w.base) }

func (w *crowd) close() {
	w.stop()
	for ; w.dialing > 0; w.dialing-- {
		if d := <-w.dialed; d.err == nil {
			d.link.Close()
		}
	}
	for _, c := range w.clients {
		c.link.Close()
	}
	unix.Close(w.epoll)
}

// connect starts a client; entered will tell when it is in. A room of that name is
// this crowd's own: those of an earlier crowd keep their seats until nobody can
// resume its sessions any more.
func (w *crowd) connect(room string) (*client, error) {
	return w.connectTo(w.servers[len(w.order)%len(w.servers)], room)
}

// connectTo is connect to one of several servers.
func (w *crowd) connectTo(server netip.AddrPort, room string) (*client, error) {
	if room != "" {
		room = fmt.Sprintf("%s-%x", room, w.base.UnixNano())
	}
	c := &client{id: "load" + strconv.Itoa(len(w.order)), server: server, room: room, began: w.now()}
	if len(w.sources) > 0 {
		c.source = w.sources[len(w.order)%len(w.sources)]
	}
	w.order = append(w.order, c)
	return c, w.dial(c)
}

// dial connects a client's socket, without waiting for it.
func (w *crowd) dial(c *client) error {
	c.state = stateConnecting
	if w.tls != nil {
		if w.dialing == maxDialing {
			return fmt.Errorf("more than %d handshakes at once", maxDialing)
		}
		w.dialing++
		go func() {
			l, err := dialTLS(w.ctx, c.server.String(), c.source, w.tls)
			w.dialed <- dialed{c, l, err}
		}()
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	if c.source.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: c.source.As4()}); err != nil {
			unix.Close(fd)
			return fmt.Errorf("bind %s: %w", c.source, err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: c.server.Addr().As4(), Port: int(c.server.Port())})
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", c.server, err)
	}
	c.link = &link{fd: fd, open: true}
	w.clients[fd] = c
	return w.watch(unix.EPOLL_CTL_ADD, c, unix.EPOLLIN|unix.EPOLLOUT)
}

// shaken takes the TLS handshakes that are over.
func (w *crowd) shaken() error {
	for {
		select {
		case d := <-w.dialed:
			w.dialing--
			if d.err != nil {
				w.lose(d.client, d.err)
				continue
			}
			if d.client.state == stateGone {
				d.link.Close()
				continue
			}
			d.client.link = d.link
			w.clients[d.link.fd] = d.client
			if err := w.watch(unix.EPOLL_CTL_ADD, d.client, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (w *crowd) watch(op int, c *client, events uint32) error {
	if err := unix.EpollCtl(w.epoll, op, c.link.fd, &unix.EpollEvent{Events: events, Fd: int32(c.link.fd)}); err != nil {
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
	if c.link != nil {
		delete(w.clients, c.link.fd)
		c.link.Close()
		c.link = nil
	}
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
	c.frames = appendFrame(c.frames[:0], opcode, message)
	w.sent(c, c.link.send(c.frames))
}

// sent looks at what became of a write.
func (w *crowd) sent(c *client, err error) {
	if err == nil && len(c.link.out) > 0 {
		err = w.watch(unix.EPOLL_CTL_MOD, c, unix.EPOLLIN|unix.EPOLLOUT)
	}
	if err != nil {
		w.lose(c, err)
	}
}

// step handles what is ready, waiting at most d, and keeps sockets alive.
func (w *crowd) step(d time.Duration) error {
	if w.dialing > 0 {
		d = min(d, time.Millisecond) // handshakes end outside the epoll
	}
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
	return w.shaken()
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
			if beat := w.dialect.beat(c); beat != nil {
				w.say(c, beat)
			}
		}
	}
}

func (w *crowd) writable(c *client) {
	if c.state == stateConnecting {
		if code, err := unix.GetsockoptInt(c.link.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			w.lose(c, fmt.Errorf("connect: %w", errors.Join(err, unix.Errno(code))))
			return
		}
		target, subprotocol := w.dialect.request(c.id)
		request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", target, c.server)
		if subprotocol != "" {
			request = fmt.Appendf(request, "Sec-WebSocket-Protocol: %s\r\n", subprotocol)
		}
		c.state = stateUpgrading
		w.sent(c, c.link.send(append(request, "\r\n"...)))
	} else {
		w.sent(c, c.link.flush())
	}
	if c.state != stateGone && len(c.link.out) == 0 {
		if err := w.watch(unix.EPOLL_CTL_MOD, c, unix.EPOLLIN); err != nil {
			w.lose(c, err)
		}
	}
}

// readable takes all that is there: what TLS has decrypted no epoll tells of.
func (w *crowd) readable(c *client) {
	for c.state != stateGone && w.read(c) {
	}
}

// read takes one piece and reports whether there may be more.
func (w *crowd) read(c *client) bool {
	have := copy(w.buffer, c.rest)
	n, err := c.link.receive(w.buffer[have:])
	if err == errWouldBlock {
		return false
	}
	if err != nil {
		w.lose(c, fmt.Errorf("the server closed the socket: %w", err))
		return false
	}
	b := w.buffer[:have+n]
	if c.state == stateUpgrading {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			c.rest = append(c.rest[:0], b...)
			return true
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
			w.lose(c, fmt.Errorf("upgrade refused: %.60q", b))
			return false
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
	if c.state == stateGone {
		return false
	}
	c.rest = append(c.rest[:0], b...)
	if len(c.rest) == 0 && cap(c.rest) > 4096 {
		c.rest = nil
	}
	if c.seen-c.acked >= 32 {
		c.acked = c.seen
		w.say(c, fmt.Appendf(c.scratch[:0], `{"type":"ack","ack":%d}`, c.seen))
	}
	return c.link != nil && c.link.tls != nil
}

func (w *crowd) frame(c *client, opcode byte, m []byte) {
	switch opcode {
	case opPing:
		w.write(c, opPong, m)
		return
	case opClose:
		w.lose(c, fmt.Errorf("closed with % x %.80s", m[:min(2, len(m))], m[min(2, len(m)):]))
		return
	case opBinary:
		w.message(c, m)
	case opText:
		// Centrifugo puts several messages into a frame, a line each.
		for line := range bytes.SplitSeq(m, []byte{'\n'}) {
			w.message(c, line)
		}
	}
}

func (w *crowd) message(c *client, m []byte) {
	c.seen = max(c.seen, number(m, `"seq":`))
	if answer := w.dialect.answer(m); answer != nil {
		w.say(c, answer)
		return
	}
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
		if w.heard != nil {
			w.heard(c, m)
		}
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
