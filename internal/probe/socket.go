package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// session is one signaling session of turnhub.v1 (signaling/protocol.md).
type session struct {
	conn *websocket.Conn
	ice  iceConfig
	// heartbeat is how often somebody who is alone sends a ping.
	heartbeat time.Duration
	stop      func() bool // unties it from the context that ends its reads
}

// pair is two sessions in one room, so that the peer policy lets the one relay to
// where the server has seen the other.
type pair struct{ a, b *session }

func (p *pair) close() {
	var group sync.WaitGroup
	group.Go(p.a.close)
	group.Go(p.b.close)
	group.Wait()
}

// farewell bounds how long the server may take to answer a bye.
const farewell = time.Second

// close says bye, so that the server keeps no window open for the session
// (signaling/protocol.md), and waits until it has closed the connection.
func (s *session) close() {
	s.stop()
	defer s.conn.Close()
	s.conn.SetWriteDeadline(time.Now().Add(farewell))
	if s.conn.WriteJSON(map[string]any{"type": "bye"}) != nil {
		return
	}
	raw := s.conn.NetConn() // below the frames: an interrupted read leaves no reader of them
	raw.SetReadDeadline(time.Now().Add(farewell))
	_, _ = io.Copy(io.Discard, raw)
}

// signaling opens the socket twice and lets the two meet in a room of their own.
func (c *checker) signaling(ctx context.Context, s site) (Row, *pair) {
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	subject, _, _ := strings.Cut(s.socket("/ws"), "?")
	begin := time.Now()
	a, failure := c.hello(ctx, s, s.socket("/ws"))
	if failure != nil {
		return failureRow(subject, failure), nil
	}
	took := time.Since(begin)
	b, failure := c.hello(ctx, s, s.socket("/ws"))
	if failure != nil {
		a.close()
		return failureRow(subject, failure), nil
	}
	both := &pair{a, b}
	room := "check-" + rand.Text()
	if err := meet(ctx, both, room); err != nil {
		both.close()
		return Row{Verdict: Failed, Subject: subject, Took: took, Detail: "two sessions in one room did not see each other: " + err.Error(),
			Remedy: "look at the server's log; with access.mode token the token must open every room (no --room)"}, nil
	}
	return Row{Verdict: OK, Subject: subject, Took: took, Detail: "two sessions met in a room"}, both
}

// dialer opens WebSockets as a browser does.
func (c *checker) dialer() *websocket.Dialer {
	return &websocket.Dialer{
		Proxy:            http.ProxyFromEnvironment,
		NetDialContext:   c.dial,
		TLSClientConfig:  &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		HandshakeTimeout: eachTimeout,
	}
}

// hello opens a socket and says hello.
func (c *checker) hello(ctx context.Context, at site, url string) (*session, *Failure) {
	dialer := c.dialer()
	dialer.Subprotocols = []string{"turnhub.v1"}
	conn, response, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, c.socketFailure(ctx, at, response, err)
	}
	conn.SetReadLimit(1 << 20)
	var s *session
	fail := func(err error, remedy string) (*session, *Failure) {
		if s == nil {
			conn.Close()
		} else {
			s.close() // whose hello may have come through
		}
		return nil, &Failure{Stage: StageSignaling, Err: err, Remedy: remedy}
	}
	if conn.Subprotocol() != "turnhub.v1" {
		return fail(errors.New("the server does not speak turnhub.v1"), "another server, or another version, is behind /ws")
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetReadDeadline(deadline)
		conn.SetWriteDeadline(deadline)
	}
	s = &session{conn: conn, stop: context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })}
	if err := conn.WriteJSON(map[string]any{"type": "hello", "name": "turnhub check"}); err != nil {
		return fail(err, "look at the server's log")
	}
	var welcome struct {
		Type    string    `json:"type"`
		Message string    `json:"message"`
		Config  iceConfig `json:"config"`

		Heartbeat struct {
			Interval int64 `json:"interval"` // milliseconds
		} `json:"heartbeat"`
	}
	if err := conn.ReadJSON(&welcome); err != nil {
		return fail(fmt.Errorf("no welcome: %w", err), "the socket opens but nothing passes: a proxy on the way buffers WebSocket messages, or the server is going down")
	}
	if welcome.Type != "welcome" {
		return fail(fmt.Errorf("%s instead of welcome: %s", welcome.Type, welcome.Message), "look at the server's log")
	}
	s.ice = welcome.Config
	s.heartbeat = time.Duration(min(max(welcome.Heartbeat.Interval, 1000), 60_000)) * time.Millisecond
	return s, nil
}

// meet joins both to a room and waits until the first hears of the second.
func meet(ctx context.Context, p *pair, room string) error {
	for _, s := range []*session{p.a, p.b} {
		if err := s.conn.WriteJSON(map[string]any{"type": "join", "room": room, "id": 1, "seq": 1}); err != nil {
			return err
		}
		if err := s.await(ctx, "joined"); err != nil {
			return err
		}
	}
	return p.a.await(ctx, "peer-joined")
}

// await reads until a message of this type comes; the deadline is the socket's.
func (s *session) await(ctx context.Context, want string) error {
	for ctx.Err() == nil {
		_, text, err := s.conn.ReadMessage()
		if err != nil {
			return err
		}
		var message struct {
			Type    string `json:"type"`
			Code    string `json:"code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(text, &message); err != nil {
			return err
		}
		switch message.Type {
		case want:
			return nil
		case "error":
			return fmt.Errorf("%s: %s", message.Code, message.Message)
		}
	}
	return ctx.Err()
}

// socketFailure explains why the WebSocket could not be opened.
func (c *checker) socketFailure(ctx context.Context, s site, response *http.Response, err error) *Failure {
	if response == nil {
		return c.httpFailure(ctx, s, err)
	}
	f := &Failure{Stage: StageSignaling, Err: fmt.Errorf("the WebSocket was refused with %s", response.Status)}
	switch response.StatusCode {
	case http.StatusUnauthorized:
		f.Remedy = fmt.Sprintf("the server wants an access token: write turnhub check '%s?token=TOKEN'", s.base)
	case http.StatusForbidden:
		f.Remedy = "access.allowed_origins, or something in front of the server, refuses this client"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.Remedy = "a limit is reached; look at limits.connections_per_ip, and listen.trusted_proxies when a proxy stands in front"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		f.Remedy = "the reverse proxy does not reach turnhub"
	default:
		if proxy := proxyOf(response.Header); proxy != "" {
			c.proxy = proxy
		}
		f.Remedy = "the reverse proxy does not pass WebSockets on: " + line(noUpgrade, c.proxy)
	}
	return f
}
