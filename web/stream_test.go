package web

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestStream reads the first line while the second is still to come.
func TestStream(t *testing.T) {
	s := server(nil)
	web := httptest.NewServer(s)
	defer web.Close()
	response, err := http.Get(web.URL + "/check/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body := bufio.NewReader(response.Body)
	if line, err := body.ReadString('\n'); err != nil || line != "now\n" || body.Buffered() != 0 {
		t.Errorf("first came %q and %d bytes more, %v", line, body.Buffered(), err)
	}
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "a second later\n" {
		t.Errorf("then %q, %v", rest, err)
	}
	// Not more at once than are let.
	for range cap(s.streams) {
		s.streams <- struct{}{}
	}
	if w := get(s, "/check/stream"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", w.Code, w.Body)
	}
}
