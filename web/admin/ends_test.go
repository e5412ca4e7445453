package admin

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// No request keeps its connection by a body that does not come.
func TestBodiesEnd(t *testing.T) {
	cfg := testConfig(new(fakeHub), new(fakeRelay))
	cfg.bodyTime = 300 * time.Millisecond
	server := httptest.NewUnstartedServer(New(cfg))
	server.Config.IdleTimeout = 300 * time.Millisecond
	server.Start()
	defer server.Close()
	var all sync.WaitGroup
	for _, method := range []string{"GET", "POST", "PUT"} {
		for _, path := range []string{"/", "/state", "/revoke", "/end", "/metrics", "/healthz", "/debug/pprof/cmdline", "/debug/pprof/", "/nothing"} {
			for _, body := range []string{"Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"} {
				all.Go(func() {
					conn, err := net.Dial("tcp", server.Listener.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
					fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s", method, path, body)
					_, err = io.Copy(io.Discard, conn)
					if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
						t.Errorf("%s %s %q is open after 20 s", method, path, body)
					}
				})
			}
		}
	}
	all.Wait()
}
