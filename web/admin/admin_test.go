package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"turnhub/cluster"
	"turnhub/events"
	"turnhub/internal/portmux"
	"turnhub/push"
	"turnhub/signaling"
	"turnhub/signaling/media"
	"turnhub/turnsrv"
	"turnhub/web"
)

type fakeRelay struct {
	revoked []string
	ended   uint64
}

func (f *fakeRelay) Stats() turnsrv.Stats {
	var s turnsrv.Stats
	s.Allocations[turnsrv.TransportTLS][turnsrv.IPv4] = 2
	s.ToPeer[turnsrv.TransportTLS][turnsrv.IPv4] = turnsrv.Traffic{Packets: 10, Bytes: 1000}
	s.Revoked = f.ended
	s.Drops = map[string]uint64{"malformed": 3}
	s.Auth = map[string]uint64{"ok": 1}
	s.Requests = map[string]uint64{"allocate": 2}
	s.Denied = map[string]uint64{"loopback": 1}
	s.Quota = map[string]uint64{"user": 1}
	s.KernelRefused = map[string]uint64{"route": 1}
	s.Errors = map[int]uint64{401: 2}
	return s
}

func (*fakeRelay) Allocations() []turnsrv.AllocationInfo {
	return []turnsrv.AllocationInfo{{User: "s_a", Transport: turnsrv.TransportTLS, ToPeer: turnsrv.Traffic{Bytes: 7}}}
}

func (f *fakeRelay) Revoke(user string) int {
	f.revoked = append(f.revoked, user)
	f.ended++
	return 1
}

type fakeHub struct {
	fakeRelay
	unkept error
}

func (f *fakeHub) Revoke(user string) (int, error) { return f.fakeRelay.Revoke(user), f.unkept }

func (*fakeHub) Stats() signaling.Stats {
	one := map[string]uint64{"rate": 1}
	return signaling.Stats{Refused: one, Ended: one, Closed: one, Faults: one, Dropped: one, Paths: map[string]uint64{"direct": 1}, Narrow: map[string]uint64{"narrow": 1},
		Dialects: map[string]map[string]uint64{"peerjs": one}, FirstFrames: 1, FirstFrameMilliseconds: 400}
}

func (*fakeHub) Sessions() []signaling.SessionInfo {
	now := time.Now()
	return []signaling.SessionInfo{
		{ID: "s_a", Name: "Alice", Since: now.Add(-time.Minute), Rooms: []string{"blue"}},
		{ID: "s_b", Name: "Bob", Since: now, Rooms: []string{"blue", "alone"}},
	}
}

func (*fakeHub) Calls() []signaling.CallInfo {
	return []signaling.CallInfo{{ID: "c_1", State: "ringing", From: "s_a", Callee: "petya", Since: time.Now()}}
}

func (*fakeHub) EndCall(id string) bool { return id == "c_1" }

func newServer(t *testing.T) (*httptest.Server, *fakeHub, *fakeRelay) {
	hub, relay := new(fakeHub), new(fakeRelay)
	server := httptest.NewServer(New(testConfig(hub, relay)))
	t.Cleanup(server.Close)
	return server, hub, relay
}

func testConfig(hub Hub, relay Relay) Config {
	return Config{
		Version: "test", Driver: "epoll", Relay: relay, Hub: hub,
		Nodes: func() []Node { return []Node{{Name: "a", Self: true}, {Name: "b", Gone: true}} },
		Cluster: func() cluster.Stats {
			one := map[string]uint64{"seal": 1}
			return cluster.Stats{Connected: true, Refused: one, Placed: map[string]uint64{"known": 1}, Questions: map[string]uint64{"answered": 1}}
		},
		Probes: func() []Probe { return []Probe{{URL: "turn:example.org", Proved: true, Passes: 1}} },
		Ports: func() portmux.Stats {
			return portmux.Stats{Accepted: map[string]uint64{"http": 1}, Refused: map[string]uint64{"timeout": 1}}
		},
		Web: func() web.Stats { return web.Stats{Credentials: 1} },
		Media: func() media.Stats {
			one := map[string]uint64{"sound": 1}
			return media.Stats{Sockets: 2, Paths: 1, Frames: one, Bytes: one, Keys: 1, Crossed: one, CrossedBytes: one, Closed: map[string]uint64{"replaced": 1}, Dropped: map[string]map[string]uint64{"sound": {"late": 1}}}
		},
		Push: func() push.Stats {
			one := map[string]uint64{"some": 1}
			return push.Stats{Sent: one, Dropped: one, Deleted: one, Refused: one}
		},
		Events: func() events.Stats {
			return events.Stats{
				Emitted: map[string]uint64{events.CallEnded: 1}, Dropped: map[string]uint64{"busy": 1}, Deliveries: map[string]uint64{"ok": 1}, Waiting: 1,
			}
		},
		Certificate: func() time.Time { return time.Unix(2e9, 0) },
		Health:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }),
		Errors:      NewErrors(slog.DiscardHandler),
	}
}

func TestGuardKeepsPagesOut(t *testing.T) {
	server, hub, _ := newServer(t)
	own := strings.TrimPrefix(server.URL, "http://")
	for _, tc := range []struct {
		name, method, path, host, origin, site, kind string
		status                                       int
	}{
		{name: "curl", path: "/metrics", status: 200},
		{name: "localhost", path: "/metrics", host: "localhost:9478", status: 200},
		{name: "IPv6", path: "/healthz", host: "[::1]:9478", status: 200},
		{name: "a rebound name", path: "/state", host: "evil.example:9478", status: 403},
		{name: "a name that looks like an address", path: "/state", host: "127.0.0.1.evil.example", status: 403},
		{name: "a foreign page", path: "/state", origin: "https://evil.example", status: 403},
		{name: "a page without origin", path: "/state", origin: "null", status: 403},
		{name: "an image in a foreign page", path: "/metrics", site: "cross-site", status: 403},
		{name: "another port of this host", path: "/state", site: "same-site", status: 403},
		{name: "our own page", path: "/state", origin: "http://" + own, site: "same-origin", status: 200},
		{name: "a form", method: "POST", path: "/revoke", kind: "application/x-www-form-urlencoded", status: 415},
		{name: "a form of text", method: "POST", path: "/revoke", kind: "text/plain", status: 415},
		{name: "a form that says it is JSON", method: "POST", path: "/revoke", kind: "text/plain; application/json", status: 415},
		{name: "nothing that is sent by kind", method: "POST", path: "/revoke", status: 415},
		{name: "JSON with its charset, as programs send it", method: "POST", path: "/drain-none", kind: "Application/JSON; charset=utf-8", status: 405},
		{name: "a foreign script", method: "POST", path: "/revoke", kind: "application/json", origin: "https://evil.example", status: 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			request, err := http.NewRequest(method, server.URL+tc.path, strings.NewReader(`{"user":"s_a"}`))
			if err != nil {
				t.Fatal(err)
			}
			for header, value := range map[string]string{"Origin": tc.origin, "Sec-Fetch-Site": tc.site, "Content-Type": tc.kind} {
				if value != "" {
					request.Header.Set(header, value)
				}
			}
			if tc.host != "" {
				request.Host = tc.host
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != tc.status {
				t.Errorf("status %d, want %d", response.StatusCode, tc.status)
			}
		})
	}
	if len(hub.revoked) != 0 {
		t.Errorf("a page revoked %v", hub.revoked)
	}
}

func TestRevokeAndEnd(t *testing.T) {
	server, hub, relay := newServer(t)
	for _, tc := range []struct {
		path, body string
		status     int
	}{
		{"/revoke", `{"user":"s_a"}`, 200},
		{"/revoke", `{}`, 400},
		{"/revoke", `nonsense`, 400},
		{"/revoke", `{"user":"` + strings.Repeat("x", 5000) + `"}`, 413},
		{"/end", `{"call":"c_1"}`, 200},
		{"/end", `{"call":"c_2"}`, 404},
	} {
		response, err := http.Post(server.URL+tc.path, "application/json", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != tc.status {
			t.Errorf("%s %.20s: %d, want %d", tc.path, tc.body, response.StatusCode, tc.status)
		}
	}
	if !slices.Equal(hub.revoked, []string{"s_a"}) || !slices.Equal(relay.revoked, []string{"s_a"}) {
		t.Errorf("revoked %v in the hub, %v in the relay", hub.revoked, relay.revoked)
	}
}

// TestRevocationCountsAllocations holds that the answer counts the allocations that the
// hub had the relay end with their sessions, before the relay was asked by name.
func TestRevocationCountsAllocations(t *testing.T) {
	relay := new(fakeRelay)
	cfg := testConfig(&hubThatEnds{relay: relay}, relay)
	done, err := cfg.Do(ActRevoke, "anna")
	if err != nil || done.Sessions != 2 || done.Allocations != 3 {
		t.Errorf("%+v, %v; want 2 sessions and 3 allocations", done, err)
	}
}

// hubThatEnds has the relay end an allocation with each of two sessions.
type hubThatEnds struct {
	fakeHub
	relay *fakeRelay
}

func (h *hubThatEnds) Revoke(string) (int, error) {
	h.relay.ended += 2
	return 2, nil
}

// TestUnkeptRevocation holds that the answer says what a revocation means, and that it
// is not written down.
func TestUnkeptRevocation(t *testing.T) {
	hub := new(fakeHub)
	cfg := testConfig(hub, new(fakeRelay))
	cfg.RevokeNote = func(user string) string { return "about " + user }
	server := httptest.NewServer(New(cfg))
	defer server.Close()
	for _, unkept := range []error{nil, errors.New("no space left on device")} {
		hub.unkept = unkept
		response, err := http.Post(server.URL+"/revoke", "application/json", strings.NewReader(`{"user":"anna"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var said struct {
			Sessions, Allocations int
			Note, Error           string
		}
		if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
			t.Fatal(err)
		}
		if said.Sessions != 1 || said.Allocations != 1 || said.Note != "about anna" {
			t.Errorf("%+v", said)
		}
		if unkept == nil && (response.StatusCode != http.StatusOK || said.Error != "") ||
			unkept != nil && (response.StatusCode != http.StatusInternalServerError || said.Error != "revoked: no space left on device") {
			t.Errorf("%d %+v", response.StatusCode, said)
		}
	}
}

func TestEventsShowWhoIsInACall(t *testing.T) {
	server, _, _ := newServer(t)
	response, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &s); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if len(s.Calls) != 2 || s.Calls[0].ID == s.Calls[1].ID || s.PeopleCount != 2 {
		t.Fatalf("calls %+v", s.Calls)
	}
	for _, c := range s.Calls {
		if c.Kind == "room" && (c.ID != "blue" || len(c.People) != 2 || c.People[0].Name != "Alice" || len(c.People[0].Relay) != 1) {
			t.Errorf("room %+v", c)
		}
		if c.Kind == "call" && (len(c.People) != 2 || c.People[1].Name != "petya") {
			t.Errorf("call %+v", c)
		}
	}
	if s.Relay.ToPeer != 1000 || s.Relay.Allocations["tls"] != 2 || s.RSS == 0 {
		t.Errorf("relay %+v, rss %d", s.Relay, s.RSS)
	}
}

// TestMetricsAreDocumented holds docs/metrics.md against what is served.
func TestMetricsAreDocumented(t *testing.T) {
	cfg := testConfig(new(fakeHub), new(fakeRelay))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector{&cfg})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	for _, f := range families {
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.Sort(labels)
		served = append(served, "| `"+f.GetName()+"` | "+strings.ToLower(f.GetType().String())+" | "+strings.Join(labels, ", ")+" | "+f.GetHelp()+" |")
	}
	if len(served) != len(everyDesc) {
		t.Errorf("%d metrics are served, %d are described: the fakes miss some", len(served), len(everyDesc))
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("(?m)^\\| `turnhub_.*$").FindAllString(string(page), -1)
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("docs/metrics.md should hold exactly these rows:\n%s", strings.Join(served, "\n"))
	}
}

// TestOthers holds that the console and the metrics of a server with several processes
// show all of them, and that an action is done in each or the answer says where not.
func TestOthers(t *testing.T) {
	cfg := testConfig(new(fakeHub), new(fakeRelay))
	other := testConfig(new(fakeHub), new(fakeRelay))
	report := other.Report(true)
	report.PID, report.Draining = 7, true
	text, err := json.Marshal(report) // as it comes from the other process
	if err != nil {
		t.Fatal(err)
	}
	var heard Report
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatal(err)
	}
	cfg.Others = func(bool) []Report { return []Report{heard} }
	cfg.Past = other.Counts
	var told []string
	var deaf error
	cfg.Tell = func(action, argument string) []Told {
		told = append(told, action+" "+argument)
		return []Told{{PID: 7, Outcome: Outcome{Sessions: 2, Allocations: 3, Ended: argument == "c_old"}, Err: deaf}}
	}
	server := httptest.NewServer(New(cfg))
	defer server.Close()
	get := func(path string) string {
		res, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	metrics := get("/metrics")
	for _, want := range []string{
		`turnhub_relay_allocations{family="ipv4",transport="tls"} 4`, // of the living
		`turnhub_relay_bytes_total{direction="to_peer",family="ipv4",transport="tls"} 3000`,
		`turnhub_relay_drops_total{reason="malformed"} 9`,
		`turnhub_hub_closed_total{code="rate"} 3`,
		`turnhub_port_connections_total{protocol="http"} 3`,
		`turnhub_web_credentials_total 3`,
		`turnhub_call_first_frame_seconds_count 3`,
		`turnhub_processes{state="serving"} 1`,
		`turnhub_processes{state="draining"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	var s state
	if err := json.Unmarshal([]byte(get("/state")), &s); err != nil {
		t.Fatal(err)
	}
	elsewhere := 0
	for _, c := range s.Calls {
		if c.Process == 7 {
			elsewhere++
		}
	}
	if len(s.Calls) != 4 || elsewhere != 2 || s.PeopleCount != 4 || len(s.Processes) != 2 || s.Processes[1].PID != 7 || s.Processes[1].Allocations != 2 {
		t.Errorf("%+v", s)
	}
	post := func(path, body string) (int, string) {
		res, err := http.Post(server.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	if status, body := post("/revoke", `{"user":"anna"}`); status != 200 || !strings.Contains(body, `"allocations":4`) || !strings.Contains(body, `"sessions":3`) {
		t.Error(status, body)
	}
	for call, want := range map[string]int{"c_1": 200, "c_old": 200, "c_none": 404} {
		if status, body := post("/end", `{"call":"`+call+`"}`); status != want {
			t.Error(call, status, body)
		}
	}
	deaf = errors.New("the process does not answer")
	if status, body := post("/revoke", `{"user":"anna"}`); status != http.StatusBadGateway || !strings.Contains(body, "process 7") || !strings.Contains(body, "kill") {
		t.Error(status, body)
	}
	if status, body := post("/end", `{"call":"c_none"}`); status != http.StatusBadGateway {
		t.Error(status, body)
	}
	if !slices.Contains(told, "revoke anna") || !slices.Contains(told, "end-call c_old") {
		t.Error(told)
	}
}

func TestErrorsKeepsTheLast(t *testing.T) {
	errors := NewErrors(slog.DiscardHandler)
	log := slog.New(errors).With("who", "test")
	log.Info("nothing")
	for range 3 {
		log.Warn("again", "remedy", "none")
	}
	for i := range maxErrors + 10 {
		log.Error("many", "n", i)
	}
	last := errors.Last()
	if len(last) != maxErrors || !strings.Contains(last[0].Message, "many who=test n=59") {
		t.Errorf("%d lines, the newest %+v", len(last), last[0])
	}
	errors = NewErrors(slog.DiscardHandler)
	log = slog.New(errors)
	log.Warn("again", "remedy", "none")
	log.Warn("again", "remedy", "none")
	if last := errors.Last(); len(last) != 1 || last[0].Count != 2 {
		t.Errorf("%+v", last)
	}
}

// TestDashboardAndAlertsUseRealMetrics finds names that nothing serves.
func TestDashboardAndAlertsUseRealMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"grafana-dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`turnhub_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) < 5 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if !strings.Contains(string(page), "| `"+strings.TrimSuffix(name, "_bucket")+"` |") {
				t.Errorf("%s uses %s, which does not exist", file, name)
			}
		}
	}
}
