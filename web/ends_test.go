package web_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"turnhub/internal/portmux"
	"turnhub/signaling"
	"turnhub/signaling/peerjs"
	"turnhub/signaling/rawrelay"
	"turnhub/signaling/socketio"
	"turnhub/web"
)

// ends is a whole universal port, with short times, or with E2E_LONG=1 the real ones.
type ends struct {
	mux     *portmux.Mux
	address string
	roots   *tls.Config
	patient time.Duration // within which every connection has to end
}

func startEnds(t *testing.T) *ends {
	t.Helper()
	times, body, identify, timing, patient := portmux.Times{
		Header: 300 * time.Millisecond, Request: 600 * time.Millisecond, Answer: time.Second, Idle: 500 * time.Millisecond,
	}, 400*time.Millisecond, 300*time.Millisecond, signaling.Timing{Hello: 300 * time.Millisecond}, 20*time.Second
	if os.Getenv("E2E_LONG") != "" {
		times, body, identify, timing, patient = portmux.Times{}, 0, 0, signaling.Timing{}, 170*time.Second
	}
	hub := signaling.NewHub(signaling.Config{Timing: timing, Limits: signaling.Limits{ConnectionsPerIP: 100_000, ConnectionsTotal: 100_000}})
	engine := socketio.Timing{}
	if body != 0 {
		engine = socketio.Timing{PingInterval: 400 * time.Millisecond, PingTimeout: 300 * time.Millisecond, Upgrade: body, Connect: body, Body: body}
	}
	sio := socketio.New(socketio.Config{Hub: hub, Timing: engine})
	pjs := peerjs.New(peerjs.Config{Hub: hub, BodyTimeout: body})
	relay := rawrelay.New(rawrelay.Config{Hub: hub})
	handler := web.New(web.Config{
		Mint: func(user string, _ time.Time) (string, string) { return user, "password" },
		URLs: func(uint16) []string { return []string{"turn:a:3478"} },
		Mounts: []web.Mount{
			{Patterns: []string{"GET /ws"}, Handler: hub},
			{Patterns: []string{"/peerjs", "/peerjs/"}, Handler: pjs, Else: peerjs.Route},
			{Patterns: []string{"/socket.io/"}, Handler: sio},
			{Patterns: []string{"/relay/{channel...}"}, Handler: relay},
		},
	}, web.Settings{TTL: time.Hour, AllowedOrigins: []string{"*"}})
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	e := &ends{patient: patient, roots: &tls.Config{InsecureSkipVerify: true}}
	e.mux = portmux.New(portmux.Config{
		HTTP: handler, TLS: &tls.Config{Certificates: certificate.TLS.Certificates}, IdentifyTimeout: identify, Times: times,
		STUN: func(c *portmux.Conn, _ bool) { c.Close() }, Unidentified: 100_000,
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = e.mux.Serve(ctx, listener) })
	serving.Go(func() { _ = hub.Serve(ctx) })
	t.Cleanup(func() {
		stop()
		serving.Wait()
	})
	return e
}

// say opens a connection, says something on it, drips if told so, and waits until the
// server has ended it.
func (e *ends) say(secure bool, text string, drip bool) error {
	conn, err := net.Dial("tcp", e.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if secure {
		conn = tls.Client(conn, e.roots)
	}
	_ = conn.SetDeadline(time.Now().Add(e.patient))
	if _, err := io.WriteString(conn, text); err != nil {
		return nil // ended already
	}
	if drip {
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					return
				case <-tick.C:
					if _, err := conn.Write([]byte("x")); err != nil {
						return
					}
				}
			}
		}()
	}
	_, err = io.Copy(io.Discard, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return fmt.Errorf("open after %v", e.patient)
	}
	return nil
}

// sid begins a session of Engine.IO.
func (e *ends) sid(t *testing.T, protocol int) string {
	t.Helper()
	// With its short times the server ends a connection that a busy machine is slow to
	// speak on, and one that is kept for the next request.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var last string
	for end := time.Now().Add(e.patient); time.Now().Before(end); {
		response, err := client.Get(fmt.Sprintf("http://%s/socket.io/?EIO=%d&transport=polling&b64=1", e.address, protocol))
		if err != nil {
			last = err.Error()
			continue
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		_, after, _ := strings.Cut(string(text), `"sid":"`)
		if id, _, ok := strings.Cut(after, `"`); ok {
			return id
		}
		last = string(text)
	}
	t.Fatalf("no session: %s", last)
	return ""
}

// Every connection ends, whatever is said on it: what is awaited here is the
// connection's end, not the handler's.
func TestEveryConnectionEnds(t *testing.T) {
	e := startEnds(t)
	before := runtime.NumGoroutine()
	paths := []string{
		"/", "/check", "/config", "/turn?service=turn&username=u", "/healthz", "/readyz", "/client/turnhub.js", "/nothing", "*",
		"/ws", "/relay/x", "/peerjs/peerjs/id", "/peerjs/peerjs/a/b/offer", "/peerjs?key=peerjs&id=a&token=b", "/a/b/peerjs/c/d/answer",
		"/socket.io/socket.io.js", "/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=3&transport=polling&j=0",
	}
	shapes := map[string]string{
		"as it is":            "\r\n",
		"a body of a byte":    "Content-Length: 1000\r\n\r\nx",
		"a body that drips":   "Content-Length: 100000\r\n\r\n",
		"a body of 1 TB":      "Content-Length: 1000000000000\r\n\r\nx",
		"chunks without end":  "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"a chunk of half":     "Transfer-Encoding: chunked\r\n\r\nfffff\r\nhello",
		"100-continue":        "Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
		"half a header":       "X-Half: ",
		"the next, by half":   "\r\nGET / HTTP/1.1\r\nHost",
		"an upgrade, by half": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
	}
	var all sync.WaitGroup
	try := func(secure bool, name, text string, drip bool) {
		all.Go(func() {
			if err := e.say(secure, text, drip); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
		for _, path := range paths {
			for shape, header := range shapes {
				name := fmt.Sprintf("%s %s, %s", method, path, shape)
				text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\n%s", method, path, header)
				try(method == "DELETE", name, text, shape == "a body that drips")
			}
		}
	}
	// Sessions of Engine.IO: each is spoilt by what is tried on it.
	for _, protocol := range []int{3, 4} {
		for shape, header := range shapes {
			for _, method := range []string{"GET", "POST"} {
				path := fmt.Sprintf("/socket.io/?EIO=%d&transport=polling&sid=%s", protocol, e.sid(t, protocol))
				text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\n%s", method, path, header)
				try(protocol == 4, fmt.Sprintf("%s on a session of Engine.IO %d, %s", method, protocol, shape), text, shape == "a body that drips")
			}
		}
	}
	// WebSockets: before the first word, and after a Close.
	const upgrade = " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	const closeFrame = "\x88\x82\x00\x00\x00\x00\x03\xE8"
	for _, secure := range []bool{false, true} {
		try(secure, "no hello", "GET /ws"+upgrade, false)
		try(secure, "half a frame", "GET /ws"+upgrade+"\x81\xFE\x10\x00", true)
		for _, path := range []string{"/ws", "/relay/x", "/peerjs?key=peerjs&id=z&token=z", "/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=3&transport=websocket"} {
			try(secure, path+" after a Close", "GET "+path+upgrade+closeFrame, false)
			try(secure, path+" dripping after a Close", "GET "+path+upgrade+closeFrame, true)
			try(secure, path+" dripping after an error", "GET "+path+upgrade+"\xFF\xFF", true)
		}
	}
	try(false, "nothing", "", false)
	try(false, "half a TLS hello", "\x16\x03\x01\x02\x00\x01", false)
	try(false, "a dripping TLS hello", "\x16\x03\x01\x02\x00\x01", true)
	try(true, "TLS and nothing", "", false)
	try(true, "TLS and garbage", "\x00", false)
	// Those who ask and do not read.
	for range 4 {
		conn, err := net.Dial("tcp", e.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		go func() {
			_, _ = io.WriteString(conn, strings.Repeat("GET /socket.io/socket.io.js HTTP/1.1\r\nHost: h\r\n\r\n", 200))
		}()
	}
	all.Wait()
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(e.patient); ; time.Sleep(10 * time.Millisecond) {
		open, now := e.mux.Stats().Open, runtime.NumGoroutine()
		if open == 0 && now <= before+10 {
			break
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d connections are open, %d goroutines run, %d did before\n%s", open, now, before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
