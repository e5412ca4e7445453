package signaling

import (
	"fmt"
	"slices"
	"testing"
)

// TestElsewhere: who has come to a node that does not have the room is sent to the one
// that has, unless others are with them here by another way.
func TestElsewhere(t *testing.T) {
	opened := make(chan string, 10)
	h, url := newServer(t, Config{OnRoom: func(room string) { opened <- room }})
	a := openClient(t, url, `{"type":"hello","user":"anna","userSecret":"12345678"}`)
	b, c := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
	for _, m := range []*client{a, b, c} {
		m.join("blue")
	}
	a.expect("peer-joined")
	a.expect("peer-joined")
	b.expect("peer-joined")
	c.say(`{"type":"lobby","room":"green","first":{},"id":1`)
	c.expect("lobby")
	if one, two := <-opened, <-opened; one != "blue" || two != "green" || len(opened) > 0 {
		t.Errorf("%s and %s were opened, and %d more", one, two, len(opened))
	}
	if got := h.Rooms(); !slices.Equal(got, []string{"blue", "green"}) {
		t.Errorf("rooms: %v", got)
	}
	urls := []string{"wss://b.example.org/ws", "wss://a.example.org/ws"}
	if told := h.Elsewhere("blue", "b", urls); told != 3 {
		t.Errorf("%d were told", told)
	}
	for _, m := range []*client{a, b, c} {
		if e := m.expect("elsewhere"); e.str("room") != "blue" || fmt.Sprint(e["signalings"]) != fmt.Sprint(urls) {
			t.Errorf("heard %v", e)
		}
	}
	// In the lobby of green c meets b, who is in it and in blue.
	b.join("green")
	c.expect("lobby")
	b.expect("lobby-peer")
	if told := h.Elsewhere("green", "b", urls); told != 0 {
		t.Errorf("%d were told who are with others in blue", told)
	}
	a.silent()
	if told := h.Elsewhere("nowhere", "b", urls); told != 0 {
		t.Errorf("%d were told of a room that is not here", told)
	}
	c.say(`{"type":"leave","room":"blue","id":2`)
	c.expect("ok")
	if told := h.Elsewhere("green", "b", urls); told != 1 {
		t.Errorf("%d were told, not c alone", told)
	}
}
