package hub

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// A dialect is one way to say the same things.
type dialect interface {
	// request is the target of the upgrade request and the subprotocol.
	request(id string) (target, subprotocol string)
	// opened is said first on a new socket; nil: nothing.
	opened(c *client) []byte
	// ready tells from a message whether the client may signal now, and learns
	// the names by which others reach it.
	ready(c *client, message []byte) bool
	// join enters a room; nil: the dialect has none, the client is in.
	join(c *client, room string) []byte
	// joined tells whether the message answers a join.
	joined(message []byte) bool
	// signal sends a body to another client.
	signal(c, to *client, body []byte) []byte
	// beat keeps a socket alive; nil: nothing to say.
	beat(c *client) []byte
	// answer is what a message from the server asks for; nil: nothing.
	answer(m []byte) []byte
}

// native is turnhub.v1.
type native struct{}

func (native) request(string) (string, string) { return "/ws", "turnhub.v1" }
func (native) opened(*client) []byte           { return []byte(`{"type":"hello","name":"load"}`) }

func (native) ready(c *client, m []byte) bool {
	if !bytes.Contains(m, []byte(`"type":"welcome"`)) {
		return false
	}
	c.name, c.token = text(m, `"session":"`), text(m, `"token":"`)
	return c.name != ""
}

func (native) join(c *client, room string) []byte {
	return fmt.Appendf(nil, `{"type":"join","room":"%s","id":1,"seq":%d,"ack":%d}`, room, c.next(), c.seen)
}

func (native) joined(m []byte) bool { return bytes.Contains(m, []byte(`"type":"joined"`)) }

func (native) signal(c, to *client, body []byte) []byte {
	b := c.scratch[:0]
	b = append(b, `{"type":"signal","to":"`...)
	b = append(b, to.name...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, c.next(), 10)
	b = append(b, `,"ack":`...)
	b = strconv.AppendUint(b, c.seen, 10)
	b = append(b, `,"data":`...)
	b = append(b, body...)
	c.scratch = append(b, '}')
	c.acked = c.seen
	return c.scratch
}

func (native) beat(c *client) []byte {
	c.acked = c.seen
	return fmt.Appendf(c.scratch[:0], `{"type":"ping","ack":%d}`, c.seen)
}

func (native) answer([]byte) []byte { return nil }

// peerjs is what PeerJS 1.x speaks.
type peerjs struct{}

func (peerjs) request(id string) (string, string) {
	return "/peerjs?key=peerjs&id=" + id + "&token=t" + id + "&version=1.5.5", ""
}
func (peerjs) opened(*client) []byte { return nil }

func (peerjs) ready(c *client, m []byte) bool {
	c.name = c.id
	return bytes.Contains(m, []byte(`"type":"OPEN"`))
}

func (peerjs) join(*client, string) []byte { return nil }
func (peerjs) joined([]byte) bool          { return false }

func (peerjs) signal(c, to *client, body []byte) []byte {
	b := c.scratch[:0]
	b = append(b, `{"type":"OFFER","dst":"`...)
	b = append(b, to.name...)
	b = append(b, `","payload":`...)
	b = append(b, body...)
	c.scratch = append(b, '}')
	return c.scratch
}

func (peerjs) beat(*client) []byte { return []byte(`{"type":"HEARTBEAT"}`) }

func (peerjs) answer([]byte) []byte { return nil }

// centrifugo is its JSON protocol. Each client subscribes to a channel of its own
// name, and the others publish there.
type centrifugo struct{}

func (centrifugo) request(string) (string, string) { return "/connection/websocket", "" }
func (centrifugo) opened(*client) []byte           { return []byte(`{"id":1,"connect":{}}`) }

func (centrifugo) ready(c *client, m []byte) bool {
	c.name = c.id
	return bytes.Contains(m, []byte(`"connect":{`))
}

func (centrifugo) join(c *client, _ string) []byte {
	return fmt.Appendf(nil, `{"id":2,"subscribe":{"channel":"%s"}}`, c.name)
}

func (centrifugo) joined(m []byte) bool { return bytes.Contains(m, []byte(`"subscribe":{`)) }

func (centrifugo) signal(c, to *client, body []byte) []byte {
	b := append(c.scratch[:0], `{"id":`...)
	b = strconv.AppendUint(b, 2+c.next(), 10)
	b = append(b, `,"publish":{"channel":"`...)
	b = append(b, to.name...)
	b = append(b, `","data":`...)
	b = append(b, body...)
	c.scratch = append(b, "}}"...)
	return c.scratch
}

// Its server pings with an empty object, and is answered with one.
func (centrifugo) beat(*client) []byte { return nil }

func (centrifugo) answer(m []byte) []byte {
	if string(m) == "{}" {
		return m
	}
	return nil
}

// A letter is the body of a signal: what an ICE candidate with its ufrag looks
// like, padded to a size, and the time when it left.
type letter struct {
	bytes []byte
	at    int
}

const timeDigits = 19

func newLetter(size int) letter {
	head := []byte(`{"kind":"candidate","t":"`)
	tail := []byte(`","candidate":"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.168.1.7 rport 46154 generation 0 ufrag x5Ja","sdpMid":"0","pad":"`)
	b := append(head, bytes.Repeat([]byte("0"), timeDigits)...)
	b = append(b, tail...)
	for len(b) < size-2 {
		b = append(b, byte('a'+len(b)%26))
	}
	return letter{append(b, `"}`...), len(head)}
}

// at writes the time into the body and returns it.
func (l letter) stamped(t time.Duration) []byte {
	v := uint64(t)
	for i := timeDigits - 1; i >= 0; i-- {
		l.bytes[l.at+i] = byte('0' + v%10)
		v /= 10
	}
	return l.bytes
}

// sentAt reads the time out of a message that carries a letter.
func sentAt(m []byte) (time.Duration, bool) {
	i := bytes.Index(m, []byte(`"kind":"candidate","t":"`))
	if i < 0 || len(m) < i+24+timeDigits {
		return 0, false
	}
	v, err := strconv.ParseUint(string(m[i+24:i+24+timeDigits]), 10, 64)
	return time.Duration(v), err == nil
}

// number reads the unsigned number behind a key, or 0.
func number(m []byte, key string) uint64 {
	i := bytes.Index(m, []byte(key))
	if i < 0 {
		return 0
	}
	var v uint64
	for _, d := range m[i+len(key):] {
		if d < '0' || d > '9' {
			break
		}
		v = v*10 + uint64(d-'0')
	}
	return v
}

// text reads the string behind a key.
func text(m []byte, key string) string {
	i := bytes.Index(m, []byte(key))
	if i < 0 {
		return ""
	}
	s, _, _ := bytes.Cut(m[i+len(key):], []byte(`"`))
	return string(s)
}
