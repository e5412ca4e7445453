// Package wstest makes the circumstances in which sockets are tested.
package wstest

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// Ways are the ways in which a socket is served: by an event loop over TCP and over TLS,
// and by a goroutine of its own, as on systems without an event loop.
var Ways = map[string]func(http.Handler) *httptest.Server{
	"plain": httptest.NewServer, "TLS": NewTLSServer, "goroutines": httptest.NewTLSServer,
}

// NewTLSServer is httptest's on connections as the program's listeners make them: their
// sockets can be taken over.
func NewTLSServer(handler http.Handler) *httptest.Server {
	server := httptest.NewTLSServer(nil) // for its certificate
	config := server.TLS.Clone()
	server.Close()
	config.NextProtos = []string{"http/1.1"}
	config.DynamicRecordSizingDisabled = true // as portmux has it
	server = httptest.NewUnstartedServer(handler)
	server.Listener = layers{server.Listener, config}
	server.Start()
	server.URL = "https" + strings.TrimPrefix(server.URL, "http")
	return server
}

var trust = sync.OnceFunc(func() {
	insecure := &tls.Config{InsecureSkipVerify: true}
	websocket.DefaultDialer.TLSClientConfig = insecure
	http.DefaultTransport.(*http.Transport).TLSClientConfig = insecure
})

// NewServer serves in the way that the environment variable WEBSOCKET_WAY names: plain
// where it is not set. The default clients trust it.
func NewServer(handler http.Handler) *httptest.Server {
	trust()
	if start := Ways[os.Getenv("WEBSOCKET_WAY")]; start != nil {
		return start(handler)
	}
	return httptest.NewServer(handler)
}

type layers struct {
	net.Listener
	config *tls.Config
}

func (l layers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(&layer{c}, l.config), nil
}

// layer is a connection whose lower one can be exchanged, as portmux has it.
type layer struct{ net.Conn }

func (l *layer) Buffered() []byte      { return nil }
func (l *layer) NetConn() net.Conn     { return l.Conn }
func (l *layer) SetNetConn(c net.Conn) { l.Conn = c }
