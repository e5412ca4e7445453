package portmux

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is another server: it answers each connection with what do does.
func upstream(t *testing.T, do func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				do(conn.(*net.TCPConn))
			}()
		}
	}()
	return ln.Addr().String()
}

// echo answers with all that it has got, when the client has ended its half.
func echo(c *net.TCPConn) {
	all, _ := io.ReadAll(c)
	c.Write(all)
}

// sendHalf says something, ends its half and returns what comes.
func sendHalf(t *testing.T, c net.Conn, parts int, say []byte) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	for rest := say; len(rest) > 0; rest = rest[min(parts, len(rest)):] {
		if _, err := c.Write(rest[:min(parts, len(rest))]); err != nil {
			break
		}
	}
	c.(*net.TCPConn).CloseWrite()
	all, _ := io.ReadAll(c)
	return string(all)
}

// records cuts the one record of a ClientHello into several.
func records(hello []byte, size int) []byte {
	var out []byte
	for body := hello[5:]; len(body) > 0; body = body[min(size, len(body)):] {
		n := min(size, len(body))
		out = append(append(out, hello[0], hello[1], hello[2], byte(n>>8), byte(n)), body[:n]...)
	}
	return out
}

// TestForwardByName has the connections of other names arrive whole, byte for byte and
// with both halves, however their ClientHello is cut; ours stay, with and without TLS.
func TestForwardByName(t *testing.T) {
	to := upstream(t, echo)
	for _, own := range []bool{true, false} {
		b := start(t, func(c *Config) {
			c.Own = "calls.example.org"
			c.Forwards = []Forward{{Host: "*.example.org", To: to}, {Host: "www.example.net", To: to}}
			if !own {
				c.TLS = nil
			}
		})
		for _, name := range []string{"www.example.org", "a.b.example.org", "www.example.net"} {
			hello := clientHello(t, name)
			for how, say := range map[string][]byte{"one record": hello, "records of 100 bytes": records(hello, 100), "records of 1 byte": records(hello, 1)} {
				for _, parts := range []int{1 << 20, 700, 1} {
					say := append(say[:len(say):len(say)], "and what follows"...)
					if got := sendHalf(t, b.dial(t), parts, say); got != string(say) {
						t.Errorf("%s, %s in parts of %d: %d bytes came back of %d", name, how, parts, len(got), len(say))
					}
				}
			}
		}
		for _, name := range []string{"calls.example.org", "example.org", "www.example.com", ""} {
			conn, err := tls.Dial("tcp", b.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
			switch {
			case !own && (err == nil || !strings.Contains(err.Error(), "handshake failure")):
				t.Errorf("without TLS %q is answered by %v", name, err)
			case own && err != nil:
				t.Errorf("%q does not stay here: %v", name, err)
			case own:
				if got := ask(t, conn, 12, string(binding)); got != "secure=true " {
					t.Errorf("%q got %q", name, got)
				}
				conn.Close()
			}
		}
		if got := ask(t, b.dial(t), 13, string(binding)); got != "secure=false " {
			t.Errorf("TURN without TLS: %q", got)
		}
		if s := b.Stats(); s.Accepted["forward"] != 27 {
			t.Errorf("%+v", s)
		}
	}
}

// TestForwardSaysWhoCame writes the PROXY header for the other server, also of a
// client that a proxy of our own has named.
func TestForwardSaysWhoCame(t *testing.T) {
	to := upstream(t, echo)
	hello := clientHello(t, "www.example.org")
	for _, version := range []string{"v1", "v2"} {
		b := behindProxy(t, func(c *Config) {
			c.Forwards = []Forward{{Host: "www.example.org", To: to, ProxyProtocol: version}}
		})
		conn := b.dial(t)
		got := sendHalf(t, conn, 1<<20, hello)
		want := "\x7f\x00\x00\x01\x7f\x00\x00\x01"
		if version == "v1" {
			want = fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", conn.LocalAddr().(*net.TCPAddr).Port, conn.RemoteAddr().(*net.TCPAddr).Port)
		}
		if !strings.Contains(got, want) || !strings.HasSuffix(got, string(hello)) {
			t.Errorf("%s: %q", version, got[:min(len(got), 60)])
		}
		for _, before := range []string{"v1", "v2"} {
			header := claimed(before, "2001:db8::9")
			if got := sendHalf(t, b.dial(t), 1<<20, append([]byte(header), hello...)); got != claimed(version, "2001:db8::9")+string(hello) {
				t.Errorf("%s after %s: %q", version, before, got[:min(len(got), 60)])
			}
		}
	}
}

// TestForwardFails has the other server be down, slow, silent and closing its half.
func TestForwardFails(t *testing.T) {
	const down = "127.0.0.1:1"
	silent := upstream(t, func(c *net.TCPConn) { io.Copy(io.Discard, c); c.SetReadDeadline(time.Time{}); c.Read(make([]byte, 1)) })
	// It says something, ends its half and goes on listening.
	heard := make(chan string, 1)
	half := upstream(t, func(c *net.TCPConn) {
		c.Write([]byte("so long"))
		c.CloseWrite()
		all, _ := io.ReadAll(c)
		heard <- string(all)
	})
	stuck := upstream(t, func(c *net.TCPConn) { io.ReadAll(c) })
	forwards := []Forward{{Host: "down.example.org", To: down}, {Host: "silent.example.org", To: silent}, {Host: "half.example.org", To: half}, {Host: "stuck.example.org", To: stuck}}
	b := start(t, func(c *Config) {
		c.Forwards = forwards
		c.Pass = PassTimes{Idle: 300 * time.Millisecond, Half: 300 * time.Millisecond}
	})
	if got := sendHalf(t, b.dial(t), 1<<20, clientHello(t, "down.example.org")); got != "" || b.Stats().Refused["forward_down"] != 1 {
		t.Errorf("down: %q, %+v", got, b.Stats())
	}
	// Silence ends a connection, whole or half closed.
	for _, name := range []string{"silent.example.org", "stuck.example.org"} {
		conn := b.dial(t)
		conn.Write(clientHello(t, name))
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
			t.Errorf("%s: %v", name, err)
		}
		sendHalf(t, b.dial(t), 1<<20, clientHello(t, name))
	}
	come(t, "every one has ended", func() bool { return b.Stats().Open == 0 && b.Stats().Forwarded == 0 })
	// What goes on one way is not cut by a half that ended. The times are the usual ones: a
	// busy machine takes its own to go on.
	b = start(t, func(c *Config) { c.Forwards = forwards })
	conn := b.dial(t)
	hello := clientHello(t, "half.example.org")
	conn.Write(hello)
	if got := ask(t, conn, 7); got != "so long" {
		t.Errorf("half: %q", got)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the end of its half: %d, %v", n, err)
	}
	conn.Write([]byte("still here"))
	conn.(*net.TCPConn).CloseWrite()
	if got := <-heard; got != string(hello)+"still here" {
		t.Errorf("the other server has heard %d bytes", len(got))
	}
	come(t, "every one has ended", func() bool { return b.Stats().Open == 0 && b.Stats().Forwarded == 0 })
}

// TestForwardOneWay has a server say a byte now and then to a client that only listens,
// for three times as long as silence is borne: server-sent events over TLS.
func TestForwardOneWay(t *testing.T) {
	const idle, said = time.Second, 30
	events := upstream(t, func(c *net.TCPConn) {
		tick := time.NewTicker(idle / 10)
		defer tick.Stop()
		for range said {
			<-tick.C
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
		}
	})
	b := start(t, func(c *Config) {
		c.Forwards = []Forward{{Host: "events.example.org", To: events}}
		c.Pass = PassTimes{Idle: idle, Half: time.Minute}
	})
	conn := b.dial(t)
	conn.Write(clientHello(t, "events.example.org"))
	if got := ask(t, conn, said); len(got) != said {
		t.Errorf("%d bytes of %d have come", len(got), said)
	}
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

// TestForwardHTTP passes plain HTTP for other names on, or sends it to https, and
// sends requests for them back that come by our own name.
func TestForwardHTTP(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s for %s by %s", r.Method, r.URL, r.Host, r.Header.Get("X-Forwarded-For"))
	}))
	defer other.Close()
	b := start(t, func(c *Config) {
		c.Own = "calls.example.org"
		c.Forwards = []Forward{
			{Host: "www.example.org", To: "127.0.0.1:1", HTTP: other.Listener.Addr().String()},
			{Host: "down.example.org", To: "127.0.0.1:1", HTTP: "127.0.0.1:1"},
			{Host: "*.example.org", To: "127.0.0.1:1"},
		}
	})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, tc := range []struct {
		host, want string
		status     int
	}{
		{"www.example.org", "GET /.well-known/acme-challenge/x?y=1 for www.example.org by 127.0.0.1", 200},
		{"WWW.example.org:80", "GET /.well-known/acme-challenge/x?y=1 for WWW.example.org:80 by 127.0.0.1", 200},
		{"down.example.org", "does not answer", 502},
		{"shop.example.org:8080", "https://shop.example.org/.well-known/acme-challenge/x?y=1", 308},
		{"calls.example.org", "tls=false", 200},
		{"example.com", "tls=false", 200},
	} {
		r, _ := http.NewRequest("GET", "http://"+b.addr+"/.well-known/acme-challenge/x?y=1", nil)
		r.Host = tc.host
		r.Header.Set("X-Forwarded-For", "8.8.8.8") // which the client has made up
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := string(body) + res.Header.Get("Location"); res.StatusCode != tc.status || !strings.Contains(got, tc.want) || strings.Contains(got, "8.8.8.8") {
			t.Errorf("%s: %d %q", tc.host, res.StatusCode, got)
		}
	}
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: b.tls}}
	r, _ := http.NewRequest("GET", "https://"+b.addr+"/", nil)
	r.Host = "www.example.org"
	res, err := secure.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("by our name: %s", res.Status)
	}
	if s := b.Stats(); s.Refused["forward_down"] != 1 {
		t.Errorf("%+v", s)
	}

	b.SetForwards("calls.example.org", nil) // a reload
	r, _ = http.NewRequest("GET", "http://"+b.addr+"/", nil)
	r.Host = "www.example.org"
	if res, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("after a reload without it: %s", res.Status)
	}
}

// TestForwardHTTPEnds has whatever becomes of a plain HTTP request end, with the
// connection to the other server: a WebSocket, and an answer that does not come. Whether a
// WebSocket came to be in so short a time is for the machine to say; one that has more is.
func TestForwardHTTPEnds(t *testing.T) {
	var begun, ended atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		defer ended.Add(1)
		if r.Header.Get("Upgrade") == "" {
			<-r.Context().Done()
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		io.Copy(io.Discard, conn)
	}))
	defer other.Close()
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	asks := func(short time.Duration, request string) net.Conn {
		b := start(t, func(c *Config) {
			c.Forwards = []Forward{{Host: "www.example.org", To: "127.0.0.1:1", HTTP: other.Listener.Addr().String()}}
			c.Pass = PassTimes{HTTP: short}
		})
		conn := b.dial(t)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: www.example.org\r\n"+request+"\r\n")
		return conn
	}
	over := func() {
		t.Helper()
		come(t, "all has ended at the other server", func() bool { return ended.Load() == begun.Load() })
	}
	for _, request := range []string{upgrade, ""} {
		got, err := io.ReadAll(asks(200*time.Millisecond, request))
		down := strings.Contains(string(got), " 502 Bad Gateway")
		if err != nil && !isReset(err) || !down && (request == "" || !strings.Contains(string(got), " 101 ")) {
			t.Errorf("%q: %q, %v", request, got, err)
		}
		over()
	}
	conn := asks(0, upgrade)
	for got := ""; !strings.HasSuffix(got, "hello"); {
		next := ask(t, conn, 1)
		if next == "" {
			t.Fatalf("a WebSocket that has time: %q", got)
		}
		got += next
	}
	conn.Close()
	over()
}
