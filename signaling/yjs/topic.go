package yjs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"turnhub/signaling/internal/across"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// topic is a set of sockets. Its lock makes what is published one sequence that all
// of them see alike.
type topic struct {
	mu      sync.Mutex
	clients map[*client]*across.Seat
	seats   *across.Seats // here and on other nodes; nil: there are no others
}

// client is one socket. Its topics belong to whoever handles its messages, one at a time.
type client struct {
	server  *Server
	socket  *wsock.Conn
	entrant *admission.Entrant
	topics  map[string]*topic
}

var pong = wsock.Text([]byte(`{"type":"pong"}`))

// refuse is the end of a socket that asks for what cannot be.
func refuse(code wire.CloseCode, format string, args ...any) error {
	return &wsock.CloseError{Code: int(code), Reason: fmt.Sprintf(format, args...)}
}

// handle does what one message says. Types that nobody knows are for nobody, as with the
// server of the npm package.
func (c *client) handle(_ int, payload []byte) error {
	var message map[string]json.RawMessage
	// In a binary message nobody has looked at the encoding yet, and a browser that gets wrong text hangs up.
	if err := json.Unmarshal(payload, &message); err != nil || message == nil || !utf8.Valid(payload) {
		return refuse(wire.CloseBadHello, "a message is a JSON object with a \"type\"")
	}
	var kind, name string
	json.Unmarshal(message["type"], &kind) // no string: no type that is known
	switch kind {
	case "subscribe", "unsubscribe":
		var topics []json.RawMessage
		if err := json.Unmarshal(message["topics"], &topics); message["topics"] != nil && err != nil {
			return refuse(wire.CloseBadHello, "\"topics\" is a list of names")
		}
		for _, each := range topics {
			if err := json.Unmarshal(each, &name); err != nil {
				return refuse(wire.CloseBadHello, "\"topics\" is a list of names")
			}
			if kind == "unsubscribe" {
				c.unsubscribe(name)
			} else if err := c.subscribe(name); err != nil {
				return err
			}
		}
	case "publish":
		if message["topic"] == nil {
			return nil
		}
		if err := json.Unmarshal(message["topic"], &name); err != nil {
			return refuse(wire.CloseBadHello, "\"topic\" is the name of a topic")
		}
		return c.publish(name, message)
	case "ping":
		c.socket.Send(pong)
	}
	return nil
}

// allowed says what is wrong with a topic for this client.
func (c *client) allowed(name string) error {
	switch {
	case name == "" || len(name) > maxTopicName || !utf8.ValidString(name):
		return refuse(wire.CloseBadHello, "a topic's name has 1 to %d bytes", maxTopicName)
	case !c.entrant.Claims.AllowsRoom(name):
		return refuse(wire.CloseRefused, "the access token does not allow this topic")
	}
	return nil
}

func (c *client) subscribe(name string) error {
	if err := c.allowed(name); err != nil || c.topics[name] != nil {
		return err
	}
	if len(c.topics) >= maxTopics {
		return refuse(wire.CloseFull, "a socket may be in %d topics", maxTopics)
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		t = &topic{clients: make(map[*client]*across.Seat)}
		t.seats = across.New(s.across, "yjs", name, &t.mu)
		s.topics[name] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Nobody waits for other nodes here: who comes to a topic that they have filled a moment
	// ago may be one too many.
	seat := t.seats.Add(maxSockets, t.heard, func() {})
	if _, ok := t.seats.Take(seat); !ok || len(t.clients) >= maxSockets {
		t.seats.Remove(seat)
		if len(t.clients) == 0 {
			delete(s.topics, name)
		}
		c.entrant.Count("refused_full")
		return refuse(wire.CloseFull, "the topic is full")
	}
	t.clients[c] = seat
	c.topics[name] = t
	c.entrant.Join("yjs/" + name)
	return nil
}

func (c *client) unsubscribe(name string) {
	t := c.topics[name]
	if t == nil {
		return
	}
	delete(c.topics, name)
	c.entrant.Part("yjs/" + name)
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seats.Remove(t.clients[c])
	delete(t.clients, c)
	if len(t.clients) == 0 {
		delete(s.topics, name)
	}
}

// publish sends a message to everybody in a topic. It is encoded once and never waits: a
// socket that does not read is ended by its own queue.
func (c *client) publish(name string, message map[string]json.RawMessage) error {
	if err := c.allowed(name); err != nil {
		return err
	}
	c.server.mu.Lock()
	t := c.server.topics[name]
	c.server.mu.Unlock()
	if t == nil {
		return c.publishElsewhere(name, message)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	text, err := t.text(message)
	if err != nil {
		return err
	}
	if t.seats != nil {
		t.seats.Say(append([]byte{saidText}, text...))
	}
	frame := wsock.Text(text)
	for each := range t.clients {
		if each.socket.Send(frame) {
			c.entrant.Count("relayed")
		} else {
			c.entrant.Count("dropped_slow")
		}
	}
	return nil
}

// text is a message as the clients of a topic get it. topic.mu is held.
func (t *topic) text(message map[string]json.RawMessage) ([]byte, error) {
	message["clients"] = strconv.AppendInt(nil, int64(len(t.clients)+t.seats.Others()), 10)
	return encode(message)
}

func encode(message map[string]json.RawMessage) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		return nil, refuse(wire.CloseBadHello, "a message is a JSON object with a \"type\"")
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// What nodes say to each other of a topic: a byte, and a message.
const (
	saidText    = 't' // as its clients get it
	saidMessage = 'm' // of somebody whose node does not know how many there are
)

// publishElsewhere sends a message to a topic in which nobody on this node is.
func (c *client) publishElsewhere(name string, message map[string]json.RawMessage) error {
	if c.server.across == nil {
		c.entrant.Count("dropped_alone")
		return nil
	}
	text, err := encode(message)
	if err != nil {
		return err
	}
	if c.server.across.Say("yjs\x00"+name, append([]byte{saidMessage}, text...)) {
		c.entrant.Count("sent_across")
	} else {
		c.entrant.Count("dropped_alone")
	}
	return nil
}

// heard takes in what another node has said.
func (t *topic) heard(_ string, body []byte) {
	if len(body) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	text := body[1:]
	if body[0] == saidMessage {
		var message map[string]json.RawMessage
		if json.Unmarshal(text, &message) != nil || message == nil {
			return
		}
		var err error
		if text, err = t.text(message); err != nil {
			return
		}
	}
	frame := wsock.Text(text)
	for each := range t.clients {
		if each.socket.Send(frame) {
			each.entrant.Count("relayed")
		} else {
			each.entrant.Count("dropped_slow")
		}
	}
}
