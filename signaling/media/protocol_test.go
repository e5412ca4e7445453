package media

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
)

// TestProtocol holds the section of protocol.md about media sockets: its examples are said
// and heard, its kinds are the code's.
func TestProtocol(t *testing.T) {
	b, err := os.ReadFile("../protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "\n## Media through a WebSocket: "+Subprotocol+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("there is no such section")
	}
	var kinds []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\d) \| (?:key )?([a-z]+)`).FindAllStringSubmatch(section, -1) {
		kinds = append(kinds, row[1]+row[2])
	}
	if want := []string{"1sound", "2picture", "3picture", "4message", "5report", "6piece"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %q, want %q", kinds, want)
	}
	shown := map[string][]string{} // the members of each type
	for _, text := range regexp.MustCompile(`\{"type":[^}]*\}`).FindAllString(section, -1) {
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("%s is no JSON: %v", text, err)
		}
		for member := range m {
			shown[m["type"].(string)] = append(shown[m["type"].(string)], member)
		}
	}
	heard := map[string]bool{"hello": true, "ping": true} // said below as they are shown
	hear := func(e *end, typ string) {
		t.Helper()
		text, _ := e.next()
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil || m["type"] != typ {
			t.Fatalf("%q came, not %s", text, typ)
		}
		heard[typ] = true
		for member := range m {
			if !slices.Contains(shown[typ], member) && member != "retry" {
				t.Errorf("%s: protocol.md does not know %q there", text, member)
			}
		}
	}
	w := start(t, signaling.Config{}, Config{})
	a, b2 := w.person("room"), w.person("room")
	example := regexp.MustCompile(`\{"type": "hello"[^}]*\}`).FindString(section)
	open := func(p, peer *person) *end {
		e := w.end()
		text := strings.Replace(example, `"session": "s_…"`, `"session": `+strconv.Quote(p.id), 1)
		text = strings.Replace(text, `"token": "…"`, `"token": `+strconv.Quote(p.token), 1)
		e.text(strings.Replace(text, `"peer": "s_…"`, `"peer": `+strconv.Quote(peer.id), 1))
		hear(e, "ready")
		return e
	}
	x := open(a, b2)
	y := open(b2, a)
	hear(x, "peer")
	x.send(numbered(Picture, 1, 100))
	hear(x, "key")
	x.text(`{"type":"ping"}`)
	hear(x, "pong")
	w.media.Restart(time.Second)
	hear(x, "restart")
	hear(y, "restart")
	b2.say(`{"type":"leave","room":"room"}`)
	hear(y, "error")
	y.closed(wire.CloseRefused)
	for typ := range shown {
		if !heard[typ] {
			t.Errorf("protocol.md shows %s, which the server never said", typ)
		}
	}
}
