package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestUpgradeIsOneServer does what an operator does while the old process of an
// upgrade carries calls: it reaches them, and what is shown is of both.
func TestUpgradeIsOneServer(t *testing.T) {
	t.Parallel()
	echo, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from)
		}
	}()
	f := startFamily(t, "relay: {external_ip: 127.0.0.1, peers: any}\nlog: {level: debug}\n")
	first := f.call("anna", "boris")
	second := f.call("carl", "dora")
	other := f.call("emil", "fritz")
	echoes := func() bool {
		if _, err := other.ends[0].WriteTo([]byte("echo"), echo.LocalAddr()); err != nil {
			return false
		}
		_ = other.ends[0].SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, _, err := other.ends[0].ReadFrom(make([]byte, 100))
		return err == nil
	}
	if err := other.clients[0].CreatePermission(echo.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	until(t, "an echo", echoes)
	ringing := ring(t, f)
	bytes := f.metric("turnhub_relay_bytes_total")
	opened := f.metric("turnhub_hub_sessions_total")
	silent := f.silentSocket()

	old, young := f.upgrade()
	for _, c := range []*call{first, second, other} {
		c.goesOn("after the upgrade")
	}

	// Whoever had not said hello, and everybody else, is sent on.
	_ = silent.WriteJSON(map[string]any{"type": "hello"})
	if _, text, err := silent.ReadMessage(); !websocket.IsCloseError(err, 4005) {
		t.Errorf("a socket that says hello to the old process gets %s, %v", text, err)
	}

	// Counts are of both.
	if now := f.metric("turnhub_relay_allocations"); now != 6 {
		t.Errorf("%v allocations are shown, want 6", now)
	}
	if now := f.metric("turnhub_relay_bytes_total"); now <= bytes {
		t.Errorf("the bytes relayed fell from %v to %v", bytes, now)
	}
	if now := f.metric("turnhub_hub_sessions_total"); now < opened {
		t.Errorf("the sessions opened fell from %v to %v", opened, now)
	}
	var state struct {
		Relay     struct{ Allocations map[string]int }
		Processes []struct {
			PID, Allocations int
			Draining         bool
		}
		Calls []struct {
			ID, Kind string
			Process  int
		}
		People []struct {
			Name    string
			Process int
			Relay   []any
		}
	}
	look := func() {
		t.Helper()
		_, text, err := f.get("/state")
		if err == nil {
			err = json.Unmarshal([]byte(text), &state)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	look()
	if len(state.Processes) != 2 || state.Processes[0].PID != young || state.Processes[1].PID != old || state.Processes[1].Allocations != 6 || !state.Processes[1].Draining {
		t.Errorf("the console shows the processes %+v, want %d and %d", state.Processes, young, old)
	}
	relaying := 0
	for _, p := range state.People {
		if p.Process == old && len(p.Relay) > 0 {
			relaying++
		}
	}
	if relaying != 6 {
		t.Errorf("the console shows %d people with allocations in the old process, want 6: %+v", relaying, state.People)
	}
	byName := false
	for _, c := range state.Calls {
		byName = byName || c.ID == ringing && c.Process == old
	}
	if !byName {
		t.Errorf("the console lacks the call %s of the old process: %+v", ringing, state.Calls)
	}
	if status, answer := f.post("/end", map[string]string{"call": ringing}); status != http.StatusOK {
		t.Errorf("ending a call of the old process: %d %v", status, answer)
	}
	if status, _ := f.post("/end", map[string]string{"call": ringing}); status != http.StatusNotFound {
		t.Errorf("ending it again: %d", status)
	}

	// A reload reaches the old process: a denied peer, and what is said of it.
	reloaded := strings.Count(f.log.String(), "msg=reloaded")
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(strings.Replace(string(text), "peers: any", `peers: any, deny_peers: ["127.0.0.1/32"]`, 1))
	f.signal(young, syscall.SIGHUP)
	until(t, "both have reloaded", func() bool { return strings.Count(f.log.String(), "msg=reloaded") == reloaded+2 })
	until(t, "the denied peer is cut off", func() bool { return !echoes() })

	// A revocation ends what the old process carries, and nothing else.
	status, answer := f.post("/revoke", map[string]string{"user": "anna"})
	if status != http.StatusOK || answer["allocations"] == float64(0) && answer["sessions"] == float64(0) {
		t.Errorf("the revocation is answered %d %v", status, answer)
	}
	until(t, "the revoked user's call ends", first.silent)
	if f.admitted(f.token("carl")) != true {
		t.Error("somebody else is refused")
	}
	second.goesOn("after another's revocation")

	// One that does not answer is named.
	f.signal(old, syscall.SIGSTOP)
	status, answer = f.post("/revoke", map[string]string{"user": "carl"})
	if status != http.StatusBadGateway || !strings.Contains(fmt.Sprint(answer["error"]), fmt.Sprint(old)) {
		t.Errorf("a revocation that did not reach the old process is answered %d %v", status, answer)
	}
	if n := f.metric("turnhub_processes"); n != 2 {
		t.Errorf("%v processes", n)
	}
	if now := f.metric("turnhub_relay_bytes_total"); now <= bytes {
		t.Errorf("the bytes relayed fell from %v to %v while the old process is silent", bytes, now)
	}
	f.signal(old, syscall.SIGCONT)
	until(t, "the old process has caught up", second.silent)

	// When the old process ends, what it has counted stays counted.
	bytes = f.metric("turnhub_relay_bytes_total")
	for i := range other.clients {
		_ = other.ends[i].Close()
		_ = second.ends[i].Close()
		_ = first.ends[i].Close()
	}
	until(t, "the old process ends", func() bool { return !running(old) })
	until(t, "one process is left", func() bool { return f.metric("turnhub_processes") == 1 })
	if now := f.metric("turnhub_relay_bytes_total"); now < bytes {
		t.Errorf("the bytes relayed fell from %v to %v when the old process ended", bytes, now)
	}

	// The order to go down is for both.
	last := f.call("gina", "hans")
	old, young = f.upgrade()
	last.goesOn("after another upgrade")
	f.signal(young, syscall.SIGTERM)
	until(t, "both processes end", func() bool { return !running(old) && !running(young) })
}

// silentSocket is one that says nothing yet.
func (f *family) silentSocket() *websocket.Conn {
	f.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws?token=%s", f.port, f.token("late")), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	return ws
}

// ring begins a call by name and returns its id.
func ring(t *testing.T, f *family) string {
	t.Helper()
	callee, err := f.enter(f.token("karl"))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := f.enter(f.token("lisa"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { callee.ws.Close(); caller.ws.Close() })
	if err := caller.ws.WriteJSON(map[string]any{"type": "invite", "user": "karl", "seq": 1, "id": 1}); err != nil {
		t.Fatal(err)
	}
	var m struct{ Type, Call, Code string }
	for m.Call == "" {
		_ = callee.ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		if err := callee.ws.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
	}
	if err := callee.ws.WriteJSON(map[string]any{"type": "accept", "call": m.Call, "seq": 1, "id": 1}); err != nil {
		t.Fatal(err)
	}
	if err := callee.hear("ok"); err != nil {
		t.Fatal(err)
	}
	return m.Call
}

// TestUpgradeOfUpgrades piles up processes, each with a call, until one more is
// refused. Every one is reached, also when the one in the middle has died.
func TestUpgradeOfUpgrades(t *testing.T) {
	t.Parallel()
	f := startFamily(t, "relay: {external_ip: 127.0.0.1}\n")
	const most = 4
	var calls []*call
	for i := range most {
		calls = append(calls, f.call(fmt.Sprintf("user%d", i), fmt.Sprintf("friend%d", i)))
		if i < most-1 {
			f.upgrade()
		}
		for _, c := range calls {
			c.goesOn("in a family of several")
		}
	}
	if n := f.metric("turnhub_relay_allocations"); n != 2*most {
		t.Errorf("%v allocations are shown, want %d", n, 2*most)
	}
	f.signal(f.serving(), syscall.SIGUSR2)
	until(t, "one more is refused", func() bool {
		return strings.Contains(f.log.String(), "processes of earlier upgrades still carry calls")
	})
	calls[most-1].goesOn("after a refusal")

	// The second dies; the third, whose parent it was, still knows the others.
	f.signal(f.pids[1], syscall.SIGKILL)
	until(t, "one is missing", func() bool { return f.metric("turnhub_processes") == most-1 })
	token := f.token("user0") // of before
	if status, answer := f.post("/revoke", map[string]string{"user": "user0"}); status != http.StatusOK || answer["allocations"] == float64(0) && answer["sessions"] == float64(0) {
		t.Errorf("the oldest is not reached: %d %v", status, answer)
	}
	until(t, "the revoked user's call ends", calls[0].silent)
	calls[2].goesOn("after the death of its predecessor")

	// The youngest dies, then the one that has taken its place: the oldest serves.
	f.signal(f.pids[3], syscall.SIGKILL)
	until(t, "the third serves", func() bool {
		_, text, err := f.get("/state")
		return err == nil && strings.Contains(text, fmt.Sprintf(`"processes":[{"pid":%d,`, f.pids[2]))
	})
	calls[2].goesOn("when its process serves again")
	f.pids = f.pids[:3]
	if !f.admitted(f.token("user1")) || f.admitted(token) {
		t.Error("the revocation is not known to the process that serves again, or too much is")
	}
	f.call("new", "newer").goesOn("in the process that serves again")
	f.upgrade()
	calls[2].goesOn("after an upgrade of the process that served again")
}

// TestVolumeOutlivesUpgrade: what a person has had of the day's volume counts in the
// next process and in another session of the same person, and no one else pays for it.
func TestVolumeOutlivesUpgrade(t *testing.T) {
	t.Parallel()
	f := startFamily(t, "limits: {volume_per_user_day: 1MiB}\n")
	const volume, size = 1 << 20, 1000 // bytes
	drops := func() float64 { return f.metric("turnhub_relay_drops_total") }
	relayed := func(c *call, most int) (n int) {
		payload, buf := make([]byte, size), make([]byte, size)
		for before := drops(); n < most; n++ {
			if _, err := c.ends[0].WriteTo(payload, c.ends[1].LocalAddr()); err != nil {
				t.Fatal(err)
			}
			came := false
			until(t, "it comes, or is dropped", func() bool {
				_ = c.ends[1].SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				_, _, err := c.ends[1].ReadFrom(buf)
				came = err == nil
				return came || drops() > before
			})
			if !came {
				break
			}
		}
		return n
	}
	if n := relayed(f.call("anna", "boris"), 600); n != 600 {
		t.Fatalf("%d of 600 packets", n)
	}
	f.upgrade()
	if n := relayed(f.call("anna", "carl"), 600); n != volume/size-600 {
		t.Errorf("%d more packets after the upgrade, want %d", n, volume/size-600)
	}
	if n := relayed(f.call("dora", "emil"), 10); n != 10 {
		t.Errorf("somebody else has %d of 10 packets", n)
	}
}

// TestSocketsOverUpgrades upgrades a server whose relayed addresses have no sockets: a
// call goes on through two upgrades, no process gives out a port that another has, and
// each has the ports again that a process has taken with it.
func TestSocketsOverUpgrades(t *testing.T) {
	t.Parallel()
	const ports = 16
	low := freePort(t)
	f := startFamily(t, fmt.Sprintf("relay: {external_ip: 127.0.0.1, sockets: off, port_min: %d, port_max: %d}\n", low, low+ports-1))
	taken := make(map[string]bool)
	take := func(ends ...net.PacketConn) {
		t.Helper()
		for _, end := range ends {
			at := end.LocalAddr().String()
			if taken[at] {
				t.Fatalf("%s was given out twice", at)
			}
			taken[at] = true
		}
	}
	first := f.call("anna", "boris")
	take(first.ends[:]...)
	f.upgrade()
	second := f.call("carl", "dora")
	take(second.ends[:]...)
	f.upgrade()
	third := f.call("emil", "frida") // knows of both
	take(third.ends[:]...)
	for _, c := range []*call{first, second, third} {
		c.goesOn("after two upgrades")
	}
	if n := f.metric("turnhub_relay_allocations_without_socket"); n < 6 || n != f.metric("turnhub_relay_allocations") {
		t.Errorf("%v of %v relayed addresses have no socket", n, f.metric("turnhub_relay_allocations"))
	}
	fill := func(what string, with *guest) {
		t.Helper()
		until(t, what, func() bool { // the server's own probe may have a port for a moment
			for {
				_, end, err := f.relay(with.username, with.password)
				if err != nil {
					if !strings.Contains(err.Error(), "508") {
						t.Fatal(err)
					}
					return f.metric("turnhub_relay_allocations") == ports
				}
				take(end)
			}
		})
	}
	fill("every port is given out", third.people[0])
	// The last two processes die: the first serves again, with its own ports and all the others.
	f.signal(f.pids[2], syscall.SIGKILL)
	f.signal(f.pids[1], syscall.SIGKILL)
	f.pids = f.pids[:1]
	until(t, "the first serves again", func() bool {
		return strings.Contains(f.log.String(), fmt.Sprintf("this one serves again, with the binary and the configuration that it has\" pid=%d\n", f.pids[0]))
	})
	f.untilServed("and is ready")
	first.goesOn("when its process serves again")
	clear(taken)
	take(first.ends[:]...)
	fourth := f.call("gert", "hans")
	take(fourth.ends[:]...)
	fill("every port is given out again", fourth.people[0])
}
