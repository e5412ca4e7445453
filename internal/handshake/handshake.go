// Package handshake tells a WebSocket's opening handshake from every other request,
// for the pages and for every dialect alike.
package handshake

import (
	"net/http"
	"strings"
)

// IsWebSocket reports whether a request asks for a WebSocket (RFC 6455 section 4.1).
// Whether it asks as it should is for who upgrades it to say.
func IsWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}
