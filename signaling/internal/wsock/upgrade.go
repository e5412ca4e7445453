package wsock

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

var writeBuffers sync.Pool

// NewUpgrader returns what upgrades requests to WebSockets of that subprotocol. It asks
// nothing of their Origin: its user has done that.
func NewUpgrader(subprotocol string) *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   128, // of no use beyond the upgrade
		WriteBufferSize:  1024,
		WriteBufferPool:  &writeBuffers,
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true },
	}
}

// Early is an upgraded connection on which the client has gone on without waiting
// for the 101, against RFC 6455 section 4.1: small clients that embed their own
// WebSocket do. What it has sent after its request is read first.
type Early struct {
	net.Conn
	first []byte
}

// Read returns the early bytes, then those of the connection.
func (e *Early) Read(b []byte) (int, error) {
	if len(e.first) > 0 {
		n := copy(b, e.first)
		e.first = e.first[n:]
		return n, nil
	}
	return e.Conn.Read(b)
}

// NetConn returns the connection below, and Take the early bytes that were not read:
// for who goes on with that.
func (e *Early) NetConn() net.Conn { return e.Conn }

// Take returns the early bytes and forgets them.
func (e *Early) Take() []byte {
	first := e.first
	e.first = nil
	return first
}

// Handshake is u.Upgrade for a client that may have gone on without waiting. The
// connection below the result is an *Early where it has.
func Handshake(u *websocket.Upgrader, w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	return u.Upgrade(hijacker{w}, r, nil)
}

// hijacker takes the early bytes out of the server's buffer, in which the upgrader
// does not suffer any.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil || rw.Reader.Buffered() == 0 {
		return conn, rw, err
	}
	first := make([]byte, rw.Reader.Buffered())
	if _, err := rw.Read(first); err != nil { // they are in the buffer: it cannot fail
		conn.Close()
		return nil, nil, err
	}
	early := &Early{conn, first}
	rw.Reader.Reset(early)
	return early, rw, nil
}
