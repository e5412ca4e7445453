package web

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"turnhub/internal/forwarded"
)

func TestRequestsAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := New(Config{
		Mounts: []Mount{
			{Patterns: []string{"GET /ws"}, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
			})},
			{Patterns: []string{"/relay/{channel...}"}, Handler: http.NotFoundHandler()},
		},
		Proxies: forwarded.New([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, nil),
		Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, Settings{})
	ask := func(path, from, id string) (string, string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = from
		if id != "" {
			r.Header.Set(RequestID, id)
		}
		w := httptest.NewRecorder()
		log.Reset()
		s.ServeHTTP(w, r)
		return w.Header().Get(RequestID), log.String()
	}
	first, line := ask("/healthz", "198.51.100.7:1234", "made-up")
	if first == "" || first == "made-up" {
		t.Errorf("a stranger's id is taken: %q", first)
	}
	for _, part := range []string{"level=DEBUG msg=request", "client=198.51.100.7", "status=200", "method=GET", `route="GET /healthz"`, "request=" + first} {
		if !strings.Contains(line, part) {
			t.Errorf("no %s in %s", part, line)
		}
	}
	if id, _ := ask("/healthz", "192.0.2.1:1", "from-the-proxy"); id != "from-the-proxy" {
		t.Errorf("a proxy's id has become %q", id)
	}
	for _, bad := range []string{"two words", "line\nbreak", strings.Repeat("x", 65)} {
		if id, _ := ask("/healthz", "192.0.2.1:1", bad); id == bad || id == first {
			t.Errorf("%q is taken as an id", bad)
		}
	}
	if _, line := ask("/relay/channel-that-nobody-guesses?token=secret", "198.51.100.7:1", ""); strings.Contains(line, "guesses") || strings.Contains(line, "secret") {
		t.Errorf("the log tells %s", line)
	}
	refused := 0
	for i := range 100 {
		_, line := ask("/ws", fmt.Sprintf("203.0.113.9:%d", 1+i), "")
		if strings.Contains(line, `level=INFO msg="request refused" client=203.0.113.9 status=401`) {
			refused++
		}
	}
	if refused < 1 || refused > 10 {
		t.Errorf("%d lines above debug about 100 refusals", refused)
	}
}
