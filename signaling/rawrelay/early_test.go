package rawrelay

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
	"turnhub/signaling/internal/wstest"
)

// TestHearsOnceOpen: two pages that both see their sockets open reach each other.
func TestHearsOnceOpen(t *testing.T) {
	// Those who have closed may still be counted for a while, on a busy machine all of them.
	const rounds = maxSockets - 1
	url, _ := start(t, signaling.Limits{MessagesPerSecond: 1e6, ConnectionsPerIP: rounds + 1})
	first := join(t, url+"/relay/open")
	for i := range rounds {
		second, _, err := websocket.DefaultDialer.Dial(url+"/relay/open", nil)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(i)
		send(t, first, websocket.TextMessage, text)
		want(t, second, websocket.TextMessage, text)
		second.Close()
	}
}

// TestHearsWhatWasSaidBefore: who sees its socket open hears all that is said from then on, however
// long the server takes to let it in; one that was to have more than may wait is told so.
func TestHearsWhatWasSaidBefore(t *testing.T) {
	url, relay := start(t, signaling.Limits{MessagesPerSecond: 1e6})
	let := make(chan struct{})
	slow := wstest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		relay.serve(w, r, &member{limit: maxSockets, most: relay.desk.QueueBytes()}, r.URL.Path[1:], func(end func(*wsock.CloseError)) (*admission.Entrant, error) {
			<-let
			return relay.desk.Enter(r, access.Claims{}, end)
		})
	}))
	t.Cleanup(slow.Close)
	const messages = 1000
	a, b := join(t, url+"/relay/few"), join(t, url+"/relay/much")
	late, lost := join(t, "ws"+strings.TrimPrefix(slow.URL, "http")+"/few"), join(t, "ws"+strings.TrimPrefix(slow.URL, "http")+"/much")
	for i := range messages {
		send(t, a, websocket.TextMessage, fmt.Sprint(i))
	}
	big := strings.Repeat("x", 64<<10)
	for range relay.desk.QueueBytes()/len(big) + 1 {
		send(t, b, websocket.BinaryMessage, big)
	}
	for channel, is := range map[string]func(*member) bool{
		"few":  func(m *member) bool { return len(m.early) == messages },
		"much": func(m *member) bool { return m.missed },
	} {
		wstest.Until(t, "all is said in "+channel, func() bool {
			relay.mu.Lock()
			c := relay.channels[channel]
			relay.mu.Unlock()
			c.mu.Lock()
			defer c.mu.Unlock()
			for m := range c.members {
				if is(m) {
					return true
				}
			}
			return false
		})
	}
	close(let)
	for i := range messages {
		want(t, late, websocket.TextMessage, fmt.Sprint(i))
	}
	wantClose(t, lost, int(wire.CloseSlow))
}
