package web

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"turnhub/internal/forwarded"
	"turnhub/internal/ratelimit"
)

// RequestID is the header by which a request is found in the log: that of a
// trusted proxy, or one of our own. It stands in the answer, where handlers find
// it too.
const RequestID = "X-Request-Id"

// requestLog gives each request its id and its line: of level debug, or info
// where the request was refused.
type requestLog struct {
	log     *slog.Logger
	proxies *forwarded.Proxies
	process string // tells the ids of one run from those of the next
	count   *atomic.Uint64
	refused *ratelimit.Lines
}

func newRequestLog(log *slog.Logger, proxies *forwarded.Proxies) requestLog {
	return requestLog{
		log: log, proxies: proxies, process: rand.Text()[:6] + "-",
		count: new(atomic.Uint64), refused: new(ratelimit.Lines),
	}
}

// begin returns a writer that notes what is answered.
func (l *requestLog) begin(w http.ResponseWriter, r *http.Request) *answer {
	a := &answer{ResponseWriter: w, began: time.Now()}
	a.client, _ = l.proxies.ClientAddress(r)
	if id := r.Header.Get(RequestID); l.proxies.From(r) && validID(id) {
		a.id = id
	} else {
		a.id = l.process + strconv.FormatUint(l.count.Add(1), 36)
	}
	w.Header().Set(RequestID, a.id)
	return a
}

// end writes the line. It names the route and not the path, which may hold a
// token or the name of a room.
func (l *requestLog) end(a *answer, r *http.Request) {
	level, what := slog.LevelDebug, "request"
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		if l.refused.Due(a.client.Addr()) {
			level, what = slog.LevelInfo, "request refused"
		}
	}
	if !l.log.Enabled(r.Context(), level) {
		return
	}
	l.log.LogAttrs(r.Context(), level, what, slog.String("client", a.client.Addr().String()),
		slog.Int("status", cmp.Or(a.status, http.StatusOK)), slog.String("method", r.Method), slog.String("route", cmp.Or(r.Pattern, "other")),
		slog.Duration("took", time.Since(a.began).Round(time.Microsecond)), slog.String("request", a.id))
}

// validID reports whether a proxy's id may stand in the log: 1 to 64 letters,
// digits and dashes.
func validID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return 1 <= len(id) && len(id) <= 64
}

// answer is a ResponseWriter that remembers the status.
type answer struct {
	http.ResponseWriter
	id     string
	client netip.AddrPort
	began  time.Time
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 || a.status == http.StatusEarlyHints {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Hijack implements http.Hijacker: WebSockets.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}
