package cluster

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Questions between nodes. ping is this package's own; the others are Config.Do's.
const askPing = "ping"

const (
	// maxQuestionAge is how old a question may be, by the clock of who asks, as far as that
	// is known to be off.
	maxQuestionAge = time.Minute

	// pingPatience is for who has died without a word; a process that has ended is known
	// at once, since NATS says that nobody listens.
	pingPatience = 400 * time.Millisecond
	// DoPatience is how long another node may take for an action of the operator.
	DoPatience = 5 * time.Second
)

type question struct {
	Version  int    `json:"v"`
	ID       string `json:"id"` // never twice
	From     string `json:"from"`
	Run      string `json:"run"`
	At       int64  `json:"at"` // milliseconds since 1970
	Ask      string `json:"ask"`
	Argument string `json:"argument,omitempty"`
}

type reply struct {
	Version int             `json:"v"`
	Run     string          `json:"run"`
	Body    json.RawMessage `json:"body,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func answerSubject(id string) string { return "turnhub.answer." + id }

// Errors of asking another node.
var (
	errAlone   = errors.New("NATS cannot be reached")
	errNobody  = errors.New("the node has ended")
	errNoReply = errors.New("the node does not answer")
)

// ask asks another node.
func (c *Cluster) ask(ctx context.Context, node, what, argument string, patience time.Duration) (r reply, err error) {
	conn := c.connection()
	if conn == nil {
		return r, errAlone
	}
	q := question{Version: version, ID: rand.Text(), From: c.cfg.Node, Run: c.run, At: c.wall(), Ask: what, Argument: argument}
	body, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, askSubject(node), c.keys.Load().seal(askSubject(node), body))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return r, errNobody
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return r, errNoReply
	case err != nil:
		return r, err
	}
	said, why := c.keys.Load().open(answerSubject(q.ID), m.Data)
	if why == "" {
		if json.Unmarshal(said, &r) != nil || r.Version != version {
			why = badForm
		}
	}
	if why != "" {
		c.refuse(why, node, explanations[why])
		return r, fmt.Errorf("the answer cannot be trusted (%s)", why)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// answer answers a question of another node.
func (c *Cluster) answer(ctx context.Context, m *nats.Msg) {
	body, why := c.keys.Load().open(m.Subject, m.Data)
	var q question
	if why == "" {
		switch err := json.Unmarshal(body, &q); {
		case err != nil || !validName(q.From) || len(q.ID) > 64 || q.ID == "":
			why = badForm
		case q.Version != version:
			why = badVersion
		case apart(q.At-c.book.ahead(q.From).Milliseconds(), c.wall()) > maxQuestionAge:
			why = badClock
		case !c.heard.take(q.ID, c.wall()):
			why = badReplay
		}
	}
	if why != "" {
		c.refuse(why, "", explanations[why])
		return
	}
	if !c.speaks() {
		return // the younger process of this name answers
	}
	respond := func(body json.RawMessage, err error) {
		r := reply{Version: version, Run: c.run, Body: body}
		if err != nil {
			r.Error = err.Error()
		}
		if text, err := json.Marshal(r); err == nil {
			_ = m.Respond(c.keys.Load().seal(answerSubject(q.ID), text)) // who asked hears that nothing came
		}
	}
	if q.Ask == askPing {
		run := ""
		if p := c.sessions.Load(); p != nil {
			run = *p
		}
		respond(json.Marshal(run))
		return
	}
	select {
	case c.handled <- struct{}{}:
	default:
		c.refuse(badQueue, q.From, "too many questions at a time")
		respond(nil, errors.New("the node has too much to do"))
		return
	}
	if ctx.Err() != nil || c.cfg.Do == nil && c.cfg.Answer == nil {
		<-c.handled
		return
	}
	c.working.Go(func() {
		defer func() { <-c.handled }()
		if what, is := strings.CutPrefix(q.Ask, askOf); is {
			respond(c.answered(what, q.Argument))
			return
		}
		done, err := c.cfg.Do(q.Ask, q.Argument)
		if err == nil {
			c.log.Info("done for another node", "node", q.From, "action", q.Ask, "argument", q.Argument)
		}
		respond(done, err)
	})
}

// Answer is what came of an action on another node.
type Answer struct {
	Node string
	Body json.RawMessage
	Err  error // it is not known to be done
}

// Tell has all other nodes that are not gone do an action of the operator. Those that
// went a short while ago may be frozen, and are asked too.
func (c *Cluster) Tell(ctx context.Context, action, argument string) (all []Answer) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range c.Members() {
		if m.Self || m.Leaving {
			continue
		}
		group.Go(func() {
			patience := DoPatience
			if m.Gone {
				patience = pingPatience
			}
			r, err := c.ask(ctx, m.Node, action, argument, patience)
			if errors.Is(err, errNoReply) { // it may have ended meanwhile
				if _, now := c.ask(ctx, m.Node, askPing, "", pingPatience); errors.Is(now, errNobody) {
					err = now
				}
			}
			if errors.Is(err, errNobody) {
				c.book.bury(m.Node, m.Run)
				return // a process that has ended has nothing to do; a new one reads the store
			}
			what := "answered"
			if err != nil {
				what = "failed"
			}
			c.counts.add(questions, what)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, Answer{m.Node, r.Body, err})
		})
	}
	group.Wait()
	return all
}

// alive reports whether a member can have a room: it asks, unless it was heard just now.
func (c *Cluster) alive(ctx context.Context, m Member) bool {
	if m.Self {
		return c.speaks()
	}
	if m.Gone {
		return false
	}
	if m.Silent < c.cfg.beat/4 {
		return true
	}
	_, err := c.ask(ctx, m.Node, askPing, "", pingPatience)
	switch {
	case errors.Is(err, errNobody):
		c.book.bury(m.Node, m.Run)
		return false
	case errors.Is(err, errNoReply):
		return m.Silent+pingPatience < c.cfg.beat*2
	}
	return true
}

// askOf marks what is asked by Ask.
const askOf = "of "

// Ask asks another node something about people, which Config.Answer answers there. Both are
// encrypted, and bounded: together with what is around it, by maxMessage in base64 twice.
func (c *Cluster) Ask(ctx context.Context, node, what string, body []byte) ([]byte, error) {
	keys := c.keys.Load()
	r, err := c.ask(ctx, node, askOf+what, base64.StdEncoding.EncodeToString(keys.box("ask", node+" "+what, body)), DoPatience)
	if err != nil {
		return nil, err
	}
	var text []byte
	if err := json.Unmarshal(r.Body, &text); err != nil {
		return nil, err
	}
	said, why := keys.unbox("answer", node+" "+what, text)
	if why != "" {
		c.refuse(why, node, explanations[why])
		return nil, fmt.Errorf("the answer cannot be trusted (%s)", why)
	}
	return said, nil
}

func (c *Cluster) answered(what, argument string) (json.RawMessage, error) {
	keys, place := c.keys.Load(), c.cfg.Node+" "+what
	text, err := base64.StdEncoding.DecodeString(argument)
	if err != nil || c.cfg.Answer == nil {
		return nil, errors.New("this node cannot read that")
	}
	body, why := keys.unbox("ask", place, text)
	if why != "" {
		c.refuse(why, "", explanations[why])
		return nil, errors.New("this node cannot read that")
	}
	said, err := c.cfg.Answer(what, body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(keys.box("answer", place, said))
}
