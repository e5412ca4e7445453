package web

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// quietTime is for how long nothing is said on the socket of /check/quiet: a little less
	// than the 60 s that proxies should leave a connection, and leave it by default.
	quietTime = 58 * time.Second
	// quietAtOnce bounds how many are open.
	quietAtOnce = 64
)

// quiet answers GET /check/quiet: a WebSocket on which nothing passes, not even a ping, until
// it is closed with status 1000. Who sees it end before that has something in front of the
// server that ends idle connections sooner.
func (s *Server) quiet(w http.ResponseWriter, r *http.Request) {
	select {
	case s.quiets <- struct{}{}:
		defer func() { <-s.quiets }()
	default:
		w.Header().Set("Retry-After", "60")
		fail(w, http.StatusServiceUnavailable, "busy", "too many ask for this at once: try again in a minute")
		return
	}
	upgrader := websocket.Upgrader{ReadBufferSize: 256, WriteBufferSize: 256, HandshakeTimeout: 5 * time.Second, Error: func(w http.ResponseWriter, _ *http.Request, status int, err error) {
		fail(w, status, "websocket", "this path opens a WebSocket: "+err.Error())
	}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetReadLimit(1)
	_ = conn.SetReadDeadline(time.Now().Add(s.quietFor))
	// What is said here is not answered: it has broken the silence.
	_, _, err = conn.NextReader()
	if failure := net.Error(nil); errors.As(err, &failure) && failure.Timeout() {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	}
}
