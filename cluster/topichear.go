package cluster

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxTopicAge is how old a packet may be, by the clock of its node: what comes later was
	// taken down and sent again, or is of no use any more.
	maxTopicAge = time.Minute
	// maxWhole is the longest that can be said, in bytes: limits.message_size and what a
	// dialect puts around it.
	maxWhole = 65 << 20
)

// speaker is another process that says something on topics.
type speaker struct {
	numbered
	key *topicKey
	// What it is saying in several packets.
	saying *topic
	kind   byte
	body   []byte
	next   uint64 // the number of the packet that goes on with it
}

// hear takes in what comes until over is closed.
func (x *Topics) hear(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case m := <-x.in:
			x.packet(m)
		case <-x.news:
		}
		for {
			x.mu.Lock()
			told := x.told
			x.told = nil
			x.mu.Unlock()
			if len(told) == 0 {
				break
			}
			for _, tell := range told {
				tell()
			}
		}
	}
}

// packet takes in a packet, or that nobody listens.
func (x *Topics) packet(m *nats.Msg) {
	id, answer := strings.CutPrefix(m.Subject, x.inbox)
	if answer && len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		x.mu.Lock()
		if t := x.topicOf(id); t != nil && !t.settled {
			x.settleLocked(t)
		}
		x.mu.Unlock()
		return
	}
	e, why := readTopicEnvelope(m.Data)
	if why == "" {
		why = x.take(m, e, answer, id)
	}
	switch why {
	case "":
	case badProcess: // of one that is not known yet, or not any more
		x.c.counts.add(refused, why)
	default:
		x.c.refuse(why, e.node, explanations[why])
	}
}

// topicOf is the topic to which an answer came.
func (x *Topics) topicOf(id string) *topic {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil
	}
	return x.byID[n]
}

func (x *Topics) take(m *nats.Msg, e topicEnvelope, answer bool, id string) (why string) {
	c := x.c
	run, off, said := c.book.process(e.node)
	x.mu.Lock()
	s := x.speaker[e.node]
	if run == "" || run != e.run {
		unknown := e.node != c.cfg.Node && !x.missed[e.node] && len(x.missed) < maxNodes
		x.mu.Unlock()
		if !unknown {
			return badProcess
		}
		// One that has not been heard of yet: it is asked what it has said, if it is one.
		if _, why := newTopicKey(e.node, e.run).openTopic(c.keys.Load(), &e, m.Subject, m.Data); why != "" {
			return why
		}
		x.mu.Lock()
		x.missed[e.node] = true
		x.mu.Unlock()
		return badProcess
	}
	if s == nil || s.run != run {
		s = &speaker{numbered: numbered{run, said}, key: newTopicKey(e.node, run)}
		x.speaker[e.node] = s
	}
	x.mu.Unlock()
	body, why := s.key.openTopic(c.keys.Load(), &e, m.Subject, m.Data)
	switch {
	case why != "":
		return why
	case len(body) < 9:
		return badForm
	case apart(int64(binary.BigEndian.Uint64(body))-off.Milliseconds(), c.wall()) > maxTopicAge:
		// A clock was set. What is new and could not be told from what is old is asked for.
		x.mu.Lock()
		defer x.mu.Unlock()
		if e.number > s.last {
			s.last = e.number
			x.deaf.Store(true)
		}
		return badClock
	}
	mark, body := body[8], body[9:]

	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.byToken[strings.TrimPrefix(m.Subject, topicSubject(""))]
	if answer {
		t = x.topicOf(id)
	}
	if t == nil { // it has been closed
		if s.saying != nil && x.byID[s.saying.id] != s.saying {
			s.saying, s.body = nil, nil
		}
		return ""
	}
	p := t.peers[e.node]
	if p == nil || p.run != run {
		if p != nil && p.here {
			x.awayLocked(t, p)
		}
		p = &topicPeer{numbered: numbered{run: run}}
		if f := t.floor[e.node]; f.run == run {
			p.last = f.last
		}
		t.peers[e.node] = p
	}
	if e.number <= p.last {
		return badReplay
	}
	p.last, p.asked, p.silent = e.number, t.asked, 0
	s.last = max(s.last, e.number)
	c.counts.one(func(s *Stats) *uint64 { return &s.TopicsHeard })

	kind := mark &^ (topicMore | topicContinues)
	if mark&topicContinues == 0 {
		s.saying, s.kind, s.body = t, kind, body
	} else {
		if s.saying != t || s.kind != kind || s.next != e.number || len(s.body)+len(body) > maxWhole {
			s.saying, s.body = nil, nil
			return "" // its beginning was lost on the way
		}
		s.body = append(s.body, body...)
	}
	if s.next = e.number + 1; mark&topicMore != 0 {
		return ""
	}
	body, s.saying, s.body = s.body, nil, nil
	return x.whole(t, p, e.node, kind, body, m.Reply)
}

// whole takes in something whole. The lock is held.
func (x *Topics) whole(t *topic, p *topicPeer, node string, kind byte, body []byte, reply string) (why string) {
	be := func(state []byte) {
		if !p.here || string(p.state) != string(state) {
			p.here, p.state = true, state
			x.toldLocked(t)
		}
	}
	switch kind {
	case topicAsk:
		be(body)
		if strings.HasPrefix(reply, "_INBOX.") && !x.fullLocked(0) {
			x.queueLocked(utterance{what: utterAnswer, topic: t, reply: reply})
		}
	case topicState:
		be(body)
	case topicAnswer:
		token, names, state, ok := readAnswer(body)
		if !ok || !slices.Contains(t.tokens, token) {
			return badForm
		}
		be(state)
		if !t.settled {
			if t.expected == nil {
				t.expected = make(map[string]bool)
			}
			for _, name := range names {
				t.expected[name] = true
			}
			x.settleIfLocked(t)
		}
	case topicEnd:
		if p.here {
			x.awayLocked(t, p)
		}
	case topicSaid:
		x.told = append(x.told, func() { t.heard(node, body) })
	default:
		return badForm
	}
	return ""
}
