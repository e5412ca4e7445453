package handshake

import (
	"net/http"
	"testing"
)

func TestIsWebSocket(t *testing.T) {
	for header, want := range map[string]bool{"websocket": true, "WebSocket": true, "": false, "h2c": false, "websockets": false} {
		r := &http.Request{Header: http.Header{"Upgrade": {header}}}
		if IsWebSocket(r) != want {
			t.Errorf("%q: want %v", header, want)
		}
	}
	if IsWebSocket(&http.Request{}) {
		t.Error("a request without headers is taken for one")
	}
}
