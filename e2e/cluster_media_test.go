package e2e

import (
	"bytes"
	wire "encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// mediaSocket is a media socket of a device, at the node where that is.
type mediaSocket struct {
	t  *testing.T
	ws *websocket.Conn
	n  int
}

func (c *device) mediaTo(peer *device) *mediaSocket {
	c.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.media.v1"}, HandshakeTimeout: 20 * time.Second}
	ws, _, err := dialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/media", c.at.port), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = ws.Close() })
	hello := fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, c.session, c.token, peer.session)
	if err := ws.WriteMessage(websocket.TextMessage, []byte(hello)); err != nil {
		c.t.Fatal(err)
	}
	return &mediaSocket{t: c.t, ws: ws}
}

// until reads on until something comes.
func (m *mediaSocket) until(what string, is func(text string, frame []byte) bool) {
	m.t.Helper()
	_ = m.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		kind, b, err := m.ws.ReadMessage()
		if err != nil {
			m.t.Fatalf("%s does not come: %v", what, err)
		}
		if kind == websocket.TextMessage && is(string(b), nil) || kind == websocket.BinaryMessage && is("", b) {
			return
		}
	}
}

// meets waits until the other end is here, or not.
func (m *mediaSocket) meets(here bool) {
	m.t.Helper()
	want := fmt.Sprintf(`"here":%v}`, here)
	m.until(want, func(text string, _ []byte) bool { return len(text) > len(want) && text[len(text)-len(want):] == want })
}

// passes sends messages to another one, which gets them as they are: sound and pictures that
// are late, as on a busy machine, are dropped.
func (m *mediaSocket) passes(to *mediaSocket) {
	m.t.Helper()
	for _, size := range []int{100, 60_000, 120_000} {
		m.n++
		frame := bytes.Repeat([]byte{byte(m.n)}, size)
		frame[0], frame[8] = 4, byte(m.n)
		if err := m.ws.WriteMessage(websocket.BinaryMessage, frame); err != nil {
			m.t.Fatal(err)
		}
		to.until(fmt.Sprintf("a message of %d bytes", size), func(_ string, got []byte) bool { return bytes.Equal(got, frame) })
	}
}

// mediaCall has two call each other by name, and open their media sockets.
func mediaCall(t *testing.T, name string, one, two *server) (ann, bob *device, x, y *mediaSocket) {
	t.Helper()
	ann, bob = callAs(t, one, "ann"+name, "the first secret"), callAs(t, two, "bob"+name, "the second secret")
	for _, c := range []*device{ann, bob} {
		c.hears(map[string]any{"type": "welcome"})
	}
	ann.finds("bob" + name)
	ann.say(`"type":"invite","user":%q,"id":1`, "bob"+name)
	id := bob.hears(map[string]any{"state": "incoming"})["call"]
	bob.say(`"type":"accept","call":%q,"id":1`, id)
	ann.hears(map[string]any{"state": "accepted"})
	x, y = ann.mediaTo(bob), bob.mediaTo(ann)
	for _, m := range []*mediaSocket{x, y} {
		m.meets(true)
	}
	return ann, bob, x, y
}

// TestMediaAcrossNodes: on three real nodes and a real NATS server media of two people in a
// call by name goes from the one's node to the other's, is counted as that, stops with NATS
// and comes back with it, and goes on when a node is killed.
func TestMediaAcrossNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	knowEachOther(t, nodes)
	logsOf(t, nodes)
	ann, bob, x, y := mediaCall(t, "", nodes[0], nodes[1])
	x.passes(y)
	y.passes(x)
	for _, n := range nodes[:2] {
		if got := n.metric(t, "turnhub_media_paths_across"); got != 1 {
			t.Errorf("%v pairs across", got)
		}
		for _, direction := range []string{"said", "heard"} {
			if got := n.metric(t, `turnhub_media_across_frames_total{direction="`+direction+`"}`); got < 3 {
				t.Errorf("%v frames %s", got, direction)
			}
		}
	}
	nats.Kill()
	x.meets(false)
	y.meets(false)
	nats.Run()
	x.meets(true)
	y.meets(true)
	x.passes(y)
	y.passes(x)
	for _, n := range nodes {
		until(t, "another node could go on", func() bool { return covered(n) })
	}
	nodes[1].kill(t)
	x.meets(false)
	bob.comesBack(nodes[2], nodes[0])
	y = bob.mediaTo(ann)
	for _, m := range []*mediaSocket{x, y} {
		m.meets(true)
	}
	x.passes(y)
	y.passes(x)
}

// TestMediaOutlivesDrain: when one of two nodes is drained, who is on the other one hears at once
// that a call has gone with it, the caller's and the other one's, and media goes on through the
// old sockets until the two have met anew. Whoever goes is sent to the node of the other one.
func TestMediaOutlivesDrain(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, natstest.Start(t, true), nil)
	knowEachOther(t, nodes)
	ann, bob, x, y := mediaCall(t, "", nodes[0], nodes[1])
	_, dora, v, w := mediaCall(t, "2", nodes[1], nodes[0])
	_ = nodes[0].process.Signal(syscall.SIGTERM)
	bob.hears(map[string]any{"type": "call", "state": "ended", "reason": "lost"})
	goesToBob := func(c *device) {
		t.Helper()
		m, to := c.hears(map[string]any{"type": "restart"}), fmt.Sprintf(":%d/", nodes[1].port)
		if all, _ := m["signalings"].([]any); len(all) == 0 || !strings.Contains(fmt.Sprint(all[0]), to) {
			t.Errorf("sent to %v, and not to the node of the other one, %s", m["signalings"], to)
		}
	}
	goesToBob(dora)
	for range 2 {
		for _, ends := range [][2]*mediaSocket{{x, y}, {v, w}} {
			ends[0].passes(ends[1])
			ends[1].passes(ends[0])
		}
	}
	goesToBob(ann)
	again := callAs(t, nodes[2], "ann", "the first secret")
	for _, c := range []*device{again, bob} {
		c.say(`"type":"join","room":"where-they-meet","id":9`)
		c.hears(map[string]any{"type": "joined"})
	}
	until(t, "they are in one room", func() bool {
		return bob.everHeard(map[string]any{"type": "peer-joined", "peer": again.session}) || again.everHeard(map[string]any{"type": "peer-joined", "peer": bob.session})
	})
	if bob.everHeard(map[string]any{"type": "elsewhere"}) {
		t.Error("bob is sent away from what he has")
	}
	x, y = again.mediaTo(bob), bob.mediaTo(again)
	for _, m := range []*mediaSocket{x, y} {
		m.meets(true)
	}
	x.passes(y)
	y.passes(x)
}

// TestMediaAcrossCost says what it costs that two are on two nodes: how much longer frames
// take, and how much of a processor the nodes and NATS take for a second of a call. Sound
// every 20 ms and 15 pictures a second of 9 kB, each way. Numbers need an idle machine:
//
//	E2E_MEDIA_COST=20 go test ./e2e -run TestMediaAcrossCost -v
func TestMediaAcrossCost(t *testing.T) {
	calls, _ := strconv.Atoi(os.Getenv("E2E_MEDIA_COST"))
	if calls == 0 {
		t.Skip("set E2E_MEDIA_COST to a number of calls")
	}
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, map[string]map[string]any{"limits": {"connections_per_ip": 10_000}})
	knowEachOther(t, nodes)
	const seconds = 8
	for round := range 2 {
		for _, way := range []string{"one node", "two nodes"} {
			two := nodes[0]
			if way == "two nodes" {
				two = nodes[1]
			}
			var all []*mediaSocket
			for i := range calls {
				_, _, x, y := mediaCall(t, fmt.Sprint(way[:3], round, "-", i), nodes[0], two)
				all = append(all, x, y)
			}
			used := func() (sum time.Duration) {
				for _, pid := range []int{nodes[0].process.Pid, nodes[1].process.Pid, nats.PID()} {
					sum += cpuOf(t, pid)
				}
				return sum
			}
			idle := used()
			time.Sleep(3 * time.Second)
			idle = (used() - idle) / 3
			began := time.Now()
			before := used()
			var working sync.WaitGroup
			ages := make([][]time.Duration, len(all))
			for i, m := range all {
				working.Go(func() { m.speak(began, seconds*time.Second) })
				working.Go(func() { ages[i] = m.listen(began, seconds*time.Second) })
			}
			time.Sleep(seconds * time.Second)
			took := used() - before - seconds*idle
			working.Wait()
			every := slices.Concat(ages...)
			slices.Sort(every)
			if len(every) == 0 {
				t.Fatal("nothing has come")
			}
			at := func(part float64) time.Duration { return every[int(part*float64(len(every)-1))] }
			t.Logf("%d calls on %s: age of a frame p50 %v, p90 %v, p99 %v (%d of %d came); %.2f ms of a processor for a second of a call", calls, way,
				at(0.5), at(0.9), at(0.99), len(every), 2*calls*seconds*(50+15*8), float64(took.Microseconds())/1000/float64(calls*seconds))
			for _, m := range all {
				_ = m.ws.Close()
			}
		}
	}
}

// speak sends sound and pictures, in pieces.
func (m *mediaSocket) speak(began time.Time, long time.Duration) {
	send := func(kind byte, size int) {
		frame := make([]byte, size)
		frame[0] = kind
		m.n++
		wire.BigEndian.PutUint64(frame[1:], uint64(m.n))
		wire.BigEndian.PutUint64(frame[9:], uint64(time.Since(began)))
		_ = m.ws.WriteMessage(websocket.BinaryMessage, frame)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; time.Since(began) < long; i++ {
		send(1, 120)
		if i%10%3 == 0 && i%10 != 9 { // 15 a second
			kind := byte(2)
			if i%500 == 0 {
				kind = 3
			}
			for range 8 {
				send(kind, 1150)
				kind = 6
			}
		}
		<-tick.C
	}
}

// listen says how old frames were when they came.
func (m *mediaSocket) listen(began time.Time, long time.Duration) (ages []time.Duration) {
	_ = m.ws.SetReadDeadline(began.Add(long + 2*time.Second))
	for {
		kind, b, err := m.ws.ReadMessage()
		if err != nil {
			return ages
		}
		if kind == websocket.BinaryMessage {
			ages = append(ages, time.Since(began)-time.Duration(wire.BigEndian.Uint64(b[9:])))
		}
	}
}

// cpuOf is what a process has used of the processors.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
