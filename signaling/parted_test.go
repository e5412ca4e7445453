package signaling

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
)

// TestParted: with somebody who has gone with his node those who were with him are together for
// as long as that carries what they have, for the relay and for media, and for nobody else; who
// leaves is not.
func TestParted(t *testing.T) {
	const gone, left = SessionPrefix + "gone", SessionPrefix + "left"
	from := netip.MustParseAddr("198.51.100.7")
	var changed []string
	s := newStill(t, Config{Nodes: handling{}, Node: "a", OnChange: func(sessions ...string) { changed = append(changed, sessions...) }})
	h := s.hub
	h.NodeUp("b", 1)
	hear := func(kind byte, what any) {
		b, err := json.Marshal(what)
		if err != nil {
			t.Fatal(err)
		}
		h.FromNode("b", [][]byte{append([]byte{kind}, b...)})
	}
	open := func(room string) *carried {
		c := carry(h)
		c.Say([]byte(`{"type":"hello"}`), s.at)
		c.Say([]byte(`{"type":"join","room":"`+room+`","seq":1}`), s.at)
		return c
	}
	c, stranger := open("blue"), open("green")
	hear(kindPart, partFrame{Room: "blue", People: []*person{{Ref: 1, ID: gone, Opener: from, Seen: from}, {Ref: 2, ID: left, Opener: from, Seen: from}}})
	hear(kindLeave, partFrame{Room: "blue", Ref: 1, Reason: "lost", Goes: true})
	hear(kindLeave, partFrame{Room: "blue", Ref: 2, Reason: "leave"})
	var told []string
	for _, f := range pullFrames(t, c) {
		if f.str("type") == "peer-left" {
			told = append(told, f.str("peer")+" "+f.str("reason"))
		}
	}
	if !slices.Equal(told, []string{gone + " lost", left + " leave"}) {
		t.Errorf("told: %v", told)
	}
	are := func(what string, a, b string, want bool) {
		t.Helper()
		if h.Share(a, b) != want || h.Together(a, b) != want {
			t.Errorf("%s: %v, %v for the relay", what, h.Share(a, b), h.Together(a, b))
		}
	}
	are("who has gone", c.id(), gone, true)
	are("and the other way round", gone, c.id(), true)
	are("who has left", c.id(), left, false)
	are("a stranger", stranger.id(), gone, false)
	if node, known := h.NodeOf(gone); node != "b" || !known || !h.Seen(c.id(), from) {
		t.Errorf("it is on %q, %v", node, known)
	}
	if me := h.directory.members.Get(c.id()); h.directory.free(me, "green") {
		t.Error("it would be sent to another node, and lose that")
	}
	s.at, changed = s.at.Add(partedFor), nil
	h.timers.Run(s.at)
	are("after that", c.id(), gone, false)
	if _, known := h.NodeOf(gone); known || h.Seen(c.id(), from) || !slices.Contains(changed, gone) || !slices.Contains(changed, c.id()) {
		t.Errorf("it is known still, or nobody is told: %v", changed)
	}
	if me := h.directory.members.Get(c.id()); !h.directory.free(me, "green") {
		t.Error("it cannot go to another node")
	}
}
