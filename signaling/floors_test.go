package signaling

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// bytesBetween stands between the floors as a network would: whatever is handed over
// is written as bytes and read again, so that neither floor can hold anything of the
// other's.
type bytesBetween struct {
	t     *testing.T
	above delivery.Meaning
	below delivery.Post
	calls map[string]int
}

// over takes values over as bytes. Floors that shared memory would see it spoilt.
func over[V any](b *bytesBetween, call string, v V) (copied V) {
	b.t.Helper()
	b.calls[call]++
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &copied)
	}
	if err != nil {
		b.t.Fatalf("%s: %v", call, err)
	}
	return copied
}

func (b *bytesBetween) Opened(o delivery.Opening) *wire.Fault {
	return over(b, "fault", b.above.Opened(over(b, "Opened", o)))
}

func (b *bytesBetween) Reached(s delivery.Ref, now delivery.Standing) {
	b.above.Reached(over(b, "Reached", s), over(b, "standing", now))
}

func (b *bytesBetween) Message(s delivery.Ref, m *wire.Message) *wire.Fault {
	there := over(b, "Message", *m)
	f := over(b, "fault", b.above.Message(s, &there))
	there = over(b, "message", wire.Message{Type: []byte("spoilt")}) // it was good until here
	return f
}

func (b *bytesBetween) Away(s delivery.Ref, away bool) { b.above.Away(s, over(b, "Away", away)) }

func (b *bytesBetween) Ended(s delivery.Ref, reason string) {
	b.above.Ended(over(b, "Ended", s), reason)
}

func (b *bytesBetween) Send(to, cause delivery.Ref, o wire.Object) bool {
	return b.below.Send(over(b, "Send", to), cause, over(b, "object", o))
}

func (b *bytesBetween) Fits(to, cause delivery.Ref, bytes int) bool {
	return b.below.Fits(to, cause, over(b, "Fits", bytes))
}

func (b *bytesBetween) Parting(s delivery.Ref) bool { return b.below.Parting(over(b, "Parting", s)) }

func (b *bytesBetween) SendOnly(to, cause delivery.Ref, o wire.Object, buffer *[]byte) bool {
	there := over(b, "SendOnly", o)
	if buffer != nil {
		clear((*buffer)[:cap(*buffer)]) // another machine cannot take it over
	}
	return b.below.SendOnly(to, cause, there, nil)
}

func (b *bytesBetween) SendAs(to, cause delivery.Ref, o wire.Object, buffer *[]byte, number uint64, must bool) bool {
	there := over(b, "SendAs", o)
	if buffer != nil {
		clear((*buffer)[:cap(*buffer)])
	}
	return b.below.SendAs(to, cause, there, nil, number, must)
}

func (b *bytesBetween) Hold(s delivery.Ref) uint64 { return b.below.Hold(over(b, "Hold", s)) }

func (b *bytesBetween) Release(s delivery.Ref, held uint64, f *wire.Fault) {
	b.below.Release(over(b, "Release", s), held, over(b, "fault", f))
}

func (b *bytesBetween) Holds(s delivery.Ref) bool {
	return b.below.Holds(over(b, "Holds", s))
}

func (b *bytesBetween) Numbered(s delivery.Ref) (uint64, bool) {
	return b.below.Numbered(over(b, "Numbered", s))
}

func (b *bytesBetween) End(s delivery.Ref, reason string, code wire.CloseCode) {
	b.below.End(s, reason, over(b, "End", code))
}

// TestFloorsShareNothing plays the model of calls, and a room with its lobby, with
// bytes between the floors: another machine could be either of them.
func TestFloorsShareNothing(t *testing.T) {
	calls := make(map[string]int)
	between := func(h *Hub) {
		b := &bytesBetween{t: t, above: h.directory, below: h.node, calls: calls}
		h.directory.post = b
		h.node.SetMeaning(b)
	}
	for seed := range 100 {
		m := newModel(t, uint64(seed))
		between(m.hub)
		m.log("seed %d, with bytes between the floors", seed)
		for range 100 {
			m.act()
		}
		m.settle()
		m.leave()
	}
	s := newStill(t, Config{Timing: Timing{Heartbeat: time.Hour}})
	between(s.hub)
	a, b := s.hello(`{"type":"hello","name":"Vasya"}`), s.hello(`{"type":"hello","user":"petya","userSecret":"12345678"}`)
	s.say(a, `{"type":"join","room":"r","id":1}`)
	s.say(b, `{"type":"lobby","room":"r","id":1,"first":{"sdp":"x"}}`)
	s.expect(a, "welcome", "joined", "lobby-peer")
	s.say(b, `{"type":"join","room":"r","id":2}`)
	s.say(b, fmt.Sprintf(`{"type":"signal","to":%q,"data":{"candidate":"y"},"id":3}`, a.id()))
	s.say(b, `{"type":"message","room":"r","data":"hi"}`)
	s.say(b, `{"type":"leave","room":"nowhere","id":4}`)
	s.expect(b, "welcome", "lobby", "joined", "ok", "error")
	frames := pullFrames(t, a)
	if len(frames) < 3 || frames[1].str("type") != "signal" || frames[1]["data"].(map[string]any)["candidate"] != "y" || frames[2].str("data") != "hi" {
		t.Errorf("heard %v", frames)
	}
	if _, err := s.hub.Revoke(b.id()); err != nil {
		t.Fatal(err)
	}
	s.expect(a, "peer-left")
	for _, call := range []string{"Opened", "Reached", "Message", "Away", "Ended", "Send", "Fits", "SendOnly", "End"} {
		if calls[call] == 0 {
			t.Errorf("%s was never called", call)
		}
	}
}
