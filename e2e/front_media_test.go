package e2e

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// mediaThrough has two people of one room send each other a frame through media sockets,
// which are where the server says, seen from the hub's own.
func mediaThrough(t *testing.T, hub string, dial func(url string, protocols ...string) *websocket.Conn) {
	t.Helper()
	var welcomes [2]struct {
		Session string
		Resume  struct{ Token string }
		Media   struct{ Path string }
	}
	for i := range welcomes {
		ws := dial(hub, "turnhub.v1")
		for _, said := range []map[string]any{{"type": "hello"}, {"type": "join", "seq": 1, "room": "media"}} {
			if err := ws.WriteJSON(said); err != nil {
				t.Fatal(err)
			}
		}
		if err := ws.ReadJSON(&welcomes[i]); err != nil || welcomes[i].Media.Path == "" {
			t.Fatalf("no media socket is offered: %+v, %v", welcomes[i], err)
		}
		for {
			_, text, err := ws.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), `"joined"`) {
				break
			}
		}
	}
	base, err := url.Parse(hub)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*websocket.Conn
	for i, w := range welcomes {
		at, err := base.Parse(w.Media.Path)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = dial(at.String(), "turnhub.media.v1")
		if err := ends[i].WriteJSON(map[string]any{"type": "hello", "session": w.Session, "token": w.Resume.Token, "peer": welcomes[1-i].Session}); err != nil {
			t.Fatal(err)
		}
		// The second one is told in its `ready` that the first is there, and that in a word of its own.
		if _, text, err := ends[i].ReadMessage(); err != nil || !strings.Contains(string(text), `"ready"`) {
			t.Fatalf("hello at %s is answered by %q, %v", at, text, err)
		}
	}
	if _, text, err := ends[0].ReadMessage(); err != nil || !strings.Contains(string(text), `"peer"`) {
		t.Fatalf("who was there is told %q, %v", text, err)
	}
	for i := range ends {
		frame := append([]byte{1}, bytes.Repeat([]byte{byte(i + 7)}, 200)...)
		if err := ends[i].WriteMessage(websocket.BinaryMessage, frame); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ends[1-i].ReadMessage(); err != nil || !bytes.Equal(got, frame) {
			t.Fatalf("a frame arrives as %x, %v", got, err)
		}
	}
}
