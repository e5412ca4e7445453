// Package admin is the operator's side of a running server: metrics, health,
// profiles, and the console. It is meant for loopback, since it asks for no
// password, and answers nobody who came by way of a web page.
package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"turnhub/cluster"
	"turnhub/events"
	"turnhub/internal/portmux"
	"turnhub/push"
	"turnhub/signaling"
	"turnhub/signaling/media"
	"turnhub/turnsrv"
	"turnhub/web"
)

// Relay is what the console and the metrics need of the relay.
type Relay interface {
	Stats() turnsrv.Stats
	Allocations() []turnsrv.AllocationInfo
	Revoke(user string) int
}

// Hub is what they need of the signaling hub.
type Hub interface {
	Stats() signaling.Stats
	Sessions() []signaling.SessionInfo
	Calls() []signaling.CallInfo
	// Revoke ends a session, or what a user has. With an error that is done, but does
	// not outlast a restart.
	Revoke(user string) (int, error)
	EndCall(id string) bool
}

// Probe is the state of one URL that the server proves to itself.
type Probe struct {
	URL              string        `json:"url"`
	Proved           bool          `json:"proved"`
	Since            time.Time     `json:"since"`
	Latency          time.Duration `json:"-"`
	Failure          string        `json:"failure,omitempty"` // what is wrong and what to do
	Passes, Failures uint64        `json:"-"`
}

// Config is what New needs. All members but Logger, Range and those about other processes
// are required.
type Config struct {
	Version     string
	Driver      string // of the relay
	Kernel      string // how packets pass inside the kernel, see turnsrv.Server.KernelAttachment; empty: not
	Relay       Relay
	Hub         Hub
	Media       func() media.Stats // of media through WebSockets; nil: there are none
	Probes      func() []Probe
	Ports       func() portmux.Stats
	Web         func() web.Stats
	Certificate func() time.Time // when it expires; the zero time without TLS
	// Range says for "ipv4" and "ipv6" whether the relay's ports are "open" to packets
	// from outside or "closed"; nil: nothing is said.
	Range  func() map[string]string
	Health http.Handler // serves /healthz and /readyz
	Errors *Errors      // the last warnings and errors of the log
	Logger *slog.Logger

	// Others asks the other processes of this server for their reports; nil: there
	// are none.
	Others func(tables bool) []Report
	// Past are the counts of processes that have ended; nil: there were none.
	Past func() Counts
	// Tell has the other processes do an action of the operator.
	Tell func(action, argument string) []Told

	// Nodes are those of the cluster, this one with them; nil: there is none.
	Nodes func() []Node
	// Cluster are its counters; nil: there is none.
	Cluster func() cluster.Stats

	// TokenFile is listen.admin_token_file; empty: there is none.
	TokenFile string
	// Credentials makes an RTCConfiguration for a user; ttl 0 is the usual. Nil: it cannot.
	Credentials func(user string, ttl time.Duration) any
	// Store is what is kept of events, nil while there is none here. It may be nil itself.
	Store func() Store
	// Events are the counters of events; nil: there are none.
	Events func() events.Stats
	// Push are those of push; nil: there are none.
	Push func() push.Stats

	// Drain begins to empty and end this server, and returns how many sessions it has.
	Drain func() int

	// RevokeNote says what a revocation of that user or session means, and what it
	// does not keep out; nil: nothing is said.
	RevokeNote func(user string) string

	bodyTime time.Duration // for a body; 0: the usual; tests set it
}

// New returns the handler of the admin listener.
func New(cfg Config) http.Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{&cfg}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.Handle("GET /healthz", cfg.Health)
	mux.Handle("GET /readyz", cfg.Health)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)

	console := &console{cfg: &cfg, started: time.Now(), seats: make(chan struct{}, maxWatchers)}
	mux.HandleFunc("GET /", newPages().serve)
	mux.HandleFunc("GET /state", console.state)
	mux.HandleFunc("GET /events", console.events)
	mux.HandleFunc("POST /revoke", console.revoke)
	mux.HandleFunc("POST /end", console.end)
	mux.HandleFunc("POST /drain", console.drain)
	mux.HandleFunc("GET /history", console.history)
	mux.HandleFunc("GET /history.csv", console.historyCSV)
	methods := make(map[string][]string) // by path
	for _, r := range console.routes() {
		mux.HandleFunc(r.method+" "+apiPath+r.path, r.serve)
		methods[apiPath+r.path] = append(methods[apiPath+r.path], r.method)
	}
	// Every answer of the API is one that its description has, those to mistakes too.
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		mux.HandleFunc(method+" /api/", func(w http.ResponseWriter, r *http.Request) {
			if allowed := methods[r.URL.Path]; allowed != nil {
				w.Header().Set("Allow", strings.Join(allowed, ", "))
				fail(w, http.StatusMethodNotAllowed, "this operation is "+strings.Join(allowed, " or ")+" "+r.URL.Path)
				return
			}
			fail(w, http.StatusNotFound, "the API has no such operation: GET "+apiPath+"/openapi.yaml lists them")
		})
	}
	return guard(mux, &cfg)
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}
