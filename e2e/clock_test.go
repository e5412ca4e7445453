package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/turn/v4"

	"turnhub/internal/probe"
)

// stepped builds turnhub with a clock that a test can set: SIGWINCH makes the
// process's time of day differ from the machine's by what the file CLOCK_STEP says,
// in seconds. The machine's own clock is never touched, and the monotonic one goes
// on as it does when somebody sets the time.
func stepped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const reading = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	if strings.Count(string(source), reading) != 1 {
		t.Fatal("time.Now has another form in this version of Go: adapt the test")
	}
	text := strings.Replace(string(source), reading, strings.Replace(reading, "\tif", "\tsec += Step\n\tif", 1), 1) +
		"\n// Step is how many seconds the time of day is off.\nvar Step int64\n"
	setter := `package main

import ("os"; "os/signal"; "strconv"; "strings"; "syscall"; "time")

func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	go func() {
		for range signals {
			text, _ := os.ReadFile("CLOCK_STEP")
			time.Step, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			os.WriteFile("CLOCK_STEPPED", text, 0o600)
		}
	}()
}
`
	command, err := filepath.Abs("../cmd/turnhub/clockstep.go")
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]map[string]string{"Replace": {original: filepath.Join(dir, "time.go"), command: filepath.Join(dir, "clockstep.go")}}
	plan, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"time.go": text, "clockstep.go": setter, "overlay.json": string(plan)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "turnhub")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "turnhub/cmd/turnhub")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build turnhub with a clock that can be set: %v\n%s", err, output)
	}
	return program
}

// step sets the server's time of day.
func (s *server) step(t *testing.T, by time.Duration) {
	t.Helper()
	dir := s.directory(t)
	text := fmt.Sprint(int64(by / time.Second))
	if err := os.WriteFile(filepath.Join(dir, "CLOCK_STEP"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Signal(syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	until(t, "the clock is set", func() bool {
		done, _ := os.ReadFile(filepath.Join(dir, "CLOCK_STEPPED"))
		return string(done) == text
	})
}

// The time of day is set forward and back, by an hour, two days and ten years, under
// calls: allocations, signaling sessions and nonces do not notice, newcomers get in over
// plain TCP, who says nothing there is ended, and a new credential is judged by the new
// time. What /config gave out before goes on to work while it is good by the new time.
func TestStayUpClockSteps(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 runs this: it builds Go's own packages anew, for a clock that can be set")
	}
	program := binary
	binary = stepped(t)
	s := start(t, nil)
	binary = program
	a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "tcp", "caller") // one user may reach itself
	permit(t, a, b)
	permit(t, b, a)
	hub, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws", s.port), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	hear := func(answer string) {
		t.Helper()
		hub.SetReadDeadline(time.Now().Add(20 * time.Second))
		for {
			_, text, err := hub.ReadMessage()
			if err != nil {
				t.Fatalf("the session has ended: %v\n%s", err, s.log)
			}
			if strings.Contains(string(text), answer) {
				return
			}
		}
	}
	say := func(message, answer string) {
		t.Helper()
		if err := hub.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		hear(answer)
	}
	say(`{"type":"hello","name":"anna"}`, `"welcome"`)
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(s.port))
	allocate := func(expires time.Time) error {
		ttl := time.Until(expires)
		username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "newcomer", ttl)
		if err != nil {
			t.Fatal(err)
		}
		_, err = probe.RoundTrip(t.Context(), "turn:"+at.String(), username, password, probe.Options{Address: at})
		return err
	}
	fetch := func() (username, password string) {
		t.Helper()
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/config?user=guest", s.port))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var config struct {
			ICEServers []struct{ Username, Credential string }
		}
		if err := json.NewDecoder(response.Body).Decode(&config); err != nil {
			t.Fatal(err)
		}
		for _, server := range config.ICEServers {
			username, password = cmp.Or(username, server.Username), cmp.Or(password, server.Credential)
		}
		return username, password
	}
	use := func(by time.Duration, when, username, password string) {
		t.Helper()
		if _, err := probe.RoundTrip(t.Context(), "turn:"+at.String(), username, password, probe.Options{Address: at}); err != nil {
			t.Errorf("clock set by %v: what /config gave out %s is refused: %v", by, when, err)
		}
	}
	firstUser, firstPassword := fetch()
	var mutes []*websocket.Conn
	const years = 10 * 365 * 24 * time.Hour
	for i, by := range []time.Duration{0, time.Hour, -time.Hour, 48 * time.Hour, -48 * time.Hour, years, -years, 0} {
		// The hub is to acknowledge this in a second, and then looks at the time for everybody.
		say(fmt.Sprintf(`{"type":"join","id":%d,"seq":%d,"room":"clock"}`, i+1, 2*i+1), `"joined"`)
		if err := hub.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"leave","seq":%d,"room":"clock"}`, 2*i+2)); err != nil {
			t.Fatal(err)
		}
		s.step(t, by)
		then := time.Now().Add(by) // the server's time of day
		exchange(t, a, b, 172)
		exchange(t, b, a, 1200)
		hear(fmt.Sprintf(`"ack":%d`, 2*i+2))
		say(`{"type":"ping","ack":0}`, `"pong"`)
		newcomer, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws", s.port), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = newcomer.SetReadDeadline(time.Now().Add(20 * time.Second))
		if err := newcomer.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`)); err != nil {
			t.Fatal(err)
		}
		if _, text, err := newcomer.ReadMessage(); err != nil || !strings.Contains(string(text), `"welcome"`) {
			t.Errorf("clock set by %v: a newcomer hears %s, %v", by, text, err)
		}
		newcomer.Close()
		mute, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws", s.port), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer mute.Close()
		mutes = append(mutes, mute)
		username, password := fetch()
		use(by, "since", username, password)
		if by < 12*time.Hour {
			use(by, "before", firstUser, firstPassword)
		}
		if err := allocate(then.Add(time.Hour)); err != nil {
			t.Errorf("clock set by %v: a credential for another hour is refused: %v", by, err)
		}
		if err := allocate(then.Add(-time.Hour)); err == nil {
			t.Errorf("clock set by %v: a credential that ended an hour ago is taken", by)
		}
	}
	for i, mute := range mutes { // 10 s each, all at once
		_ = mute.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, _, err := mute.ReadMessage(); !websocket.IsCloseError(err, 4000) {
			t.Errorf("a socket without hello of round %d: %v, want close 4000", i, err)
		}
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Error(s.log)
	}
}
