package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInjected: what Kubernetes and container links put into every container
// configures nothing, for a Service of this name and for its neighbours.
func TestInjected(t *testing.T) {
	env := []string{
		"TURNHUB_SERVICE_HOST=10.96.0.12", "TURNHUB_SERVICE_PORT=3478", "TURNHUB_SERVICE_PORT_HTTPS=443", "TURNHUB_SERVICE_PORT_TURN_UDP=3478",
		"TURNHUB_PORT=udp://10.96.0.12:3478", "TURNHUB_PORT_3478_UDP=udp://10.96.0.12:3478", "TURNHUB_PORT_3478_UDP_PROTO=udp",
		"TURNHUB_PORT_3478_UDP_PORT=3478", "TURNHUB_PORT_3478_UDP_ADDR=10.96.0.12", "TURNHUB_PORT_443_TCP=tcp://10.96.0.12:443",
		"TURNHUB_PORT_443_TCP_ADDR=10.96.0.12", "TURNHUB_ADMIN_SERVICE_HOST=10.96.0.13", "TURNHUB_ADMIN_PORT=tcp://10.96.0.13:9478",
		"TURNHUB_ADMIN_PORT_9478_TCP_PROTO=tcp", "TURNHUB_RELAY_PORT=udp://[fd00::1]:3478", "TURNHUB_NAME=/web/turnhub",
		"TURNHUB_ENV_PATH=/bin", "TURNHUB_ENV_TURNHUB_RELAY_REALM=x", "TURNHUB_DB_ENV_x=1", "TURNHUB_PORT_3478_UDP_START=udp://10.0.0.1:1",
		"TURNHUB_PORT_3478_UDP_PORT_END=9",
	}
	c, err := parse("", nil, env)
	if err != nil || len(c.Warnings()) > 0 {
		t.Errorf("%v %v", err, c)
	}
	for _, o := range Default().options() {
		for _, value := range []string{"", "1", "tcp://10.0.0.1:80", "/a/b"} {
			if isInjected(envName(o.key), value) || isInjected(envName(o.key)+fileSuffix, value) {
				t.Errorf("%s=%s would be taken for an injected variable", envName(o.key), value)
			}
		}
	}
}

func TestUnknownVariablesWarn(t *testing.T) {
	for entry, want := range map[string]string{
		"TURNHUB_PORT=8080":            "TURNHUB_PORT: this variable does not exist and has no effect; unset it",
		"TURNHUB_RELAY_RELM=x":         "or write TURNHUB_RELAY_REALM",
		"TURNHUB_RELAY_PORT=5":         "or write TURNHUB_RELAY_PORT_MAX",
		"TURNHUB_RELAY_RELAM_FILE=/x":  "or write TURNHUB_RELAY_REALM_FILE",
		"TURNHUB_LISTEN__TCP=:80":      "or write TURNHUB_LISTEN_TCP",
		"TURNHUB_CREDENTIALS_SECRET=x": "or write TURNHUB_CREDENTIALS_SECRETS",
		"TURNHUB_=x":                   "this variable does not exist",
		"TURNHUB_NAME=calls":           "TURNHUB_NAME: this variable does not exist",
	} {
		c, err := parse("", nil, []string{entry})
		if err != nil || len(c.Warnings()) != 1 || !strings.Contains(c.Warnings()[0].Error(), want) {
			t.Errorf("%s: %v %v, want %q", entry, err, c, want)
		}
	}
}

// TestValueFromFile: TURNHUB_<PATH>_FILE names a file with the value.
func TestValueFromFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := parse("c.yaml", []byte("relay: {realm: from-yaml, deny_peers: [8.8.8.8]}\n"), []string{
		"TURNHUB_RELAY_REALM_FILE=" + file("realm", "from-file\r\n"),
		"TURNHUB_LISTEN_TCP_FILE=" + file("tcp", ":443\n:80,:8080\n\n"),
		"TURNHUB_RELAY_DENY_PEERS_FILE=" + file("empty", "\n"),
		"TURNHUB_TLS_CERT_FILE_FILE=" + file("cert", "/run/cert.pem\n"),
		"TURNHUB_TLS_KEY_FILE=/run/key.pem", // an option of its own
		"TURNHUB_TLS_MODE=files",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Relay.Realm != "from-file" || strings.Join(c.Listen.TCP, " ") != ":443 :80 :8080" || c.Relay.DenyPeers != nil ||
		c.TLS.CertFile != "/run/cert.pem" || c.TLS.KeyFile != "/run/key.pem" || len(c.Warnings()) > 0 {
		t.Errorf("%+v %v", c, c.Warnings())
	}
	for _, tc := range []struct {
		env  []string
		want string
	}{
		{[]string{"TURNHUB_RELAY_REALM_FILE=/nope/realm"}, "environment TURNHUB_RELAY_REALM_FILE: relay.realm: open /nope/realm: no such file or directory; "},
		{[]string{"TURNHUB_RELAY_REALM_FILE=" + dir}, "is a directory; "},
		{[]string{"TURNHUB_RELAY_REALM_FILE="}, "names no file; "},
		{[]string{"TURNHUB_RELAY_REALM_FILE=" + filepath.Join(dir, "realm"), "TURNHUB_RELAY_REALM=x"}, "relay.realm: is set by TURNHUB_RELAY_REALM too; unset one of the two"},
		{[]string{"TURNHUB_RELAY_PORT_MIN_FILE=" + file("port", "x\n")}, `environment TURNHUB_RELAY_PORT_MIN_FILE: relay.port_min: "x" is not a port`},
		{[]string{"TURNHUB_RELAY_REALM_FILE=" + file("big", strings.Repeat("x", maxValueFile+1))}, "is larger than"},
		{[]string{"TURNHUB_RELAY_REALM_FILE=" + file("two", "a\nb\n")}, "is not a realm"},
	} {
		if _, err := parse("", nil, tc.env); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, want %q", tc.env, err, tc.want)
		}
	}
}
