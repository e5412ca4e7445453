package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pebbleModule is Let's Encrypt's test server, as internal/certs has it.
const pebbleModule = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"

// TestImageCertificate starts the image as docs/containers.md says, with three ports and a
// name: it gets its certificate through the published ports, by each challenge alone, with
// the configuration that is in it, and people who trust the authority get through.
func TestImageCertificate(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 (make soak) runs this: it builds Pebble")
	}
	dir := t.TempDir()
	install := exec.Command("go", "install", pebbleModule)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("Pebble was NOT TRIED: %v: %s", err, output)
	}
	for challenge, ports := range map[string]map[string]int{
		// A port at which nobody answers takes the other challenge away.
		"TLS-ALPN-01": {"httpPort": 9, "tlsPort": 443},
		"HTTP-01":     {"httpPort": 80, "tlsPort": 9},
	} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			h := newContainer(t)
			root, volume := imageRoot(t)
			const name = "calls.example.org"
			hosts := filepath.Join(t.TempDir(), "hosts")
			write(t, hosts, "127.0.0.1 localhost\n203.0.113.7 "+name+"\n")
			if err := os.Chmod(hosts, 0o644); err != nil {
				t.Fatal(err)
			}
			outside := func(args ...string) *exec.Cmd {
				return exec.Command("ip", append([]string{"netns", "exec", h.client, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts}, args...)...)
			}

			work := t.TempDir()
			authority := new(server).certificate(t, work, "203.0.113.20")
			config := filepath.Join(work, "pebble.json")
			settings := map[string]any{
				"listenAddress": "203.0.113.20:14000", "managementListenAddress": "203.0.113.20:15000",
				"certificate": filepath.Join(work, "cert.pem"), "privateKey": filepath.Join(work, "key.pem"),
				"retryAfter": map[string]int{"authz": 1, "order": 1},
				"profiles":   map[string]any{"default": map[string]any{"description": "default", "validityPeriod": 86400}},
			}
			for key, port := range ports {
				settings[key] = port
			}
			text, err := json.Marshal(map[string]any{"pebble": settings})
			if err != nil {
				t.Fatal(err)
			}
			write(t, config, string(text))
			pebble := outside(filepath.Join(dir, "pebble"), "-config", config)
			pebble.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
			var said lockedBuffer
			pebble.Stdout, pebble.Stderr = &said, &said
			if err := pebble.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = pebble.Process.Kill()
				_ = pebble.Wait()
				if t.Failed() {
					t.Logf("Pebble said:\n%s", &said)
				}
			})
			until(t, "Pebble listens", func() bool {
				c, err := h.dial("tcp", "203.0.113.20:15000")
				if err == nil {
					c.Close()
				}
				return err == nil
			})

			// What an engine puts into a container, and the authority that is asked here.
			write(t, filepath.Join(root, "etc/hosts"), textOf(t, hosts))
			ca := filepath.Join(root, "etc/ca.pem")
			write(t, ca, textOf(t, authority))
			for _, file := range []string{ca, filepath.Join(root, "etc/hosts")} {
				if err := os.Chmod(file, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			environ := []string{"TURNHUB_PUBLIC_HOST=" + name, "TURNHUB_TLS_ACME_DIRECTORY=https://203.0.113.20:14000/dir", "TURNHUB_TLS_ACME_CA_FILE=/etc/ca.pem"}
			log := serving(t, h.contained(root, nil, environ, "/turnhub", "serve", "--config", "/etc/turnhub/config.yaml"))
			until(t, "the certificate", func() bool { return strings.Contains(log.String(), `msg="URL works" url="turns:`+name) })

			trust := filepath.Join(work, "roots.pem")
			roots, err := outside("curl", "-s", "--cacert", authority, "https://203.0.113.20:15000/roots/0").Output()
			if err != nil {
				t.Fatalf("Pebble's root: %v", err)
			}
			write(t, trust, string(roots))
			check := outside(binary, "check", "https://"+name)
			check.Env = append(os.Environ(), "SSL_CERT_FILE="+trust, "SSL_CERT_DIR=/nonexistent")
			report, err := check.CombinedOutput()
			if err != nil {
				t.Errorf("turnhub check: %v:\n%s", err, report)
			}
			wantLines(t, string(report), "ok https://"+name+"/config", fmt.Sprintf("ok turn:%s:443?transport=udp", name), fmt.Sprintf("ok turns:%s:443?transport=tcp", name), "ok wss://"+name+"/ws", "certificate until")
			if files, err := filepath.Glob(filepath.Join(volume, "acme/certificates/*/*/*.crt")); err != nil || len(files) != 1 {
				t.Errorf("the volume keeps %q, %v", files, err)
			}
		})
	}
}
