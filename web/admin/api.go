package admin

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnhub/events"
	"turnhub/internal/access"
	"turnhub/internal/body"
	"turnhub/internal/probe"
	"turnhub/signaling"
	"turnhub/turnsrv"
)

// The API for programs. openapi.yaml describes it, and a test holds the two together.

//go:embed openapi.yaml
var openAPI []byte

// Store is what of the events is kept; nil methods there are none.
type Store interface {
	History(events.Query) (events.Page, error)
	Usage(from, to string, user *string) ([]events.Usage, bool, error)
	Webhooks() []events.Status
}

const apiPath = "/api/v1"

// route is one operation of the API.
type route struct {
	method, path string
	serve        http.HandlerFunc
}

func (c *console) routes() []route {
	return []route{
		{"GET", "/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(openAPI)
		}},
		{"POST", "/credentials", c.credentials},
		{"GET", "/calls", c.listCalls},
		{"POST", "/calls/end", c.end},
		{"GET", "/people", c.listPeople},
		{"POST", "/users/revoke", c.revoke},
		{"GET", "/usage", c.usage},
		{"GET", "/history", c.history},
		{"GET", "/history.csv", c.historyCSV},
		{"GET", "/webhooks", c.webhooks},
	}
}

// credentials makes an RTCConfiguration: {"user": name, "ttl": "1h"}.
func (c *console) credentials(w http.ResponseWriter, r *http.Request) {
	text, err := body.Read(w, r, 4096, c.bodyTime())
	if err != nil {
		fail(w, body.Status(err), err.Error())
		return
	}
	var asked struct {
		User string `json:"user"`
		TTL  string `json:"ttl"`
	}
	ttl := time.Duration(0)
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields() // a ttl that is misspelled would be the default
	if err = in.Decode(&asked); err == nil {
		if _, end := in.Token(); end != io.EOF {
			err = errors.New("something follows")
		}
	}
	if err == nil && asked.TTL != "" {
		ttl, err = time.ParseDuration(asked.TTL)
	}
	switch {
	case err != nil || !access.ValidUser(asked.User):
		fail(w, http.StatusBadRequest, `send {"user": "…", "ttl": "1h"}: a name of 1 to 64 of A-Z a-z 0-9 _ . @ - that does not begin with s_, and for how long; without ttl it is credentials.ttl`)
		return
	case ttl < 0 || ttl > maxCredentials || asked.TTL != "" && ttl < time.Minute:
		fail(w, http.StatusBadRequest, "ttl must be 1m to 8760h")
		return
	case c.cfg.Credentials == nil:
		fail(w, http.StatusNotFound, "this process has no credentials to give")
		return
	}
	answer(w, http.StatusOK, c.cfg.Credentials(asked.User, ttl))
}

const maxCredentials = 365 * 24 * time.Hour

func (c *console) listCalls(w http.ResponseWriter, _ *http.Request) {
	s := c.tables(MaxTableRows)
	rows := s.Calls[:min(len(s.Calls), MaxTableRows)]
	if rows == nil {
		rows = []call{}
	}
	answer(w, http.StatusOK, struct {
		Calls []call `json:"calls"`
		Count int    `json:"count"`
	}{rows, len(s.Calls)})
}

func (c *console) listPeople(w http.ResponseWriter, _ *http.Request) {
	s := c.tables(MaxTableRows)
	if s.People == nil {
		s.People = []person{}
	}
	answer(w, http.StatusOK, struct {
		People []person `json:"people"`
		Count  int      `json:"count"`
	}{s.People, s.PeopleCount})
}

// store returns what is kept of events, or answers that there is nothing.
func (c *console) store(w http.ResponseWriter) Store {
	if c.cfg.Store != nil {
		if s := c.cfg.Store(); s != nil {
			return s
		}
	}
	fail(w, http.StatusServiceUnavailable, "nothing is remembered here: events.history is 0s, or the log says why not")
	return nil
}

func (c *console) usage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	today := time.Now().UTC().Format(time.DateOnly)
	from, to := today, today
	for name, at := range map[string]*string{"from": &from, "to": &to} {
		if given := q.Get(name); given != "" {
			if _, err := time.Parse(time.DateOnly, given); err != nil {
				fail(w, http.StatusBadRequest, name+" must be a day (UTC), such as 2026-11-28")
				return
			}
			*at = given
		}
	}
	if from > to {
		fail(w, http.StatusBadRequest, "from is later than to: what is left out is today (UTC)")
		return
	}
	var user *string
	if q.Has("user") {
		one := q.Get("user")
		user = &one
	}
	store := c.store(w)
	if store == nil {
		return
	}
	rows, more, err := store.Usage(from, to, user)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	running := []runningUsage{}
	if from <= today && today <= to {
		running = c.running(user)
	}
	answer(w, http.StatusOK, struct {
		From    string         `json:"from"`
		To      string         `json:"to"`
		Rows    []events.Usage `json:"rows"`
		More    bool           `json:"more"`
		Running []runningUsage `json:"running"`
	}{from, to, rows, more, running})
}

// runningUsage is what the allocations of a user have relayed that there are now: they
// are in no day's usage before they end.
type runningUsage struct {
	User        string `json:"user"`
	Allocations int    `json:"allocations"`
	ToPeer      uint64 `json:"toPeer"`
	ToClient    uint64 `json:"toClient"`
}

// running adds up the allocations of all processes by user, or those of one user.
func (c *console) running(only *string) []runningUsage {
	sums := make(map[string]*runningUsage)
	count := func(sessions []signaling.SessionInfo, allocations []turnsrv.AllocationInfo) {
		users := make(map[string]string, len(sessions))
		for _, s := range sessions {
			users[s.ID] = s.User
		}
		for _, a := range allocations {
			user := a.User
			if strings.HasPrefix(user, signaling.SessionPrefix) {
				if user == probe.User {
					continue
				}
				user = users[user] // whose session has gone is nobody's that is known
			}
			if only != nil && user != *only {
				continue
			}
			u := sums[user]
			if u == nil {
				u = &runningUsage{User: user}
				sums[user] = u
			}
			u.Allocations++
			u.ToPeer += a.ToPeer.Bytes
			u.ToClient += a.ToClient.Bytes
		}
	}
	count(c.cfg.Hub.Sessions(), c.cfg.Relay.Allocations())
	for _, other := range c.cfg.reports(true) {
		if t := other.Tables; t != nil {
			count(t.Sessions, t.Allocations)
		}
	}
	list := make([]runningUsage, 0, len(sums))
	for _, user := range slices.Sorted(maps.Keys(sums)) {
		list = append(list, *sums[user])
	}
	return list[:min(len(list), events.MaxUsage)]
}

func (c *console) webhooks(w http.ResponseWriter, _ *http.Request) {
	if store := c.store(w); store != nil {
		answer(w, http.StatusOK, map[string][]events.Status{"webhooks": store.Webhooks()})
	}
}

func (c *console) history(w http.ResponseWriter, r *http.Request) {
	if _, _, page, ok := c.firstPage(w, r); ok {
		answer(w, http.StatusOK, page)
	}
}

// firstPage reads what a request asks of the history, and the first page of it. Where
// there is none it has answered why.
func (c *console) firstPage(w http.ResponseWriter, r *http.Request) (store Store, query events.Query, page events.Page, ok bool) {
	query, err := historyQuery(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if store = c.store(w); store == nil {
		return
	}
	page, err = store.History(query)
	switch {
	case errors.Is(err, events.ErrCursor):
		fail(w, http.StatusBadRequest, err.Error())
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error())
	default:
		ok = true
	}
	return
}

// historyQuery reads ?from, to, text, type (several times), after, limit.
func historyQuery(r *http.Request) (query events.Query, err error) {
	q := r.URL.Query()
	query = events.Query{Text: q.Get("text"), Types: q["type"], After: q.Get("after")}
	for _, typ := range query.Types {
		if !slices.Contains(events.Remembered, typ) {
			return query, errors.New("type must be one of " + strings.Join(events.Remembered, ", "))
		}
	}
	for name, at := range map[string]*time.Time{"from": &query.From, "to": &query.To} {
		given := q.Get(name)
		if given == "" {
			continue
		}
		if *at, err = time.Parse(time.RFC3339, given); err == nil {
			continue
		}
		if *at, err = time.Parse(time.DateOnly, given); err != nil {
			return query, errors.New(name + " must be a time such as 2026-11-28 or 2026-11-28T09:30:00Z")
		}
		if name == "to" {
			*at = at.Add(24 * time.Hour) // the whole day
		}
	}
	if !query.From.IsZero() && !query.To.IsZero() && !query.From.Before(query.To) {
		return query, errors.New("from must be before to")
	}
	if given := q.Get("limit"); given != "" {
		if query.Limit, err = strconv.Atoi(given); err != nil || query.Limit < 1 || query.Limit > events.MaxRows {
			return query, errors.New("limit must be 1 to " + strconv.Itoa(events.MaxRows))
		}
	}
	return query, nil
}
