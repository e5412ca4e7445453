package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/turn/v4"

	"turnhub/internal/access"
)

// family is a server that is upgraded again and again, in access.mode token, with
// its processes.
type family struct {
	t           *testing.T
	port        int
	admin       string
	config      string // file
	state       string // directory
	tokenSecret string // file
	log         logFile
	pids        []int // of all that were ever there, the last one serves
	client      http.Client
}

// logFile is the log of all processes.
type logFile string

func (l logFile) String() string {
	text, _ := os.ReadFile(string(l))
	return string(text)
}

func startFamily(t *testing.T, extra string) *family {
	t.Helper()
	dir := t.TempDir()
	f := &family{
		t: t, port: freePort(t), config: filepath.Join(dir, "config.yaml"), state: filepath.Join(dir, "state"),
		tokenSecret: filepath.Join(dir, "token-secret"), log: logFile(filepath.Join(dir, "log")),
		client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second},
	}
	if err := os.WriteFile(f.tokenSecret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := freePort(t)
	f.admin = fmt.Sprintf("http://127.0.0.1:%d", admin)
	f.write(fmt.Sprintf(`state_dir: %q
public_host: 127.0.0.1
listen: {tcp: [":%d"], udp: [":%d"], admin: "127.0.0.1:%d"}
access: {mode: token, token_secret_file: %q}
credentials: {secrets: [%s]}
`, f.state, f.port, f.port, admin, f.tokenSecret, secret) + extra)
	command := exec.Command(binary, "serve", "--config", f.config)
	log, err := os.Create(string(f.log)) // not a pipe, which would end with the first process
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	f.pids = []int{command.Process.Pid}
	go func() { _ = command.Wait() }()
	t.Cleanup(func() {
		for _, pid := range f.pids {
			if running(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if t.Failed() {
			t.Log(f.log)
		}
	})
	f.untilServed("the server is ready")
	return f
}

func (f *family) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.config, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// serving is the process that serves.
func (f *family) serving() int { return f.pids[len(f.pids)-1] }

// running reports whether a process of the family runs: a zombie does not.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return len(fields) > 1 && fields[0] != "Z" && fields[0] != "X"
}

// childOf is the successor that a process has just started, 0 for none.
func (f *family) childOf(pid int) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && running(child) && !f.knows(child) {
			return child
		}
	}
	return 0
}

func (f *family) knows(pid int) bool {
	for _, known := range f.pids {
		if known == pid {
			return true
		}
	}
	return false
}

func (f *family) signal(pid int, s syscall.Signal) {
	f.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		f.t.Fatalf("signal %v to %d: %v\n%s", s, pid, err, f.log)
	}
}

// beginUpgrade starts a successor and returns its pid.
func (f *family) beginUpgrade() int {
	f.t.Helper()
	old := f.serving()
	f.signal(old, syscall.SIGUSR2)
	young := 0
	until(f.t, "the successor is there", func() bool { young = f.childOf(old); return young != 0 })
	f.pids = append(f.pids, young)
	return young
}

// upgrade replaces the binary, and returns when the new process has taken over.
func (f *family) upgrade() (old, young int) {
	f.t.Helper()
	old = f.serving()
	young = f.beginUpgrade()
	until(f.t, "the new process has taken over", func() bool {
		return strings.Contains(f.log.String(), fmt.Sprintf("a new process has taken over\" pid=%d ", young))
	})
	return old, young
}

// untilServed waits until the admin listener says that calls can be made.
func (f *family) untilServed(what string) {
	f.t.Helper()
	until(f.t, what, func() bool {
		status, _, err := f.get("/readyz")
		return err == nil && status == http.StatusOK
	})
}

func (f *family) get(path string) (int, string, error) {
	response, err := f.client.Get(f.admin + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// post asks for an action of the operator. The answer is empty when there was none.
func (f *family) post(path string, body map[string]string) (int, map[string]any) {
	text, _ := json.Marshal(body)
	response, err := f.client.Post(f.admin+path, "application/json", strings.NewReader(string(text)))
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	var answer map[string]any
	if json.NewDecoder(response.Body).Decode(&answer) != nil {
		return 0, nil
	}
	return response.StatusCode, answer
}

func (f *family) metric(name string) float64 {
	f.t.Helper()
	_, text, err := f.get("/metrics")
	if err != nil {
		f.t.Fatal(err)
	}
	return metricIn(f.t, text, name)
}

// token is an access token of a user.
func (f *family) token(user string) string {
	f.t.Helper()
	token, err := access.Mint(f.tokenSecret, user, nil, time.Now().Add(time.Hour))
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// admitted reports whether a token is still good for credentials. While nobody serves
// it asks again.
func (f *family) admitted(token string) (ok bool) {
	f.t.Helper()
	last := ""
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		response, err := f.client.Get(fmt.Sprintf("http://127.0.0.1:%d/config?token=%s", f.port, token))
		if err != nil {
			last = err.Error()
			continue
		}
		response.Body.Close()
		switch last = response.Status; response.StatusCode {
		case http.StatusOK:
			return true
		case http.StatusUnauthorized:
			return false
		}
	}
	f.t.Fatalf("/config was last answered: %s\n%s", last, f.log)
	return false
}

// guest is a person at the hub, who says what a client has to and no more.
type guest struct {
	family   *family
	token    string
	ws       *websocket.Conn
	session  string
	resume   string
	username string // for the relay
	password string
	seq      int
}

var errTurnedAway = errors.New("turned away")

// enter opens a session.
func (f *family) enter(token string) (*guest, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 10 * time.Second}
	ws, response, err := dialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws?token=%s", f.port, token), nil)
	if err != nil {
		if response != nil && response.StatusCode == http.StatusUnauthorized {
			return nil, errTurnedAway
		}
		return nil, err
	}
	g := &guest{family: f, token: token, ws: ws}
	if err := g.hello(); err != nil {
		ws.Close()
		return nil, err
	}
	return g, nil
}

func (g *guest) hello() error {
	if err := g.ws.WriteJSON(map[string]any{"type": "hello"}); err != nil {
		return err
	}
	_ = g.ws.SetReadDeadline(time.Now().Add(10 * time.Second))
	var welcome struct {
		Type, Session string
		Resume        struct{ Token string }
		Config        struct {
			IceServers []struct{ Username, Credential string }
		}
	}
	if err := g.ws.ReadJSON(&welcome); err != nil {
		return err
	}
	if welcome.Type != "welcome" {
		return fmt.Errorf("hello is answered by %s", welcome.Type)
	}
	g.session, g.resume = welcome.Session, welcome.Resume.Token
	for _, s := range welcome.Config.IceServers {
		if s.Username != "" {
			g.username, g.password = s.Username, s.Credential
		}
	}
	return nil
}

// stay comes back to its session whenever its socket is lost, for as long as some
// process knows the session.
func (g *guest) stay(ctx context.Context) {
	var seq atomic.Uint64
	seq.Store(1) // joined
	ws := g.ws
	for ctx.Err() == nil {
		lost := make(chan struct{})
		go func() {
			ping := time.NewTicker(time.Second)
			defer ping.Stop()
			for {
				select {
				case <-lost:
					return
				case <-ping.C:
					_ = ws.WriteJSON(map[string]any{"type": "ping", "ack": seq.Load()})
				}
			}
		}()
		for {
			_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
			var m struct {
				Type    string
				Seq     uint64
				Resumed bool
			}
			if ws.ReadJSON(&m) != nil || m.Type == "welcome" && !m.Resumed {
				break
			}
			seq.Store(max(seq.Load(), m.Seq))
		}
		close(lost)
		ws.Close()
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
		dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 10 * time.Second}
		again, _, err := dialer.DialContext(ctx, fmt.Sprintf("ws://127.0.0.1:%d/ws?token=%s", g.family.port, g.token), nil)
		if err != nil {
			continue // the socket that is closed is read again, in vain
		}
		ws = again
		_ = ws.WriteJSON(map[string]any{"type": "hello", "resume": map[string]any{"session": g.session, "token": g.resume, "seq": seq.Load()}})
	}
	ws.Close()
}

// join enters a room.
func (g *guest) join(room string) error {
	g.seq++
	return g.ws.WriteJSON(map[string]any{"type": "join", "room": room, "seq": g.seq})
}

// relay makes an allocation over UDP.
func (f *family) relay(username, password string) (*turn.Client, net.PacketConn, error) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: fmt.Sprintf("127.0.0.1:%d", f.port), Conn: conn, Username: username, Password: password, RTO: 100 * time.Millisecond,
	})
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	if err = client.Listen(); err == nil {
		var end net.PacketConn
		if end, err = client.Allocate(); err == nil {
			f.t.Cleanup(func() { client.Close(); conn.Close() })
			return client, end, nil
		}
	}
	client.Close()
	conn.Close()
	return nil, nil, err
}

// call is two people in a room, who relay to each other.
type call struct {
	family  *family
	people  [2]*guest
	clients [2]*turn.Client
	ends    [2]net.PacketConn
	said    int
}

// call begins one, as soon as somebody serves.
func (f *family) call(users ...string) *call {
	f.t.Helper()
	var c *call
	var last error
	until(f.t, "a call is made", func() bool {
		c, last = f.tryCall(users...)
		return last == nil
	})
	if last != nil {
		f.t.Fatal(last)
	}
	return c
}

func (f *family) tryCall(users ...string) (*call, error) {
	c := &call{family: f}
	for i, user := range users {
		g, err := f.enter(f.token(user))
		if err != nil {
			return nil, err
		}
		f.t.Cleanup(func() { g.ws.Close() })
		if g.username == "" {
			return nil, errors.New("no credentials yet")
		}
		if err := g.join("call-of-" + users[0]); err != nil {
			return nil, err
		}
		if err := g.hear("joined"); err != nil {
			return nil, err
		}
		c.people[i] = g
		go g.stay(f.t.Context())
		if c.clients[i], c.ends[i], err = f.relay(g.username, g.password); err != nil {
			return nil, err
		}
	}
	for i, client := range c.clients {
		if err := client.CreatePermission(c.ends[1-i].LocalAddr()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// hear reads up to a message of that type.
func (g *guest) hear(kind string) error {
	for {
		_ = g.ws.SetReadDeadline(time.Now().Add(10 * time.Second))
		var m struct{ Type string }
		if err := g.ws.ReadJSON(&m); err != nil {
			return err
		}
		if m.Type == kind {
			return nil
		}
	}
}

// talk sends each way, and says which packet does not arrive.
func (c *call) talk() error {
	buf := make([]byte, 100)
	for i := range 2 {
		c.said++
		payload := fmt.Sprintf("packet %d", c.said)
		if _, err := c.ends[i].WriteTo([]byte(payload), c.ends[1-i].LocalAddr()); err != nil {
			return err
		}
		_ = c.ends[1-i].SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := c.ends[1-i].ReadFrom(buf)
		if err != nil || string(buf[:n]) != payload {
			return fmt.Errorf("%s: %q, %w", payload, buf[:n], err)
		}
	}
	return nil
}

// silent reports whether nothing arrives any more.
func (c *call) silent() bool {
	_, _ = c.ends[0].WriteTo([]byte("is it over?"), c.ends[1].LocalAddr())
	_ = c.ends[1].SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, _, err := c.ends[1].ReadFrom(make([]byte, 100))
	return err != nil
}

// goesOn holds that not one packet is lost.
func (c *call) goesOn(when string) {
	c.family.t.Helper()
	for range 5 {
		if err := c.talk(); err != nil {
			c.family.t.Fatalf("%s: the call has a gap: %v\n%s", when, err, c.family.log)
		}
	}
}
