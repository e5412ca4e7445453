package socketio

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

var errProbe = &wsock.CloseError{Code: wsock.CodePolicy, Reason: "an upgrade begins with 2probe, then 5"}

// options of a session's WebSocket. Engine.IO has its own heartbeat, so the
// socket's stays off.
func (c *session) options() wsock.Options {
	size := c.server.limit() + 64 // the packet's own header beside the message
	if c.era {
		size = c.server.maxPayload3(false)
	}
	return wsock.Options{
		MessageSize: size,
		TooBig:      int(wire.CloseTooBig),
		Flood:       int(wire.CloseFlood),
		Slow:        int(wire.CloseSlow),
		QueueBytes:  c.server.queueBytes(),
		Ping:        -1,
		Loops:       c.server.desk.Loops(),
		Meter:       c.entrant.Meter,
	}
}

// serveWebSocket goes on with a session that begins on a WebSocket.
func (c *session) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	ws, err := wsock.Upgrade(w, r, c.options())
	if err != nil {
		c.close("no WebSocket handshake")
		return
	}
	c.moveTo(ws, textOnly(r))
	c.server.start(ws, c.receiveFrame, c.fail)
}

// start is ws.Start for a request that is being answered, whose end Close waits for.
func (s *Server) start(ws *wsock.Conn, handle func(int, []byte) error, ended func(error)) {
	s.running.Add(1)
	ws.Start(handle, func(cause error) {
		defer s.running.Done()
		ended(cause)
	})
}

// receiveFrame handles one WebSocket message.
func (c *session) receiveFrame(kind int, payload []byte) error {
	if c.era {
		return c.receiveFrame3(kind, payload)
	}
	p := packet{kind: packetMessage, binary: true, data: payload}
	if kind == wsock.KindText {
		var err error
		if p, err = decodePacket(payload); err != nil {
			return c.refuse(err)
		}
		if p.binary {
			return c.refuse(errors.New("base64 on a WebSocket"))
		}
	}
	return c.receiveFramed(p)
}

// receiveFramed is receive for a packet of a WebSocket.
func (c *session) receiveFramed(p packet) error {
	err := c.receive(p)
	switch {
	case errors.Is(err, errClosedByClient):
		return &wsock.CloseError{Code: wsock.CodeNormal, Reason: "closed by the client"}
	case err != nil:
		return c.refuse(err)
	}
	return nil
}

// refuse turns the client's error into the Close that tells it.
func (c *session) refuse(err error) error {
	c.entrant.Count("dropped_bad")
	return &wsock.CloseError{Code: wsock.CodePolicy, Reason: "parse error: " + err.Error()}
}

// serveUpgrade moves a polling session to WebSocket (engine.io-protocol,
// "Upgrade"): the client probes the new transport, then switches.
func (c *session) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	c.out.Lock()
	busy := c.closed || c.ws != nil || c.upgrading
	if !busy {
		c.upgrading = true
	}
	c.out.Unlock()
	if busy {
		fail(w, codeBadRequest, "the session cannot be upgraded now")
		return
	}
	ws, err := wsock.Upgrade(w, r, c.options())
	if err != nil {
		c.stopUpgrade()
		return
	}
	c.out.Lock()
	c.probing = ws
	closed := c.closed
	c.out.Unlock()
	if closed {
		ws.Close(wsock.CodeNormal, "the session has ended")
	}
	timeout := time.AfterFunc(c.server.timing.Upgrade, func() {
		if !c.uses(ws) {
			ws.Close(wsock.CodePolicy, "the upgrade was not completed")
		}
	})
	text := textOnly(r)
	c.server.start(ws, func(kind int, payload []byte) error {
		if c.uses(ws) {
			return c.receiveFrame(kind, payload)
		}
		return c.probe(ws, payload, text)
	}, func(cause error) {
		timeout.Stop()
		if c.uses(ws) {
			c.fail(cause)
			return
		}
		c.stopUpgrade()
	})
}

// probe handles a message of a WebSocket that is not yet the transport.
func (c *session) probe(ws *wsock.Conn, payload []byte, textOnly bool) error {
	c.out.Lock()
	probed := c.probed
	c.out.Unlock()
	switch {
	case !probed && bytes.Equal(payload, []byte("2probe")):
		ws.Send(wsock.Text([]byte("3probe")))
		c.out.Lock()
		c.probed = true
		if c.poll != nil && len(c.queue) == 0 {
			// The client stops polling when its poll comes back.
			c.queue = append(c.queue, packet{kind: packetNoop})
		}
		c.wakeLocked()
		c.out.Unlock()
		return nil
	case probed && bytes.Equal(payload, []byte{packetUpgrade}):
		c.moveTo(ws, textOnly)
		return nil
	}
	return errProbe
}

// moveTo makes a WebSocket the transport: what is queued goes out first.
func (c *session) moveTo(ws *wsock.Conn, textOnly bool) {
	c.out.Lock()
	defer c.out.Unlock()
	c.textOnly = textOnly
	for _, p := range c.queue {
		if p.kind != packetNoop {
			ws.Send(c.frame(p))
		}
	}
	c.queue, c.queued = nil, 0
	c.ws, c.probing, c.upgrading, c.probed = ws, nil, false, false
	c.wakeLocked()
	if c.closed {
		ws.Close(wsock.CodeNormal, "the session has ended")
	}
}

func (c *session) uses(ws *wsock.Conn) bool {
	c.out.Lock()
	defer c.out.Unlock()
	return c.ws == ws
}

func (c *session) stopUpgrade() {
	c.out.Lock()
	defer c.out.Unlock()
	c.probing, c.upgrading, c.probed = nil, false, false
}
