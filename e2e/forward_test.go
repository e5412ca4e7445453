package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestForwardToNginx has turnhub in front of Debian's nginx: TLS for its names is its
// own, with the client's address by the PROXY protocol, and so are the challenges of
// its certificate authority by plain HTTP; turnhub's own name is turnhub's.
func TestForwardToNginx(t *testing.T) {
	t.Parallel()
	path := program(t, "nginx", "nginx-light")
	secure, plain := freePort(t), freePort(t)
	s := start(t, map[string]map[string]any{"listen": {"forward": []map[string]any{
		{"host": "*.example.org", "to": fmt.Sprint("127.0.0.1:", secure), "http": fmt.Sprint("127.0.0.1:", plain), "proxy_protocol": "v2"},
	}}})
	own, dir := s.directory(t), t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, fmt.Sprintf(`
worker_processes 1; pid %[1]s/pid; error_log stderr; daemon off; master_process off;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen 127.0.0.1:%[2]d ssl proxy_protocol; ssl_certificate %[4]s/cert.pem; ssl_certificate_key %[4]s/key.pem;
		location / { return 200 "nginx; $host; $proxy_protocol_addr"; } }
	server { listen 127.0.0.1:%[3]d;
		location / { return 200 "nginx; $host; $http_x_forwarded_for"; } }
}`, dir, secure, plain, own))
	run(t, []int{secure, plain}, path, "-p", dir, "-e", "stderr", "-c", file)

	if got, err := get(t, s, "127.0.0.9", "www.example.org", s.port, "/"); err != nil || got != "nginx; www.example.org; 127.0.0.9" {
		t.Errorf("TLS by name: %q, %v", got, err)
	}
	if got, err := get(t, s, "127.0.0.9", "localhost", s.port, "/config"); err != nil || !strings.Contains(got, `"client":"127.0.0.9"`) {
		t.Errorf("our own name: %q, %v", got, err)
	}
	if got := mapped(t, s, "127.0.0.9", s.port); got != "127.0.0.9" {
		t.Errorf("without a name STUN says %q", got)
	}
	challenge := func() string {
		client := &http.Client{Transport: &http.Transport{DialContext: as("127.0.0.9").DialContext, DisableKeepAlives: true}}
		r, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/.well-known/acme-challenge/x", s.port), nil)
		r.Host = "shop.example.org"
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	if got := challenge(); got != "nginx; shop.example.org; 127.0.0.9" {
		t.Errorf("plain HTTP by name: %q", got)
	}

	// A stranger's PROXY header is no way to be somebody else there either.
	raw, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	fmt.Fprint(raw, "PROXY TCP4 8.8.8.8 127.0.0.1 5000 443\r\n")
	if n, err := raw.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a stranger's header is answered")
	}
}
