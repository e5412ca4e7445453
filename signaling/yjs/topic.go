package yjs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// topic is a set of sockets. Its lock makes what is published one sequence that all
// of them see alike.
type topic struct {
	mu      sync.Mutex
	clients map[*client]struct{}
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
		t = &topic{clients: make(map[*client]struct{})}
		s.topics[name] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.clients) >= maxSockets {
		c.entrant.Count("refused_full")
		return refuse(wire.CloseFull, "the topic is full")
	}
	t.clients[c] = struct{}{}
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
		c.entrant.Count("dropped_alone")
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	message["clients"] = strconv.AppendInt(nil, int64(len(t.clients)), 10)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		return refuse(wire.CloseBadHello, "a message is a JSON object with a \"type\"")
	}
	frame := wsock.Text(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	for each := range t.clients {
		if each.socket.Send(frame) {
			c.entrant.Count("relayed")
		} else {
			c.entrant.Count("dropped_slow")
		}
	}
	return nil
}
