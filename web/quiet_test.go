package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestQuiet hears nothing on the socket until it is closed in order.
func TestQuiet(t *testing.T) {
	s := server(nil)
	s.quietFor = 20 * time.Millisecond
	web := httptest.NewServer(s)
	defer web.Close()
	url := "ws" + strings.TrimPrefix(web.URL, "http") + "/check/quiet"
	open := func() *websocket.Conn {
		t.Helper()
		conn, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		return conn
	}
	conn := open()
	conn.SetPingHandler(func(string) error { t.Error("a ping came"); return nil })
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("after the silence: %v", err)
	}
	// Who speaks is not told that the silence was kept.
	s.quietFor = time.Minute
	conn = open()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); err == nil || websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("after a word: %v", err)
	}
	if w := get(s, "/check/quiet"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"websocket"`) {
		t.Errorf("no WebSocket: %d %s", w.Code, w.Body)
	}
	// Not more at once than are let.
	for range cap(s.quiets) {
		s.quiets <- struct{}{}
	}
	if _, response, err := websocket.DefaultDialer.Dial(url, nil); err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %v", response)
	}
}
