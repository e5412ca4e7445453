package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// walker is a client that goes where the nodes send it, joins its room there, and talks
// all the time. It writes down what was answered, and whom that had to reach.
type walker struct {
	name, room string
	tls        *tls.Config
	through    string // an address that all connections go to; empty: the URL's

	mu       sync.Mutex
	quiet    bool              // says no more
	said     int               // messages
	waiting  int               // messages without an answer yet
	peers    map[string]string // the others in the room: name by session
	answered map[string]map[string]bool
	heard    map[string]bool
	fault    error
	moves    int
}

func (w *walker) get(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// hears reports whether the walker has heard a message.
func (w *walker) hears(text string) (has bool) {
	w.get(func() { has = w.heard[text] })
	return has
}

// told is a message of the server.
type told struct {
	Type, Room, Peer, Name, Code string
	ID, Seq, After               int
	Data                         string
	Peers                        []struct{ Peer, Name string }
	Signalings                   []string
}

// walk goes on until ctx ends. urls are those of all nodes.
func (w *walker) walk(ctx context.Context, urls []string) {
	for at := urls[0]; ctx.Err() == nil; {
		next, after, err := w.visit(ctx, at)
		if err != nil { // nobody is there
			next, after = urls[(slices.Index(urls, at)+1)%len(urls)], 50*time.Millisecond
		} else {
			w.get(func() { w.moves++ })
		}
		if next != "" {
			at = next
		}
		select {
		case <-ctx.Done():
		case <-time.After(after):
		}
	}
}

// visit is one session. It returns where to go next, and when; empty: to the same node.
func (w *walker) visit(ctx context.Context, url string) (next string, after time.Duration, err error) {
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 5 * time.Second, TLSClientConfig: w.tls}
	if w.through != "" {
		dialer.NetDialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.through)
		}
	}
	socket, _, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return "", 0, err
	}
	defer socket.Close()
	var write sync.Mutex
	seq, got := 0, 0
	say := func(text string, args ...any) {
		write.Lock()
		defer write.Unlock()
		seq++
		_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{%s,"seq":%d,"ack":%d}`, fmt.Sprintf(text, args...), seq, got))
	}
	_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"hello","name":%q}`, w.name))
	say(`"type":"join","room":%q,"id":1`, w.room)
	w.get(func() { w.peers = nil })
	type asked struct {
		text string
		to   map[string]string
	}
	waiting := make(map[int]asked) // under mu
	talk := time.NewTicker(5 * time.Millisecond)
	defer talk.Stop()
	over := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(over)
	group.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-ctx.Done():
				_ = socket.SetReadDeadline(time.Now())
				return
			case <-talk.C:
			}
			w.mu.Lock()
			w.waiting = len(waiting)
			in := w.peers != nil && w.waiting < 32 && !w.quiet
			var id int
			var text string
			if in {
				w.said++
				id, text = w.said+1, fmt.Sprintf("%s %d", w.name, w.said)
				waiting[id] = asked{text, maps.Clone(w.peers)}
				w.waiting++
			}
			w.mu.Unlock()
			if in {
				say(`"type":"message","room":%q,"data":%q,"id":%d`, w.room, text, id)
			}
		}
	})
	_ = socket.SetReadDeadline(time.Now().Add(2 * time.Minute))
	going := false
	for {
		_, b, err := socket.ReadMessage()
		if err != nil {
			if !going && websocket.IsCloseError(err, 4005) { // it goes down, and let us not in
				return "", 0, err
			}
			return next, after, nil
		}
		var m told
		if err := json.Unmarshal(b, &m); err != nil && !strings.Contains(string(b), `"data":{`) {
			w.get(func() { w.fault = fmt.Errorf("%s: %w", b, err) })
		}
		write.Lock()
		got = max(got, m.Seq)
		write.Unlock()
		switch m.Type {
		case "restart", "elsewhere":
			going = true
			if len(m.Signalings) > 0 {
				next = m.Signalings[0]
			}
			if after = time.Duration(m.After) * time.Millisecond; m.Type == "elsewhere" {
				say(`"type":"bye"`)
			}
		case "error":
			w.get(func() {
				delete(waiting, m.ID)
				if m.Code != "rate" {
					w.fault = fmt.Errorf("%s", b)
				}
			})
		}
		w.get(func() {
			switch m.Type {
			case "joined":
				w.peers = make(map[string]string)
				for _, p := range m.Peers {
					w.peers[p.Peer] = p.Name
				}
			case "peer-joined":
				w.peers[m.Peer] = m.Name
			case "peer-left":
				delete(w.peers, m.Peer)
			case "message":
				if w.heard[m.Data] {
					w.fault = fmt.Errorf("%q was heard twice", m.Data)
				}
				w.heard[m.Data] = true
			case "ok":
				a, is := waiting[m.ID]
				if !is {
					return
				}
				delete(waiting, m.ID)
				to := make(map[string]bool)
				for session, name := range a.to {
					if _, still := w.peers[session]; still { // from before it was said until it was answered
						to[name] = true
					}
				}
				w.answered[a.text] = to
			}
		})
	}
}

// wholeRooms waits until each of the people is with the two others of its room.
func wholeRooms(t *testing.T, all []*walker, when string) {
	t.Helper()
	for _, w := range all {
		until(t, w.name+" is with two others "+when, func() (is bool) {
			w.get(func() {
				others := slices.Collect(maps.Values(w.peers))
				slices.Sort(others)
				is = len(slices.Compact(others)) == 2
			})
			return is
		})
	}
}

// talkOn waits until each of the people has heard something of each of the two others of its
// room that was said from now on.
func talkOn(t *testing.T, all []*walker, when string) {
	t.Helper()
	now := make(map[*walker]int)
	for _, w := range all {
		w.get(func() { now[w] = w.said })
	}
	for _, w := range all {
		for _, other := range all {
			if other == w || other.room != w.room {
				continue
			}
			until(t, w.name+" hears "+other.name+" "+when, func() bool {
				var last int
				other.get(func() { last = other.said })
				for n := now[other] + 1; n <= last; n++ {
					if w.hears(fmt.Sprint(other.name, " ", n)) {
						return true
					}
				}
				return false
			})
		}
	}
}

// TestRollingRestart: three nodes are drained and started again one after the other, by
// command and by signal, while people talk in rooms. Each room is whole again on another
// node, and no message that was answered with ok is lost for anybody who was in the room
// when it was said and when it was answered.
func TestRollingRestart(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 (make soak) runs this")
	}
	t.Parallel()
	nats := natstest.Start(t, true)
	names := []string{"a", "b", "c"}
	nodes := make(map[string]*server)
	var urls []string
	for _, name := range names {
		n := start(t, map[string]map[string]any{
			"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"},
			"limits":  {"messages_per_second": 100_000, "connections_per_ip": 1000},
		})
		nodes[name] = n
		urls = append(urls, fmt.Sprintf("ws://127.0.0.1:%d/ws", n.port))
	}
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { p, _ := n.config(t, "room=first"); return len(p.Signalings) == 3 })
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all []*walker
	var group sync.WaitGroup
	for r := range 4 {
		for p := range 3 {
			w := &walker{
				name: fmt.Sprintf("w%d%d", r, p), room: fmt.Sprint("room-", r),
				answered: make(map[string]map[string]bool), heard: make(map[string]bool),
			}
			all = append(all, w)
			from := slices.Concat(urls[(r+p)%3:], urls[:(r+p)%3])
			group.Go(func() { w.walk(ctx, from) })
		}
	}
	script := startScript(t, urls[0])
	whole := func(when string) { t.Helper(); wholeRooms(t, all, when) }
	whole("at first")
	for i, name := range names {
		n := nodes[name]
		if i == 1 {
			n.end(t) // SIGTERM
		} else {
			out, err := exec.Command(binary, "drain", "--config", n.file).CombinedOutput()
			if err != nil || !strings.HasSuffix(string(out), "ended\n") {
				t.Errorf("drain: %v\n%s", err, out)
			}
			n.await(t)
		}
		whole("after " + name + " has ended")
		n.run(t)
		for _, other := range nodes {
			until(t, name+" is back", func() bool { p, _ := other.config(t, "room=first"); return len(p.Signalings) == 3 })
		}
	}
	script(t)
	for _, w := range all {
		w.get(func() { w.quiet = true })
	}
	for _, w := range all {
		until(t, "all is answered", func() (is bool) { w.get(func() { is = w.waiting == 0 }); return is })
	}
	by := make(map[string]*walker)
	for _, w := range all {
		by[w.name] = w
	}
	answered, reached := 0, 0
	for _, w := range all {
		for text, to := range w.answered { // nobody says anything more
			answered++
			for name := range to {
				reached++
				until(t, fmt.Sprintf("%q, which was answered, at %s", text, name), func() bool { return by[name].hears(text) })
			}
		}
	}
	cancel()
	group.Wait()
	for _, w := range all {
		if w.fault != nil {
			t.Errorf("%s: %v", w.name, w.fault)
		}
		if w.moves == 0 {
			t.Errorf("%s stayed where it was", w.name)
		}
	}
	t.Logf("%d messages were answered, which had to reach %d people", answered, reached)
	if reached < 1000 {
		t.Errorf("only %d had to be heard", reached)
	}
}

// startScript has two people of the JavaScript client talk in a room. What it returns ends
// that, and sees that they are together and have lost nothing.
func startScript(t *testing.T, url string) (end func(*testing.T)) {
	t.Helper()
	command := exec.Command(program(t, "node", "nodejs"), "--experimental-websocket", "cluster_client.mjs", url)
	in, err := command.StdinPipe()
	var out io.ReadCloser
	if err == nil {
		out, err = command.StdoutPipe()
	}
	var said lockedBuffer
	command.Stderr = &said
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "talking" {
		t.Fatalf("the script says %q\n%s", lines.Text(), &said)
	}
	return func(t *testing.T) {
		t.Helper()
		_, _ = io.WriteString(in, "end\n")
		var r struct {
			Together       bool
			Lost           []string
			Owed, Restarts int
		}
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &r) != nil {
			t.Fatalf("the script says %q\n%s", lines.Text(), &said)
		}
		if !r.Together || len(r.Lost) > 0 || r.Owed < 50 || r.Restarts < 2 {
			t.Errorf("the JavaScript client: %+v\n%s", r, &said)
		}
	}
}

// TestDrain: the command ends a server by itself too, and says what is wrong where none runs.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	out, err := exec.Command(binary, "drain", "--config", s.file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "sends 0 sessions away") || !strings.HasSuffix(string(out), "ended\n") {
		t.Errorf("%v\n%s", err, out)
	}
	s.await(t)
	out, err = exec.Command(binary, "drain", "--config", s.file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is the server running") {
		t.Errorf("%v\n%s", err, out)
	}
}
