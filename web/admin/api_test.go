package admin

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"turnhub/events"
	"turnhub/signaling"
	"turnhub/web"
)

// fakeStore has one of everything.
type fakeStore struct{ asked events.Query }

func (f *fakeStore) History(q events.Query) (events.Page, error) {
	f.asked = q
	if q.After == "wrong" {
		return events.Page{}, events.ErrCursor
	}
	who := events.Person{
		Session: "s_a", User: "anna", Name: "=HYPERLINK(1)", Seconds: 61.5, Reason: "leave", Path: "direct", Bytes: 5, Relayed: 6,
		Quality: &events.Quality{RTT: 0.1, Loss: 0.2, Bitrate: 3, FirstFrame: 4, Line: "narrow"},
	}
	at := time.Date(2026, 11, 28, 9, 30, 0, 0, time.UTC)
	row := func(typ string, data events.Data) events.Event {
		return events.Event{ID: "evt_1", Type: typ, Time: at, Node: "a", Data: data}
	}
	if q.After == "more" {
		return events.Page{Rows: []events.Event{row(events.CallMissed, events.Data{
			Call: &events.Call{ID: "c_2", Kind: "call"}, From: &events.Person{Session: "s_b", Name: "=1+1"}, To: "anna", Reason: "timeout", Seconds: 45,
		})}}, nil
	}
	return events.Page{Next: "more", Rows: []events.Event{
		row(events.CallEnded, events.Data{
			Call: &events.Call{ID: "c_1", Kind: "room", Room: "blue, fox"}, Person: &who, People: []events.Person{who, {Session: "s_b"}}, Others: 1,
			Reason: "leave", Seconds: 61.5, Path: "relay-tls", Bytes: 10, Relayed: 20,
		}),
		row(events.AllocationRefused, events.Data{Reason: "user", Relay: &events.Relaying{
			User: "anna", Session: "s_a", Address: "192.0.2.1", Transport: "udp", ToPeer: 1, ToClient: 2, Times: 3,
		}}),
	}}, nil
}

func (*fakeStore) Usage(from, to string, user *string) ([]events.Usage, bool, error) {
	return []events.Usage{{Day: from, User: "anna"}}, false, nil
}

func (*fakeStore) Webhooks() []events.Status {
	now := time.Now()
	return []events.Status{{Host: "example.org", Waiting: 1, Failures: 2, Failure: "it answers 500", Since: &now}, {Host: "example.net"}}
}

type fullHub struct{ fakeHub }

func (h *fullHub) Sessions() []signaling.SessionInfo {
	all := h.fakeHub.Sessions()
	all[0].Report = &signaling.Report{Path: "direct", RTT: 0.1}
	return all
}

func newAPI(t *testing.T, change func(*Config)) (*httptest.Server, *fakeStore) {
	store := new(fakeStore)
	hub := new(fullHub)
	cfg := testConfig(hub, new(fakeRelay))
	cfg.Store = func() Store { return store }
	cfg.Credentials = func(user string, ttl time.Duration) any {
		mint := func(user string, _ time.Time) (string, string) { return "1:" + user, "secret" }
		return web.NewRTCConfiguration([]string{"stun:a:1", "turn:a:1"}, mint, user, max(ttl, time.Hour))
	}
	if change != nil {
		change(&cfg)
	}
	server := httptest.NewServer(New(cfg))
	t.Cleanup(server.Close)
	return server, store
}

func call1(t *testing.T, method, url, body, token string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, text
}

// TestHistoryQuery: a day that is named last is in it.
func TestHistoryQuery(t *testing.T) {
	server, store := newAPI(t, nil)
	call1(t, "GET", server.URL+"/history?from=2026-11-01&to=2026-11-28&text=x&type=call.ended&limit=7&after=more", "", "")
	want := events.Query{
		From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC),
		Text: "x", Types: []string{"call.ended"}, Limit: 7, After: "more",
	}
	if got := store.asked; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestQueriesThatCannotBe are said to be wrong: nothing found would be taken for an answer.
func TestQueriesThatCannotBe(t *testing.T) {
	server, _ := newAPI(t, nil)
	for _, path := range []string{
		"/history?type=call.end", "/history?type=call.ended&type=", "/history?from=2026-11-28&to=2026-11-27", "/history.csv?type=call.began",
		"/history?from=2026-02-30", "/usage?from=2026-11-28&to=2026-11-27", "/usage?from=9999-12-31", "/usage?to=2026-11-28T09:30:00Z",
	} {
		if status, _, text := call1(t, "GET", server.URL+apiPath+path, "", ""); status != 400 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	for _, body := range []string{`{"user":"anna","tll":"1h"}`, `{"user":"anna"}{}`, `{"user":"anna"}}`, `["anna"]`, `{"user":"anna","ttl":3600}`} {
		if status, _, text := call1(t, "POST", server.URL+apiPath+"/credentials", body, ""); status != 400 {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

// TestCSV has all pages, and no cell that a spreadsheet takes for a formula.
func TestCSV(t *testing.T) {
	server, _ := newAPI(t, nil)
	status, header, text := call1(t, "GET", server.URL+"/history.csv", "", "")
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if status != 200 || err != nil || len(rows) != 4 || !strings.Contains(header.Get("Content-Disposition"), "turnhub-history.csv") {
		t.Fatalf("%d %v %q", status, err, text)
	}
	cell := func(row int, column string) string { return rows[row][slices.Index(csvHead, column)] }
	if cell(1, "room") != "blue, fox" || cell(1, "people") != "anna; s_b" || cell(1, "relayed") != "20" || cell(1, "time") != "2026-11-28T09:30:00.000Z" {
		t.Error(rows[1])
	}
	if cell(2, "address") != "192.0.2.1" || cell(2, "from") != "anna" || cell(2, "times") != "3" {
		t.Error(rows[2])
	}
	if cell(3, "from") != "'=1+1" || cell(3, "to") != "anna" || cell(3, "seconds") != "45.000" {
		t.Error(rows[3])
	}
	for cell, want := range map[string]string{
		"":                 "",
		"anna; boris":      "anna; boris",
		"a=1, b-2 @home":   "a=1, b-2 @home",
		" +1":              " '+1",
		"anna; =1+1":       "anna; '=1+1", // where semicolons separate cells it is one by itself
		"x;@SUM(A1);y\t-2": "x;'@SUM(A1);y\t'-2",
		"\uff1d1":          "'\uff1d1",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("%q: %q, want %q", cell, got, want)
		}
	}
}

// TestRunningUsage is of the allocations of the moment, by whose session they are, and
// asked for with today alone.
func TestRunningUsage(t *testing.T) {
	server, _ := newAPI(t, nil)
	for query, want := range map[string]string{
		"":                               `[{"user":"","allocations":1,"toPeer":7,"toClient":0}]`, // Alice has no user name
		"?user=":                         `[{"user":"","allocations":1,"toPeer":7,"toClient":0}]`,
		"?user=anna":                     `[]`,
		"?from=2020-01-01&to=2020-01-02": `[]`,
	} {
		status, _, text := call1(t, "GET", server.URL+apiPath+"/usage"+query, "", "")
		if status != 200 || !strings.Contains(string(text), `"running":`+want+`}`) {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
}

// TestNothingRemembered answers what the console and programs can tell people.
func TestNothingRemembered(t *testing.T) {
	server, _ := newAPI(t, func(c *Config) { c.Store = func() Store { return nil } })
	for _, path := range []string{"/history", "/history.csv", apiPath + "/usage", apiPath + "/webhooks"} {
		if status, _, text := call1(t, "GET", server.URL+path, "", ""); status != 503 || !strings.Contains(string(text), "events.history") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// TestToken: who is let in, by where a request comes from and what it brings.
func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := strings.Repeat("0123456789abcdef", 2)
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const here, there = "127.0.0.1:5000", "192.0.2.1:5000"
	ask := func(cfg Config, path, remote, host, bearer string) int {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr, r.Host = remote, host
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		w := httptest.NewRecorder()
		New(cfg).ServeHTTP(w, r)
		return w.Code
	}
	plain := testConfig(new(fakeHub), new(fakeRelay))
	plain.Logger = slog.New(slog.DiscardHandler)
	guarded := plain
	guarded.TokenFile = file
	missing := plain
	missing.TokenFile = file + "-none"
	for _, tc := range []struct {
		cfg                        Config
		path, remote, host, bearer string
		want                       int
	}{
		{plain, apiPath + "/calls", here, "127.0.0.1:9478", "", 200},
		{plain, apiPath + "/calls", "[::1]:5", "[::1]:9478", "", 200},
		{plain, apiPath + "/calls", there, "10.0.0.1:9478", "", 403},
		{plain, apiPath + "/calls", there, "10.0.0.1:9478", token, 403},
		{plain, apiPath + "/calls", here, "rebound.example", "", 403},
		{plain, "/state", there, "10.0.0.1:9478", "", 200}, // as ever, where a private address is chosen
		{guarded, apiPath + "/calls", here, "127.0.0.1:9478", "", 401},
		{guarded, apiPath + "/calls", here, "127.0.0.1:9478", token, 200},
		{guarded, apiPath + "/calls", there, "turnhub.internal:9478", token, 200},
		{guarded, apiPath + "/calls", there, "10.0.0.1:9478", token[1:], 401},
		{guarded, apiPath + "/calls", there, "10.0.0.1:9478", token + "0", 401},
		{guarded, "/state", here, "127.0.0.1:9478", "", 200},
		{guarded, "/state", there, "10.0.0.1:9478", "", 401},
		{guarded, "/metrics", there, "10.0.0.1:9478", "", 401},
		{guarded, "/metrics", there, "10.0.0.1:9478", token, 200},
		{guarded, "/history", there, "10.0.0.1:9478", "", 401},
		{guarded, "/healthz", there, "10.0.0.1:9478", "", 200},
		{guarded, "/metrics", there, "10.0.0.1:9478", " " + token, 200},
		{missing, apiPath + "/calls", here, "127.0.0.1:9478", token, 401},
	} {
		if got := ask(tc.cfg, tc.path, tc.remote, tc.host, tc.bearer); got != tc.want {
			t.Errorf("%s from %s at %s with %q: %d, want %d", tc.path, tc.remote, tc.host, tc.bearer, got, tc.want)
		}
	}
	// The scheme is one in any case of letters (RFC 9110, 11.1).
	for scheme, want := range map[string]int{"bearer ": 200, "BEARER ": 200, "Basic ": 401, "": 401, "Bearer": 401} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr, r.Host = there, "10.0.0.1:9478"
		r.Header.Set("Authorization", scheme+token)
		w := httptest.NewRecorder()
		if New(guarded).ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", scheme, w.Code, want)
		}
	}
	// A new token is good at once, the old one no longer.
	if err := os.WriteFile(file, []byte(strings.ToUpper(token)), 0o600); err != nil {
		t.Fatal(err)
	}
	if ask(guarded, "/metrics", there, "10.0.0.1:9478", token) != 401 || ask(guarded, "/metrics", there, "10.0.0.1:9478", strings.ToUpper(token)) != 200 {
		t.Error("the token of the start is kept")
	}
	for what, text := range map[string]string{"short": "abc", "empty": "", "two": token + "\n" + token} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadToken(file); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	if _, err := ReadToken(file + "-none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestPagesUseNoToken: what a page of another origin may not do, it may not do by the API.
func TestPagesUseNoToken(t *testing.T) {
	server, _ := newAPI(t, nil)
	for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		r, _ := http.NewRequest("POST", server.URL+apiPath+"/users/revoke", strings.NewReader(`{"user":"anna"}`))
		r.Header = http.Header{"Content-Type": {"application/json"}, name: {value}}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 403 {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
}
