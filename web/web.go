// Package web is everything that turnhub serves over HTTP: the credentials
// (/config, /turn), the pages, the client library, health, and the way to the
// signaling dialects, which it only mounts.
package web

import (
	"context"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/assets"
	"turnhub/internal/forwarded"
	"turnhub/internal/netaddr"
)

// Config is what New needs. Handlers that are nil are not served.
type Config struct {
	// Mint returns the TURN username and password of a user that open
	// allocations until expires.
	Mint func(user string, expires time.Time) (username, password string)
	// URLs returns the STUN and TURN URLs that work for somebody who has come by a port
	// (0: it is not known), the best first.
	URLs func(port uint16) []string
	// Place finds the node of a room, or with an empty name what to know of the others; nil:
	// this server is alone.
	Place func(ctx context.Context, room string) Placement
	// Range says for "ipv4" and "ipv6" whether the relay's ports are "open" to packets
	// from outside or "closed"; nil: nothing is said.
	Range func() map[string]string
	// Health returns what is wrong with the process, and Ready what keeps it
	// from serving calls; empty: nothing.
	Health, Ready func() []string
	// URLStates returns what is known about each URL, for /readyz; may be nil.
	URLStates func() []URLState

	// Access checks tokens; nil is access.mode open.
	Access *access.Verifier
	// Proxies are trusted reverse proxies; nil: none.
	Proxies *forwarded.Proxies
	// Gateway may ask for more than another address; nil: there is none.
	Gateway *netaddr.Gateway

	// Mounts are the hub and its dialects.
	Mounts []Mount

	// PublicPath is where a reverse proxy serves all of this below, such as /calls,
	// whether it takes that off or not; empty: at the root.
	PublicPath string

	// Privacy is what /privacy tells at first, see SetPrivacy.
	Privacy Privacy

	// Secure says that TLS is on: pages asked for in plain HTTP from elsewhere
	// are sent to https on the same port, since a browser gives no camera to a
	// page without it.
	Secure bool
	// HSTS says that the certificate is one that browsers trust, so that they
	// may be told to insist on it.
	HSTS bool

	Logger *slog.Logger
}

// Settings are what a reload may change.
type Settings struct {
	TTL            time.Duration // of credentials
	AllowedOrigins []string      // see access.AllowOrigin
	EmbedOrigins   []string      // of the pages that may show the call page, see embeddable
	RatePerPrefix  float64       // credentials per second for one household, see rateLimit
}

// Server is the handler of every universal port.
type Server struct {
	cfg          Config
	settings     atomic.Pointer[Settings]
	rate         *rateLimit
	streams      chan struct{} // those that wait, see stream
	quiets       chan struct{} // those that are open, see quiet
	quietFor     time.Duration // how long each is, quietTime
	mux          *http.ServeMux
	site         *assets.Set
	wrong        map[string]*template.Template // the page of errors in each language
	privacyPages map[string]*template.Template // likewise
	private      atomic.Pointer[Privacy]
	requests     requestLog
	stats        stats
}

// New returns the server.
func New(cfg Config, settings Settings) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux(), rate: newRateLimit(), streams: make(chan struct{}, streamsAtOnce),
		quiets: make(chan struct{}, quietAtOnce), quietFor: quietTime, requests: newRequestLog(cfg.Logger, cfg.Proxies)}
	s.site = site()
	if cfg.PublicPath != "" {
		s.site = s.site.Below(cfg.PublicPath)
	}
	s.wrong = errorPages(s.site)
	s.privacyPages = privacyPages(s.site)
	s.SetPrivacy(cfg.Privacy)
	s.SetSettings(settings)
	s.routes()
	return s
}

// SetSettings replaces the settings, as on a reload.
func (s *Server) SetSettings(settings Settings) { s.settings.Store(&settings) }

// elsewhere is the pattern of what no other route takes.
const elsewhere = "/"

func (s *Server) routes() {
	for _, path := range []string{"/config", "/turn"} {
		h := http.HandlerFunc(s.config)
		if path == "/turn" {
			h = s.turn
		}
		s.mux.Handle("GET "+path, s.cors(s.limited(h)))
		s.mux.Handle("OPTIONS "+path, s.cors(nil))
	}
	s.mux.Handle("POST /invitation", s.cors(s.limited(http.HandlerFunc(s.invitation))))
	s.mux.Handle("OPTIONS /invitation", s.cors(nil))
	for _, m := range s.cfg.Mounts {
		for _, pattern := range m.Patterns {
			s.mux.Handle(pattern, m.Handler)
		}
	}
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { Health(w, s.cfg.Health) })
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { Readiness(w, s.cfg.Ready, s.cfg.URLStates) })
	page := func(name string) http.Handler { return s.page(s.admit(s.pageFile(name))) }
	s.mux.Handle("GET /{$}", s.page(s.embeddable(s.admit(runsOpus(s.pageFile("static/index.html"))))))
	s.mux.Handle("GET /check", page("static/check.html"))
	s.mux.Handle("GET /privacy", s.page(http.HandlerFunc(s.privacy)))
	s.mux.Handle("GET /check/stream", s.limited(http.HandlerFunc(s.stream)))
	s.mux.Handle("GET /check/quiet", s.limited(http.HandlerFunc(s.quiet)))
	s.mux.Handle(elsewhere, s.asset(http.HandlerFunc(s.files)))
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := s.requests.begin(w, r)
	defer s.requests.end(answer, r)
	s.serve(answer, r)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	r.Host = s.cfg.Proxies.Host(r) // from here on it is what the person knows
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if s.cfg.HSTS && r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if s.rooted(w, r) {
		return
	}
	if forPeople(r) {
		if s.moved(w, r) {
			return
		}
		page := &errorWriter{ResponseWriter: w, site: s}
		defer page.finish(r)
		w = page
	}
	if h := s.mounted(r); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// page wraps an HTML page: in plain HTTP from elsewhere it is a redirection.
func (s *Server) page(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Secure && !s.cfg.Proxies.Secure(r) && !loopbackHost(r.Host) && r.Host != "" {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, "https://"+r.Host+s.cfg.PublicPath+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		securityHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

// runsOpus allows the call page WebAssembly: libopus, where a browser has no coder of
// sound for scripts.
func runsOpus(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowWebAssembly(w.Header())
		page.ServeHTTP(w, r)
	})
}

// allowWebAssembly lets a page or worker compile WebAssembly; scripts that are made of
// text stay forbidden.
func allowWebAssembly(h http.Header) {
	h.Set(policyName, strings.Replace(h.Get(policyName), "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", 1))
}

// admit asks for an access token where access.mode says so.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.cfg.Access.Verify(r); err != nil {
			access.Deny(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) asset(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, "method", "this path is only read: ask with GET")
			return
		}
		securityHeaders(w.Header())
		if strings.HasPrefix(r.URL.Path, "/client/") { // a library: pages of other origins import it
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		}
		next.ServeHTTP(w, r)
	})
}

const policyName = "Content-Security-Policy"

// again is the script within pages that asks for their files again.
const again = "static/again.js"

// policy allows a page its own files, the script within it, and nothing else.
var policy = sync.OnceValue(func() string {
	return "default-src 'none'; script-src 'self' " + site().InlineSource(again) + "; style-src 'self'; img-src 'self' data: blob:; " +
		"media-src 'self' blob:; connect-src 'self' ws: wss:; manifest-src 'self'; worker-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

func securityHeaders(h http.Header) {
	h.Set(policyName, policy())
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), autoplay=(self)")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// cors answers preflights, refuses pages of foreign origins, and lets the others
// read the answer.
func (s *Server) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		allowed := s.settings.Load().AllowedOrigins
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" {
			h.Set("Access-Control-Allow-Origin", origin) // also of a refusal: the page's author reads why
		}
		if !access.AllowOrigin(r, allowed) {
			fail(w, http.StatusForbidden, "origin", "pages of "+r.Header.Get("Origin")+" may not use this server: the operator adds the origin to access.allowed_origins")
			return
		}
		if next != nil {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	})
}

// limited bounds the requests of one household and of its wider network.
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _ := s.cfg.Proxies.ClientAddress(r)
		if over := s.rate.allow(client.Addr(), s.settings.Load().RatePerPrefix*float64(s.cfg.Gateway.Times(client.Addr()))); over != netaddr.Within {
			if over == netaddr.OverNetwork {
				s.stats.limitedNetwork.Add(1)
			} else {
				s.stats.limited.Add(1)
			}
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusTooManyRequests, "rate", "too many requests from your network: wait a second and ask again")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Health answers 200, or 503 with what is wrong.
func Health(w http.ResponseWriter, check func() []string) {
	var wrong []string
	if check != nil {
		wrong = check()
	}
	if len(wrong) > 0 {
		reply(w, http.StatusServiceUnavailable, map[string]any{"status": "failing", "reasons": wrong})
		return
	}
	reply(w, http.StatusOK, map[string]any{"status": "ok", "reasons": []string{}})
}

// URLState is how a URL fared when the server last tried it.
type URLState struct {
	URL string `json:"url"`
	// State is "works", or the stage at which it failed: dns, connect, tls, …
	State string `json:"state"`
}

// Readiness is Health with the state of each URL: some may fail while calls work.
// It says at which stage, and leaves addresses and remedies to the log.
func Readiness(w http.ResponseWriter, check func() []string, urls func() []URLState) {
	wrong := []string{}
	if check != nil {
		wrong = append(wrong, check()...)
	}
	states := []URLState{}
	if urls != nil {
		states = append(states, urls()...)
	}
	status, word := http.StatusOK, "ok"
	if len(wrong) > 0 {
		status, word = http.StatusServiceUnavailable, "failing"
	}
	reply(w, status, map[string]any{"status": word, "reasons": wrong, "urls": states})
}

// reply writes a JSON answer that nobody keeps.
func reply(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.Encode(body)
}

// fail writes an error in the form of package access.
func fail(w http.ResponseWriter, status int, code, message string) {
	reply(w, status, map[string]string{"error": code, "message": message})
}

// Stats counts requests.
type Stats struct {
	Credentials    uint64 // handed out by /config and /turn
	Limited        uint64 // refused by the rate limit of the household
	LimitedNetwork uint64 // refused by that of its wider network
	Unproved       uint64 // refused because no URL works
	Invitations    uint64 // made by /invitation
	EmbedsRefused  uint64 // iframes of pages that access.embed_origins does not name
}

type stats struct {
	credentials, limited, limitedNetwork, unproved, invitations, embedsRefused atomic.Uint64
}

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	return Stats{s.stats.credentials.Load(), s.stats.limited.Load(), s.stats.limitedNetwork.Load(), s.stats.unproved.Load(),
		s.stats.invitations.Load(), s.stats.embedsRefused.Load()}
}

// loopbackHost reports whether a browser on the same machine asked: loopback is
// a secure context without TLS.
func loopbackHost(host string) bool {
	name := host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name = host[:i]
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}
