package socketio

import (
	"mime"
	"net/http"
	"strings"

	"turnhub/signaling/internal/wsock"
)

// What a session does otherwise when its client speaks protocol 3.

// join3 puts the client into the default namespace: it is in without asking.
func (c *session) join3() {
	c.in.Lock()
	defer c.in.Unlock()
	if !c.isClosed() {
		c.connected.Stop()
		c.member = c.server.connect(c)
	}
}

// heard notes that the client is there: it pings, and whatever it sends counts.
func (c *session) heard() {
	c.out.Lock()
	defer c.out.Unlock()
	if !c.closed {
		c.heartbeat.Reset(c.server.timing.PingInterval + c.server.timing.PingTimeout)
	}
}

// welcome answers a CONNECT, or says that there was none needed.
func (c *session) welcome(id string) packet {
	if c.era {
		return packet{kind: packetMessage, data: []byte{typeConnect}}
	}
	return connected(id)
}

// refusal answers a CONNECT to a namespace that is not there. In protocol 3 the
// reason is a string, and the namespace comes with a query that is not its name.
func (c *session) refusal(namespace, why string) packet {
	if !c.era {
		return connectError(namespace, why)
	}
	name, _, _ := strings.Cut(namespace, "?")
	data := append([]byte{typeConnectError}, name...)
	data = append(data, ',')
	return packet{kind: packetMessage, data: append(data, mustJSON(why)...)}
}

// textOnly reports whether the client of a request takes no binary: each transport of
// protocol 3 says so for itself.
func textOnly(r *http.Request) bool { return r.URL.Query().Get("b64") != "" }

// frame is a packet as one WebSocket message. Session.out is held.
func (c *session) frame(p packet) wsock.Frame {
	if c.era {
		return p.frame3(c.textOnly)
	}
	return p.frame()
}

// receiveFrame3 handles one WebSocket message.
func (c *session) receiveFrame3(kind int, payload []byte) error {
	var p packet
	var err error
	if kind == wsock.KindText {
		p, err = decodePacket3(payload)
		p.data = c.once(p)
	} else {
		p, err = decodeBinary3(payload)
	}
	if err != nil {
		return c.refuse(err)
	}
	return c.receiveFramed(p)
}

// once undoes the encoding of a client that encodes its text twice. What a client can
// send only where it does not settles the matter for good; until then, text of ASCII
// alone aside, it is taken for one that does.
func (c *session) once(p packet) []byte {
	if p.binary || isASCII(p.data) {
		return p.data
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.single {
		return p.data
	}
	if once, ok := twice(p.data); ok {
		return once
	}
	c.single = true
	return p.data
}

// payload is the body of an answer to a poll. A client that takes binary gets it always:
// clients of 1.x read text in no other way then.
func (c *session) payload(r *http.Request, packets []packet) (contentType string, body []byte) {
	index, form := jsonp(r.URL.Query())
	switch {
	case !c.era:
		return "text/plain; charset=UTF-8", appendPayload(nil, packets)
	case form:
		return "text/javascript; charset=UTF-8", script(index, appendText3(nil, packets))
	case c.base64:
		return "text/plain; charset=UTF-8", appendText3(nil, packets)
	}
	return "application/octet-stream", appendBinary3(nil, packets)
}

// parse reads the body of a POST.
func (c *session) parse(r *http.Request, form bool, body []byte) ([]packet, error) {
	if !c.era {
		return decodePayload(body)
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/octet-stream" {
		return decodeBinaryPayload3(body)
	}
	if form {
		var err error
		if body, err = formData(body); err != nil {
			return nil, err
		}
	}
	packets, err := decodeText3(body)
	for i, p := range packets {
		packets[i].data = c.once(p)
	}
	return packets, err
}
