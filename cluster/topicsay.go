package cluster

import (
	"encoding/binary"
	"strconv"

	"github.com/nats-io/nats.go"
)

// What is in a packet on a topic: the time by the clock of its node (milliseconds since
// 1970, 8 bytes), a byte that says what it is, and the rest. What is too long for one packet
// is in several, one directly after the other.
const (
	topicAsk    = 1 // a state; those of the others are asked for
	topicState  = 2 // a state
	topicAnswer = 3 // a token, the names of the nodes that are known there, and a state
	topicEnd    = 4 // the node has closed the topic
	topicSaid   = 5 // what Say says

	topicMore      = 0x80 // the next packet goes on with it
	topicContinues = 0x40 // it goes on with the last one

	// maxPiece is how much of it is in one packet: less where NATS takes less.
	maxPiece = 48 << 10
	// topicAround is more than what a packet has beside that.
	topicAround = 512
)

// utterance is something to do with NATS, in order.
type utterance struct {
	what  int
	topic *topic // nil: one that is not open
	name  string // of the topic, of utterSay
	reply string // of utterAnswer
	body  []byte // of utterSay
}

const (
	utterOpen = iota
	utterClose
	utterState
	utterAnswer
	utterSay
)

func topicSubject(token string) string { return "turnhub.topic." + token }

// utteranceSize is about what one takes in memory beside its body, in bytes.
const utteranceSize = 128

// queueLocked has something done by the goroutine that speaks.
func (x *Topics) queueLocked(u utterance) {
	x.out = append(x.out, u)
	x.queued += utteranceSize + len(u.body)
	wake(x.wake)
}

// fullLocked reports that so many bytes more are too many, and counts that they are dropped.
func (x *Topics) fullLocked(n int) bool {
	full := x.queued > 0 && x.queued+utteranceSize+n > maxTopicsQueued
	if full {
		x.c.counts.add(refused, badQueue)
	}
	return full
}

// speak does what is to be done with NATS until over is closed.
func (x *Topics) speak(conn *nats.Conn, over <-chan struct{}) {
	mouth := &mouth{x, conn, newTopicKey(x.c.cfg.Node, x.c.run)}
	for {
		select {
		case <-over:
			return
		case <-x.wake:
		}
		for {
			x.mu.Lock()
			batch := x.out
			x.out = nil
			x.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for i := range batch {
				mouth.utter(&batch[i])
				x.mu.Lock()
				x.queued -= utteranceSize + len(batch[i].body)
				x.mu.Unlock()
				batch[i] = utterance{}
			}
		}
	}
}

// mouth belongs to the goroutine that speaks.
type mouth struct {
	x    *Topics
	conn *nats.Conn
	key  *topicKey
}

func (m *mouth) utter(u *utterance) {
	x, t := m.x, u.topic
	if t == nil {
		keys := x.c.keys.Load()
		m.say(topicSubject(keys.topicToken(keys.ids[0], u.name)), "", topicSaid, u.body)
		return
	}
	x.mu.Lock()
	tokens, state, open := t.tokens, t.state, x.byID[t.id] == t
	var names []string
	if u.what == utterState {
		t.stateDue = false
	}
	if u.what == utterAnswer {
		for node, p := range t.peers {
			if p.here {
				names = append(names, node)
			}
		}
	}
	x.mu.Unlock()
	switch {
	case u.what == utterClose:
		m.subscribe(t, nil)
		m.say(topicSubject(tokens[0]), "", topicEnd, nil)
	case !open: // what was said before the end is still said
		if u.what == utterSay {
			m.say(topicSubject(tokens[0]), "", topicSaid, u.body)
		}
	case u.what == utterOpen:
		m.subscribe(t, tokens)
		m.say(topicSubject(tokens[0]), x.inbox+strconv.FormatUint(t.id, 10), topicAsk, state)
	case u.what == utterState:
		m.say(topicSubject(tokens[0]), "", topicState, state)
	case u.what == utterAnswer:
		m.say(u.reply, "", topicAnswer, answerBody(tokens[0], names, state))
	case u.what == utterSay:
		m.say(topicSubject(tokens[0]), "", topicSaid, u.body)
	}
}

// subscribe has what is said by these tokens heard, and nothing else of the topic. What
// cannot be done while NATS is away is done by the NATS client when it is back.
func (m *mouth) subscribe(t *topic, tokens []string) {
	wanted := make(map[string]bool, len(tokens))
	for _, token := range tokens {
		wanted[token] = true
		if t.subs[token] != nil {
			continue
		}
		sub, err := m.conn.ChanSubscribe(topicSubject(token), m.x.in)
		if err != nil {
			m.x.c.once("topic "+err.Error(), func() {
				m.x.c.log.Error("this node cannot hear the others on a topic", "error", err)
			})
			continue
		}
		t.subs[token] = sub
	}
	for token, sub := range t.subs {
		if !wanted[token] {
			_ = sub.Unsubscribe()
			delete(t.subs, token)
		}
	}
}

// say publishes something, in as many packets as it takes.
func (m *mouth) say(subject, reply string, kind byte, body []byte) {
	x := m.x
	c := x.c
	if !x.up.Load() || !c.speaks() {
		return
	}
	size := max(1, min(maxPiece, int(m.conn.MaxPayload())-topicAround))
	keys := c.keys.Load()
	mark := byte(0)
	for {
		piece := body[:min(size, len(body))]
		body = body[len(piece):]
		if mark |= kind; len(body) > 0 {
			mark |= topicMore
		}
		plain := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(piece)), uint64(c.wall()))
		plain = append(append(plain, mark), piece...)
		number := x.said.Add(1)
		packet := m.key.sealTopic(keys, subject, c.cfg.Node, c.run, number, plain)
		var err error
		if reply == "" {
			err = m.conn.Publish(subject, packet)
		} else {
			err = m.conn.PublishRequest(subject, reply, packet)
		}
		if err != nil {
			c.counts.one(func(s *Stats) *uint64 { return &s.TopicsUnsaid })
			return // NATS is away
		}
		c.counts.one(func(s *Stats) *uint64 { return &s.TopicsSaid })
		if len(body) == 0 {
			return
		}
		mark = topicContinues
	}
}

// answerBody is what an answer says.
func answerBody(token string, names []string, state []byte) []byte {
	b := append([]byte{byte(len(token))}, token...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(names)))
	for _, name := range names {
		b = append(append(b, byte(len(name))), name...)
	}
	return append(b, state...)
}

// readAnswer reads it.
func readAnswer(b []byte) (token string, names []string, state []byte, ok bool) {
	text := func() string {
		if len(b) == 0 || len(b) <= int(b[0]) {
			ok = false
			return ""
		}
		s := string(b[1 : 1+b[0]])
		b = b[1+b[0]:]
		return s
	}
	ok = true
	if token = text(); !ok || len(b) < 2 {
		return "", nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	for range min(n, maxNodes) {
		if name := text(); ok {
			names = append(names, name)
		}
	}
	return token, names, b, ok
}
