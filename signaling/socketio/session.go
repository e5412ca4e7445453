package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wsock"
)

// errPayload is a violation of the protocol by the client. It ends the session.
type errPayload struct{ error }

func parseError(format string, args ...any) error {
	return errPayload{fmt.Errorf(format, args...)}
}

// session is one Engine.IO session: a stream of packets each way that starts
// on long-polling or WebSocket and may move from the first to the second.
type session struct {
	id      string
	server  *Server
	entrant *admission.Entrant
	channel string
	era     bool // protocol 3, of the clients 1.x and 2.x
	base64  bool // such a client takes no binary on long-polling

	// out guards the way to the client, and the state.
	out       sync.Mutex
	queue     []packet // while polling
	queued    int      // bytes in queue
	poll      chan struct{}
	ws        *wsock.Conn // nil while polling
	textOnly  bool        // a client of protocol 3 takes no binary there
	upgrading bool
	probing   *wsock.Conn // the transport that it moves to, perhaps
	probed    bool        // the upgrade was probed: polls are let go at once
	posting   bool
	pinged    bool // a ping waits for its pong
	single    bool // the client does not encode its text twice, see once
	closed    bool
	done      chan struct{} // closed with closed
	heartbeat *time.Timer

	// in makes the handling of what the client sends one sequence, whatever
	// transport it comes from.
	in        sync.Mutex
	member    *member   // the default namespace, nil before CONNECT
	partial   *assembly // a binary message whose attachments still come
	bytes     int       // of partial
	connected *time.Timer

	// While other nodes are asked about a room, see nodes.go.
	waiting       bool
	deferred      []packet
	deferredBytes int
}

// assembly is a message that waits for its binary attachments.
type assembly struct {
	message     message
	attachments []packet
}

// start opens the session: its first packet is the Engine.IO handshake.
func (c *session) start(upgrades []string) {
	maxPayload, silence := c.server.maxPayload(), c.server.timing.PingInterval
	if c.era {
		maxPayload, silence = 0, c.server.timing.PingInterval+c.server.timing.PingTimeout // it is the client who pings
	}
	open := mustOpen(c.id, upgrades, c.server.timing, maxPayload)
	c.in.Lock()
	defer c.in.Unlock()
	c.out.Lock()
	defer c.out.Unlock()
	c.queue = append(c.queue, open)
	c.queued = len(open.data)
	c.heartbeat = time.AfterFunc(silence, c.beat)
	c.connected = time.AfterFunc(c.server.timing.Connect, func() { c.close("no namespace was joined") })
}

// mustOpen is the handshake packet. Source: engine.io-protocol, "Handshake".
func mustOpen(id string, upgrades []string, timing Timing, maxPayload int) packet {
	data, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload,omitempty"`
	}{id, upgrades, timing.PingInterval.Milliseconds(), timing.PingTimeout.Milliseconds(), maxPayload})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return packet{kind: packetOpen, data: data}
}

// send queues packets for the client, all or none. It never blocks; a client
// that does not fetch what waits for it is ended.
func (c *session) send(packets ...packet) bool {
	size := 0
	for _, p := range packets {
		size += len(p.data) + 1
	}
	c.out.Lock()
	if c.closed {
		c.out.Unlock()
		return false
	}
	if c.ws != nil {
		defer c.out.Unlock()
		for _, p := range packets {
			if !c.ws.Send(c.frame(p)) {
				return false
			}
		}
		return true
	}
	if c.queued+size > c.server.queueBytes() {
		c.out.Unlock()
		c.entrant.Count("dropped_slow")
		// The caller may hold a room, which closing needs.
		go c.close("the client does not read")
		return false
	}
	c.queue = append(c.queue, packets...)
	c.queued += size
	c.wakeLocked()
	c.out.Unlock()
	return true
}

// wakeLocked lets a waiting poll go.
func (c *session) wakeLocked() {
	if c.poll != nil {
		select {
		case c.poll <- struct{}{}:
		default:
		}
	}
}

// beat is the heartbeat's timer: the server pings, and what is not answered in
// time is gone (engine.io-protocol, "Heartbeat").
func (c *session) beat() {
	c.out.Lock()
	gone := c.pinged || c.era
	if !c.closed && !gone {
		c.pinged = true
		c.heartbeat.Reset(c.server.timing.PingTimeout)
	}
	c.out.Unlock()
	if gone {
		c.close("ping timeout")
		return
	}
	c.send(packet{kind: packetPing})
}

func (c *session) pong() {
	c.out.Lock()
	defer c.out.Unlock()
	if !c.closed {
		c.pinged = false
		c.heartbeat.Reset(c.server.timing.PingInterval)
	}
}

// receive handles one packet of the client. An errPayload is the client's
// fault, and the caller ends the session with it.
func (c *session) receive(p packet) error {
	c.in.Lock()
	defer c.in.Unlock()
	if c.isClosed() {
		return errors.New("session is closed")
	}
	if c.era {
		c.heard()
	}
	if c.waiting || len(c.deferred) > 0 {
		return c.deferPacket(p)
	}
	return c.receiveNow(p)
}

// receiveNow is receive for a packet whose turn it is.
func (c *session) receiveNow(p packet) error {
	switch p.kind {
	case packetMessage:
		if p.binary {
			return c.receiveAttachment(p)
		}
		return c.receiveText(p.data)
	case packetClose:
		return errClosedByClient
	case packetPong:
		if !c.era {
			c.pong()
		}
	case packetPing:
		if !c.era {
			return parseError("only the server pings")
		}
		c.send(packet{kind: packetPong})
	}
	return nil // the rest has no meaning here, and the reference ignores it too
}

var errClosedByClient = errors.New("closed by the client")

func (c *session) receiveText(text []byte) error {
	if c.partial != nil {
		return parseError("text while attachments are missing")
	}
	if len(text) > c.server.limit() {
		return parseError("message larger than %d bytes", c.server.limit())
	}
	m, err := decodeMessage(text)
	if err != nil {
		return errPayload{err}
	}
	if m.attachments > 0 {
		c.partial, c.bytes = &assembly{message: m}, len(text)
		return nil
	}
	return c.dispatch(m, nil)
}

func (c *session) receiveAttachment(p packet) error {
	if c.partial == nil {
		return parseError("an attachment without its message")
	}
	if c.bytes += len(p.data); c.bytes > c.server.limit() {
		return parseError("message larger than %d bytes", c.server.limit())
	}
	c.partial.attachments = append(c.partial.attachments, p)
	if len(c.partial.attachments) < c.partial.message.attachments {
		return nil
	}
	whole := c.partial
	c.partial = nil
	return c.dispatch(whole.message, whole.attachments)
}

// dispatch hands a whole message to the namespace.
func (c *session) dispatch(m message, attachments []packet) error {
	if m.namespace != "/" {
		if m.kind == typeConnect {
			c.send(c.refusal(m.namespace, "Invalid namespace"))
			return nil
		}
		return parseError("namespace %q is not connected", m.namespace)
	}
	if m.kind == typeConnect {
		if c.era && c.member != nil {
			return nil // it is, unasked
		}
		if c.member != nil {
			return parseError("the namespace is connected already")
		}
		c.connected.Stop()
		c.member = c.server.connect(c)
		return nil
	}
	if c.member == nil {
		return parseError("not connected to the namespace")
	}
	switch m.kind {
	case typeDisconnect:
		c.server.leave(c.member)
		c.member = nil
	case typeEvent, typeBinaryEvent:
		c.member.handle(m, attachments)
	}
	return nil // acknowledgements of messages that the server never asked to have acknowledged
}

func (c *session) isClosed() bool {
	c.out.Lock()
	defer c.out.Unlock()
	return c.closed
}

// fail ends the session for an error of receive.
func (c *session) fail(err error) {
	reason := "transport close"
	var bad errPayload
	if errors.As(err, &bad) {
		reason = "parse error: " + bad.Error()
		c.entrant.Count("dropped_bad")
	}
	c.close(reason)
}

// close ends the session: its transport, its timers, its places in rooms.
// Closing again does nothing.
func (c *session) close(reason string) {
	c.out.Lock()
	if c.closed {
		c.out.Unlock()
		return
	}
	c.closed = true
	close(c.done)
	c.heartbeat.Stop()
	ws, probing := c.ws, c.probing
	c.out.Unlock()
	if ws != nil {
		ws.Close(wsock.CodeNormal, reason)
	}
	if probing != nil {
		probing.Close(wsock.CodeNormal, "the session has ended")
	}
	c.server.remove(c)
	c.in.Lock()
	defer c.in.Unlock()
	c.connected.Stop()
	if c.member != nil {
		c.server.leave(c.member)
		c.member = nil
	}
	c.entrant.Leave()
	c.server.log.Debug("Socket.IO session ended", "session", c.id, "reason", reason)
}
