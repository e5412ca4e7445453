package peerjs

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wsock"
	"turnhub/signaling/internal/wstest"
)

// TestQueue: "should save message in queue when destination client not
// connected", and hand it over in order after OPEN; LEAVE and EXPIRE are never
// kept.
func TestQueue(t *testing.T) {
	f := start(t, signaling.Limits{}, nil)
	a, c := f.peer("a"), f.peer("c")
	f.send(a, `{"type":"CANDIDATE","dst":"b","payload":0}`)
	f.send(a, `{"type":"LEAVE","dst":"b"}`)
	f.send(a, `{"type":"EXPIRE","dst":"b"}`)
	f.send(a, `{"type":"OFFER","dst":"b","payload":1}`)
	f.send(a, `{"type":"CANDIDATE","dst":"c","payload":"after the rest"}`)
	f.want(c, `{"type":"CANDIDATE","src":"a","dst":"c","payload":"after the rest"}`)
	f.send(c, `{"type":"OFFER","dst":"b","payload":2}`)
	f.send(c, `{"type":"CANDIDATE","dst":"a","payload":"after that"}`)
	f.want(a, `{"type":"CANDIDATE","src":"c","dst":"a","payload":"after that"}`)
	b := f.peer("b")
	f.want(b, `{"type":"CANDIDATE","src":"a","dst":"b","payload":0}`)
	f.want(b, `{"type":"OFFER","src":"a","dst":"b","payload":1}`)
	f.want(b, `{"type":"OFFER","src":"c","dst":"b","payload":2}`)
	if n := f.held.Total(); n != 0 {
		t.Errorf("%d bytes still count as held", n)
	}
}

// TestExpire: "should fire EXPIRE message", one for each sender and absent
// peer, and "should remove client if no read from queue".
func TestExpire(t *testing.T) {
	f := start(t, signaling.Limits{}, func(s *Server) { s.expiry = time.Hour })
	a, c := f.peer("a"), f.peer("c")
	for _, ws := range []*websocket.Conn{a, c} {
		f.send(ws, `{"type":"OFFER","dst":"b","payload":1}`)
		f.send(ws, `{"type":"CANDIDATE","dst":"b","payload":2}`)
	}
	f.send(a, `{"type":"OFFER","dst":"d","payload":3}`)
	for id, ws := range map[string]*websocket.Conn{"a": a, "c": c} {
		f.send(ws, `{"type":"OFFER","dst":"`+id+`","payload":"all handled"}`)
		f.want(ws, `{"type":"OFFER","src":"`+id+`","dst":"`+id+`","payload":"all handled"}`)
	}
	for _, pair := range [][2]string{{"a", "b"}, {"a", "d"}, {"c", "b"}} {
		f.expire(pair[0], pair[1])
	}
	_, first, _ := wstest.Read(a)
	_, second, _ := wstest.Read(a)
	got := string(first) + string(second)
	for _, absent := range []string{"b", "d"} {
		if !strings.Contains(got, `{"type":"EXPIRE","src":"`+absent+`","dst":"a"}`) {
			t.Errorf("no EXPIRE from %s: %s", absent, got)
		}
	}
	f.want(c, `{"type":"EXPIRE","src":"b","dst":"c"}`)
	f.send(c, `{"type":"OFFER","dst":"b","payload":"of one who goes"}`)
	f.send(c, `{"type":"LEAVE"}`)
	f.wantClose(c, wsock.CodeNormal)
	f.expire("c", "b")
	if fates := f.fates(); fates["held"] != 6 || fates["expired"] != 6 {
		t.Errorf("all have expired: %v", fates)
	}
	b := f.peer("b") // finds nothing that waited
	f.send(a, `{"type":"OFFER","dst":"b","payload":4}`)
	f.want(b, `{"type":"OFFER","src":"a","dst":"b","payload":4}`)
	if n := f.held.Total(); n != 0 {
		t.Errorf("%d bytes still count as held", n)
	}
}

// TestQueueIsBounded: what is over the bound is dropped, EXPIRE comes all the
// same, and nobody else is affected.
func TestQueueIsBounded(t *testing.T) {
	f := start(t, signaling.Limits{MessagesPerSecond: 100_000}, func(s *Server) { s.expiry = time.Hour })
	a := f.peer("a")
	for range maxHeldOfPair * 3 {
		f.send(a, `{"type":"CANDIDATE","dst":"absent","payload":"`+strings.Repeat("x", 1000)+`"}`)
	}
	f.send(a, `{"type":"OFFER","dst":"a","payload":"all handled"}`)
	f.want(a, `{"type":"OFFER","src":"a","dst":"a","payload":"all handled"}`)
	if n := f.held.Total(); n > maxHeldOfPair*1100 || n == 0 {
		t.Errorf("%d bytes are held", n)
	}
	f.expire("a", "absent")
	f.want(a, `{"type":"EXPIRE","src":"absent","dst":"a"}`)
}

// expire does what the timer of src's messages to dst does.
func (f *fixture) expire(src, dst string) {
	f.mu.Lock()
	r := f.realms[""]
	f.mu.Unlock()
	r.mu.Lock()
	sender := r.absent[dst].senders[src]
	r.mu.Unlock()
	r.expire(src, dst, sender)
}

// expireFor does what the timers of all that waits for a peer do.
func (f *fixture) expireFor(dst string) {
	f.mu.Lock()
	r := f.realms[""]
	f.mu.Unlock()
	if r == nil {
		return
	}
	senders := make(map[string]*waiting)
	r.mu.Lock()
	if a := r.absent[dst]; a != nil {
		maps.Copy(senders, a.senders)
	}
	r.mu.Unlock()
	for src, sender := range senders {
		sender.timer.Stop()
		r.expire(src, dst, sender)
	}
}
