package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// clientHello is the beginning of a TLS ClientHello: a record that announces more
// than ever comes.
var clientHello = append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 32)...)

// Thousands of connections that say nothing, or stop in the middle of a TLS
// handshake, push nobody out.
func TestStayUpHalfOpen(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil)
	s.alive(t, "before")
	before := s.settled(t)
	conns := make([]net.Conn, 0, 10_000)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	count := long(2_500, 10_000)
	for i := range count {
		conn, err := s.connect(attacker(i / 50)) // below limits.connections_per_ip
		if errors.Is(err, syscall.ECONNRESET) {
			continue // refused before the dialer had looked: their network has a quarter of all places
		}
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, conn)
		if i%2 == 1 {
			_, _ = conn.Write(clientHello)
		}
		if i == count/2 {
			s.alive(t, "among half-open connections")
		}
	}
	s.alive(t, "among half-open connections")
	if len(conns) < 250 {
		t.Errorf("only %d of %d connections were taken", len(conns), count)
	}
	// The server ends them by itself: reading sees the end.
	for i, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, conn); err != nil && isDeadline(err) {
			t.Fatalf("connection %d of %d is still open", i, count)
		}
	}
	s.unharmed(t, before)
}

func isDeadline(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// Clients that send one byte now and then, in every protocol, are cut off.
func TestStayUpSlowLoris(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil)
	s.alive(t, "before")
	before := s.settled(t)

	plain := func(i int) (net.Conn, error) { return s.connect(attacker(i)) }
	// A WebSocket frame that announces 100,000 bytes, after the upgrade; nobody has
	// said hello.
	frame := string([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0})
	kinds := []struct {
		name  string
		open  func(i int) (net.Conn, error)
		bytes string
	}{
		{"TLS", plain, string(clientHello)},
		{"HTTP", plain, "GET /config HTTP/1.1\r\nHost: localhost\r\nX-Slow: "},
		{"WebSocket", func(i int) (net.Conn, error) {
			dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, NetDial: func(string, string) (net.Conn, error) { return plain(i) }}
			socket, _, err := dialer.Dial(fmt.Sprintf("ws://localhost:%d/ws", s.port), nil)
			if err != nil {
				return nil, err
			}
			return socket.NetConn(), nil
		}, frame},
		{"STUN", plain, "\x00\x03\x03\xe8\x21\x12\xa4\x42123456789012"},
	}
	var open atomic.Int64
	var group sync.WaitGroup
	each := long(40, 400)
	for k, kind := range kinds {
		for i := range each {
			conn, err := kind.open(k*each + i)
			if err != nil {
				t.Fatalf("%s: %v", kind.name, err)
			}
			open.Add(1)
			group.Go(func() {
				defer open.Add(-1)
				defer conn.Close()
				drip(conn, kind.bytes)
			})
		}
	}
	s.alive(t, "among slow clients")
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Errorf("%d slow clients are still connected", open.Load())
	}
	s.unharmed(t, before)
}

// drip sends the text, then an endless rest, one byte at a time until the server
// ends the connection.
func drip(conn net.Conn, text string) {
	gone := make(chan struct{})
	go func() { // a closed connection shows when reading
		_, _ = io.Copy(io.Discard, conn)
		close(gone)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		b := byte('a')
		if i < len(text) {
			b = text[i]
		}
		if i == 0 || i >= 8 { // the first bytes at once, so that it knows the protocol
			select {
			case <-gone:
				return
			case <-tick.C:
			}
		}
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
	}
}

// A signaling client that never reads is ended; who sends to it, and everybody
// else in the room, notices nothing.
func TestStayUpDeafClient(t *testing.T) {
	s := start(t, map[string]map[string]any{"limits": {"messages_per_second": 5000}})
	s.alive(t, "before")
	before := s.settled(t)
	t.Run("room", func(t *testing.T) {
		join := func(from string) *websocket.Conn {
			socket := s.socket(t, from, false)
			hello(t, socket)
			if err := socket.WriteJSON(map[string]any{"type": "join", "room": "deaf", "id": 1, "seq": 1}); err != nil {
				t.Fatal(err)
			}
			awaitType(t, socket, "joined")
			return socket
		}
		deaf := join("127.0.0.21")
		defer deaf.Close()
		listener, speaker := join("127.0.0.22"), join("127.0.0.23")
		defer listener.Close()
		defer speaker.Close()
		const messages = 400 // 64 KB each: far more than what the socket's buffers hold
		answers := make(chan time.Duration, 1)
		go func() { // the speaker reads, so that it is not deaf itself
			defer close(answers)
			for {
				var answer struct {
					Type  string
					ID    *int
					Code  string
					After int // ms
				}
				if err := speaker.ReadJSON(&answer); err != nil {
					return
				}
				switch {
				case answer.ID == nil:
				case answer.Type == "ok":
					answers <- 0
				default:
					answers <- time.Duration(answer.After) * time.Millisecond
				}
			}
		}()
		text := strings.Repeat("x", 64<<10)
		held := time.Duration(0)
		for n, seq := 0, 2; n < messages; seq++ {
			if err := speaker.WriteJSON(map[string]any{"type": "message", "room": "deaf", "data": text, "seq": seq, "id": seq}); err != nil {
				t.Fatalf("the speaker was cut off at message %d: %v", n, err)
			}
			again, open := <-answers
			if !open {
				t.Fatalf("the speaker was cut off at message %d", n)
			}
			if again > 0 { // the deaf one has not acknowledged what came before
				if held += again; held > 5*time.Second {
					t.Fatal("the deaf one holds up the room for good")
				}
				<-time.After(again)
				continue
			}
			n++
			heard := awaitType(t, listener, "message") // at the listener's pace, not at the deaf one's
			if err := listener.WriteJSON(map[string]any{"type": "ack", "ack": heard}); err != nil {
				t.Fatalf("the listener was cut off at message %d: %v", n, err)
			}
		}
		// The deaf one finds its socket ended once it reads what was on its way.
		deaf.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			if _, _, err := deaf.ReadMessage(); err != nil {
				if isDeadline(err) {
					t.Error("the client that never reads is still connected")
				}
				break
			}
		}
		s.alive(t, "beside a deaf client")
	})
	s.unharmed(t, before)
}

// awaitType reads messages until one of this type and returns its number.
func awaitType(t *testing.T, socket *websocket.Conn, want string) (seq int) {
	t.Helper()
	socket.SetReadDeadline(time.Now().Add(time.Minute))
	defer socket.SetReadDeadline(time.Time{})
	for {
		var message struct {
			Type    string `json:"type"`
			Seq     int    `json:"seq"`
			Code    string `json:"code"`
			Message string `json:"message"`
		}
		if err := socket.ReadJSON(&message); err != nil {
			t.Fatalf("waiting for %s: %v", want, err)
		}
		switch message.Type {
		case want:
			return message.Seq
		case "error":
			t.Fatalf("waiting for %s: %s: %s", want, message.Code, message.Message)
		}
	}
}
