package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// PassOptions say what goes through a server that passes TLS connections on by name,
// without ending them. Client and other server are both here: between them nothing but
// the ClientHello is TLS, since whoever passes it on sees bytes.
type PassOptions struct {
	Server   netip.AddrPort // who passes on
	Upstream netip.AddrPort // where to: here
	Name     string         // whose ClientHello it is
	PID      int
	Kind     string // see PassKinds
	// Connections is how many there are, at a time where they are long.
	Connections int
	// Bytes is how many each of them carries, where they are long.
	Bytes int64
}

// PassKinds are downloads and uploads as fast as they go, streams of 4 KiB every 20 ms, and
// short connections: a handshake's bytes, a request and an answer.
var PassKinds = []string{"down", "up", "stream", "short"}

// What is sent on short connections and by streams: bytes, as a web server with an ECDSA
// certificate does.
const (
	passFlight   = 3000
	passRequest  = 500
	passAnswer   = 2000
	passAtOnce   = 16 // short connections at a time
	streamPiece  = 4 << 10
	streamPeriod = 20 * time.Millisecond
	passPatience = 60 * time.Second
)

// A PassResult tells what it cost.
type PassResult struct {
	Seconds     float64 `json:"seconds"`
	Connections int     `json:"connections"`
	Bytes       int64   `json:"bytes"`      // both ways, without the ClientHello
	ServerCPU   float64 `json:"server_cpu"` // seconds
}

// Pass runs the connections through the server until all have ended.
func Pass(ctx context.Context, o PassOptions) (r PassResult, err error) {
	if !slices.Contains(PassKinds, o.Kind) {
		return r, fmt.Errorf("%q is none of %v", o.Kind, PassKinds)
	}
	hello, err := clientHello(o.Name)
	if err != nil {
		return r, err
	}
	ln, err := net.Listen("tcp", o.Upstream.String())
	if err != nil {
		return r, err
	}
	p := passing{PassOptions: o, hello: hello}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer ln.Close()
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(passPatience))
				_ = p.upstream(conn) // the client finds out
			})
		}
	})
	begin, err := CPUTime(o.PID)
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := p.clients(ctx); err != nil {
		return r, err
	}
	elapsed := time.Since(start)
	end, err := CPUTime(o.PID)
	if err != nil {
		return r, err
	}
	return PassResult{Seconds: elapsed.Seconds(), Connections: o.Connections, Bytes: int64(o.Connections) * p.each(), ServerCPU: (end - begin).Seconds()}, nil
}

type passing struct {
	PassOptions
	hello []byte
}

// each is how many bytes a connection carries.
func (p *passing) each() int64 {
	if p.Kind == "short" {
		return passFlight + passRequest + passAnswer
	}
	return p.Bytes
}

// clients runs all clients, the short ones a few at a time.
func (p *passing) clients(ctx context.Context) error {
	work := make(chan struct{}, p.Connections)
	for range p.Connections {
		work <- struct{}{}
	}
	close(work)
	atOnce := p.Connections
	if p.Kind == "short" {
		atOnce = min(atOnce, passAtOnce)
	}
	failed := make(chan error, atOnce)
	for range atOnce {
		go func() {
			for range work {
				if err := p.client(ctx); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var all error
	for range atOnce {
		all = errors.Join(all, <-failed)
	}
	return all
}

func (p *passing) client(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.Server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(passPatience))
	if _, err := conn.Write(p.hello); err != nil {
		return err
	}
	switch p.Kind {
	case "short":
		if err := receive(conn, passFlight); err != nil {
			return err
		}
		if err := deliver(conn, passRequest); err != nil {
			return err
		}
		return receive(conn, passAnswer)
	case "up":
		if err := deliver(conn, p.Bytes); err != nil {
			return err
		}
		return receive(conn, 1) // all of it is there
	}
	return receive(conn, p.Bytes)
}

func (p *passing) upstream(conn net.Conn) error {
	if err := receive(conn, int64(len(p.hello))); err != nil {
		return err
	}
	switch p.Kind {
	case "short":
		if err := deliver(conn, passFlight); err != nil {
			return err
		}
		if err := receive(conn, passRequest); err != nil {
			return err
		}
		return deliver(conn, passAnswer)
	case "up":
		if err := receive(conn, p.Bytes); err != nil {
			return err
		}
		return deliver(conn, 1)
	case "stream":
		for due, sent := time.Now(), int64(0); sent < p.Bytes; sent += streamPiece {
			if err := deliver(conn, min(streamPiece, p.Bytes-sent)); err != nil {
				return err
			}
			due = due.Add(streamPeriod)
			time.Sleep(time.Until(due))
		}
		return nil
	}
	return deliver(conn, p.Bytes)
}

var passBytes = make([]byte, 256<<10)

func deliver(conn net.Conn, n int64) error {
	for n > 0 {
		sent, err := conn.Write(passBytes[:min(n, int64(len(passBytes)))])
		if err != nil {
			return err
		}
		n -= int64(sent)
	}
	return nil
}

// receive reads so many bytes and throws them away.
func receive(conn net.Conn, n int64) error {
	b := make([]byte, min(n, int64(len(passBytes))))
	for n > 0 {
		got, err := conn.Read(b[:min(n, int64(len(b)))])
		if err != nil {
			return fmt.Errorf("%d bytes are missing: %w", n, err)
		}
		n -= int64(got)
	}
	return nil
}

// clientHello is what Go's client says first for a name, in one record.
func clientHello(name string) ([]byte, error) {
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: name}).Handshake() // it is left alone
		near.Close()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(far, head); err != nil {
		return nil, err
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(far, body); err != nil {
		return nil, err
	}
	return append(head, body...), nil
}
