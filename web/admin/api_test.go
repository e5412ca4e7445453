package admin

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"turnhub/events"
	"turnhub/signaling"
	"turnhub/web"
)

// schema is a part of OpenAPI's: as much as ours uses, and nothing else is in it.
type schema struct {
	Ref         string             `yaml:"$ref"`
	Type        string             `yaml:"type"`
	Properties  map[string]*schema `yaml:"properties"`
	Required    []string           `yaml:"required"`
	More        *bool              `yaml:"additionalProperties"`
	Items       *schema            `yaml:"items"`
	Enum        []string           `yaml:"enum"`
	Minimum     *float64           `yaml:"minimum"`
	Maximum     *float64           `yaml:"maximum"`
	Description string             `yaml:"description"`
}

type content map[string]struct {
	Schema *schema `yaml:"schema"`
}

type operation struct {
	Summary    string `yaml:"summary"`
	Parameters []struct {
		Name        string  `yaml:"name"`
		In          string  `yaml:"in"`
		Schema      *schema `yaml:"schema"`
		Description string  `yaml:"description"`
	} `yaml:"parameters"`
	RequestBody *struct {
		Required bool    `yaml:"required"`
		Content  content `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]response `yaml:"responses"`
}

type response struct {
	Ref         string  `yaml:"$ref"`
	Description string  `yaml:"description"`
	Content     content `yaml:"content"`
}

type description struct {
	OpenAPI    string                           `yaml:"openapi"`
	Info       map[string]string                `yaml:"info"`
	Servers    []map[string]string              `yaml:"servers"`
	Security   []map[string][]string            `yaml:"security"`
	Paths      map[string]map[string]*operation `yaml:"paths"`
	Components struct {
		SecuritySchemes map[string]map[string]string `yaml:"securitySchemes"`
		Responses       map[string]response          `yaml:"responses"`
		Schemas         map[string]*schema           `yaml:"schemas"`
	} `yaml:"components"`
}

func readDescription(t *testing.T) *description {
	d := new(description)
	decoder := yaml.NewDecoder(strings.NewReader(string(openAPI)))
	decoder.KnownFields(true) // a word that this test does not understand holds nothing
	if err := decoder.Decode(d); err != nil {
		t.Fatal(err)
	}
	return d
}

// fits reports what of a JSON value a schema does not say.
func (d *description) fits(s *schema, value any, at string) error {
	if s == nil {
		return fmt.Errorf("%s: no schema", at)
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.fits(d.Components.Schemas[name], value, at)
	}
	wrong := fmt.Errorf("%s: %v is no %s", at, value, s.Type)
	switch s.Type {
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return wrong
		}
		if s.More == nil && at != "" {
			return fmt.Errorf("%s: it is not said whether there may be more", at)
		}
		for _, name := range s.Required {
			if _, there := object[name]; !there {
				return fmt.Errorf("%s: %s is missing", at, name)
			}
		}
		for name, v := range object {
			if s.Properties[name] == nil {
				if s.More != nil && *s.More {
					continue
				}
				return fmt.Errorf("%s: %s is not described", at, name)
			}
			if err := d.fits(s.Properties[name], v, at+"."+name); err != nil {
				return err
			}
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrong
		}
		for i, v := range list {
			if err := d.fits(s.Items, v, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "string":
		text, ok := value.(string)
		if !ok || s.Enum != nil && !slices.Contains(s.Enum, text) {
			return wrong
		}
	case "integer":
		if n, ok := value.(float64); !ok || n != float64(int64(n)) {
			return wrong
		}
	case "number":
		if _, ok := value.(float64); !ok {
			return wrong
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong
		}
	default:
		return fmt.Errorf("%s: the type %q", at, s.Type)
	}
	return nil
}

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

// TestOpenAPI holds the description against the code: the same operations, and every
// answer, good or bad, of the described form and nothing beyond it.
func TestOpenAPI(t *testing.T) {
	d := readDescription(t)
	var described, served []string
	for path, operations := range d.Paths {
		for method := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range (&console{}).routes() {
		served = append(served, r.method+" "+r.path)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Fatalf("described %v\nserved %v", described, served)
	}

	server, _ := newAPI(t, nil)
	tried := make(map[string]bool)
	for _, tc := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/openapi.yaml", "", 200},
		{"POST", "/credentials", `{"user":"anna","ttl":"90m"}`, 200},
		{"POST", "/credentials", `{"user":"s_a"}`, 400},
		{"POST", "/credentials", `{"user":"anna","ttl":"9000h"}`, 400},
		{"POST", "/credentials", `{"user":"anna","ttl":"soon"}`, 400},
		{"POST", "/credentials", `{"user":"anna","ttl":"-1h"}`, 400},
		{"POST", "/credentials", `[]`, 400},
		{"POST", "/credentials", `{"user":"` + strings.Repeat("a", 5000) + `"}`, 413},
		{"GET", "/calls", "", 200},
		{"POST", "/calls/end", `{"call":"c_1"}`, 200},
		{"POST", "/calls/end", `{"call":"c_none"}`, 404},
		{"POST", "/calls/end", `{}`, 400},
		{"GET", "/people", "", 200},
		{"POST", "/users/revoke", `{"user":"anna"}`, 200},
		{"POST", "/users/revoke", `{}`, 400},
		{"GET", "/usage?from=2026-11-01&to=2026-11-30&user=anna", "", 200},
		{"GET", "/usage", "", 200},
		{"GET", "/usage?from=yesterday", "", 400},
		{"GET", "/history?from=2026-11-01&to=2026-11-28T10:00:00Z&text=a&type=call.ended&type=call.missed&limit=5", "", 200},
		{"GET", "/history?after=more", "", 200},
		{"GET", "/history?after=wrong", "", 400},
		{"GET", "/history?limit=0", "", 400},
		{"GET", "/history?limit=1001", "", 400},
		{"GET", "/history?from=x", "", 400},
		{"GET", "/history.csv", "", 200},
		{"GET", "/webhooks", "", 200},
	} {
		path, _, _ := strings.Cut(tc.path, "?")
		tried[tc.method+" "+path] = true
		op := d.Paths[path][strings.ToLower(tc.method)]
		if tc.body != "" && tc.status == 200 {
			var sent any
			if json.Unmarshal([]byte(tc.body), &sent) != nil || d.fits(op.RequestBody.Content["application/json"].Schema, sent, "request") != nil {
				t.Errorf("%s %s: %s is not described", tc.method, tc.path, tc.body)
			}
		}
		for _, parameter := range regexp.MustCompile(`[?&](\w+)=`).FindAllStringSubmatch(tc.path, -1) {
			if !slices.ContainsFunc(op.Parameters, func(p struct {
				Name        string  `yaml:"name"`
				In          string  `yaml:"in"`
				Schema      *schema `yaml:"schema"`
				Description string  `yaml:"description"`
			}) bool {
				return p.Name == parameter[1] && p.In == "query"
			}) {
				t.Errorf("%s: the parameter %s is not described", tc.path, parameter[1])
			}
		}
		status, header, text := call1(t, tc.method, server.URL+apiPath+tc.path, tc.body, "")
		if status != tc.status {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, status, text)
			continue
		}
		said, known := op.Responses[fmt.Sprint(status)]
		if !known {
			said = op.Responses["default"]
		}
		if name, ok := strings.CutPrefix(said.Ref, "#/components/responses/"); ok {
			said = d.Components.Responses[name]
		}
		kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
		form, known := said.Content[kind]
		if !known {
			t.Errorf("%s %s: %d as %q is not described", tc.method, tc.path, status, kind)
			continue
		}
		if kind != "application/json" {
			continue
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.path, err)
		} else if err := d.fits(form.Schema, value, "answer"); err != nil {
			t.Errorf("%s %s: %v in %s", tc.method, tc.path, err, text)
		}
	}
	for _, one := range served {
		if !tried[one] {
			t.Errorf("%s is not tried", one)
		}
	}
	for path, operations := range d.Paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			if operations[strings.ToLower(method)] != nil {
				continue
			}
			status, header, text := call1(t, method, server.URL+apiPath+path, "{}", "")
			var said map[string]string
			allow := header.Get("Allow")
			if json.Unmarshal(text, &said) != nil || status != 405 || said["error"] == "" || allow == "" || operations[strings.ToLower(allow)] == nil {
				t.Errorf("%s %s: %d, Allow %q, %s", method, path, status, allow, text)
			}
		}
	}
	if status, _, _ := call1(t, "GET", server.URL+"/api/v2/calls", "", ""); status != 404 {
		t.Error(status)
	}
}

// TestDescribedEvents: what the API says of events is what docs and webhooks say, too.
func TestDescribedEvents(t *testing.T) {
	d := readDescription(t)
	types := slices.Clone(d.Components.Schemas["event"].Properties["type"].Enum)
	if want := append(slices.Clone(events.Types), events.Test); !slices.Equal(types, want) {
		t.Errorf("%v, want %v", types, want)
	}
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
