package web

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlacement: /config?room= names the room's node first and one URL of the next
// after it, never more than four in all.
func TestPlacement(t *testing.T) {
	own := []string{"turn:a:3478?transport=udp", "turn:a:443?transport=udp", "turn:a:3478?transport=tcp", "turns:a:443?transport=tcp"}
	other := []string{"turn:b:3478?transport=udp", "turns:b:443?transport=tcp"}
	asked := ""
	s := New(Config{
		Mint: func(user string, _ time.Time) (string, string) { return user, "secret" },
		URLs: func(uint16) []string { return own },
		Place: func(_ context.Context, room string) Placement {
			asked = room
			p := Placement{URLs: other, Next: own, Signalings: []string{"wss://b/ws", "wss://a/ws"}}
			if room != "blue" {
				p = Placement{Local: true, URLs: nil, Next: other, Signalings: []string{"wss://a/ws", "wss://b/ws"}}
			}
			return p
		},
	}, Settings{TTL: time.Hour, AllowedOrigins: []string{"*"}, RatePerPrefix: 100})
	for _, x := range []struct {
		query     string
		status    int
		urls      []string
		signaling string
	}{
		{"?room=blue", 200, []string{other[0], other[1], own[3]}, "wss://b/ws"},
		{"?room=green", 200, []string{own[0], own[1], own[3], other[1]}, "wss://a/ws"},
		{"", 200, own, "ws://example.com/ws"},
		{"?room=a%20b", 400, nil, ""},
		{"?room=" + strings.Repeat("x", 129), 400, nil, ""},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/config"+x.query, nil))
		var c rtcConfiguration
		if err := json.Unmarshal(w.Body.Bytes(), &c); w.Code != x.status || err != nil {
			t.Errorf("%s: %d %s", x.query, w.Code, w.Body)
			continue
		}
		if x.status != 200 {
			continue
		}
		if got := c.ICEServers[0].URLs; !slices.Equal(got, x.urls) || c.Signaling != x.signaling || len(c.Signalings) != 2 {
			t.Errorf("%s (%s): %v, %s of %v", x.query, asked, got, c.Signaling, c.Signalings)
		}
	}
}
