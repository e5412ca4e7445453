package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write config.yaml and docs/configuration.md")

// TestGenerated holds the committed files to the options.
func TestGenerated(t *testing.T) {
	for path, want := range map[string]string{"../../config.yaml": Example(), "../../docs/configuration.md": Reference()} {
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s does not match the options (%v): run go test ./internal/config -update", path, err)
		}
	}
}

// TestAddressesThatBeginWithColons writes IPv6 addresses as everybody does.
func TestAddressesThatBeginWithColons(t *testing.T) {
	for _, text := range []string{
		"listen: {trusted_proxies: [127.0.0.1/32, ::1/128]}", "listen: {trusted_proxies: [::1/128,127.0.0.1/32]}",
		"listen: {trusted_proxies: [127.0.0.1/32,::1 ]}", `listen: {trusted_proxies: ["127.0.0.1/32", "::1/128"]}`,
		"listen:\n  trusted_proxies:\n    - 127.0.0.1\n    - ::1\n",
	} {
		c, err := parse("c.yaml", []byte(text), nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if len(c.Listen.TrustedProxies) != 2 {
			t.Errorf("%s: %v", text, c.Listen.TrustedProxies)
		}
	}
	c, err := parse("c.yaml", []byte("listen: {trusted_proxies: [::1/128, ::2/128, ::3/128]}"), nil)
	if err != nil || len(c.Listen.TrustedProxies) != 3 {
		t.Error(c, err)
	}
	if text := `a: "b, ::1, c"`; string(quoteColons([]byte(text))) != text {
		t.Error("what can be read is changed")
	}
}

// TestExampleIsTheDefault reads config.yaml back.
func TestExampleIsTheDefault(t *testing.T) {
	got, err := parse("config.yaml", []byte(Example()), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.StateDir = "./state"
	for i, o := range got.options() {
		if w := want.options()[i].value.get(); !reflect.DeepEqual(o.value.get(), w) {
			t.Errorf("%s: %q, want %q", o.key, o.value.get(), w)
		}
	}
}

// TestPrintReadsBack proves that what `turnhub config` prints is a
// configuration with the same meaning.
func TestPrintReadsBack(t *testing.T) {
	in := `
public_host: "Turn.Example.org"
listen: {tcp: [":443", "[::1]:80"], udp: ":3478, :5349", trusted_proxies: [10.0.0.1]}
relay:
  external_ip: [10.0.0.4=203.0.113.7, "2a00::1"]
  peers: public
  allow_peers: [192.168.0.0/16]
credentials: {ttl: 90m}
limits: {bandwidth_per_allocation: 1.5MB/s, message_size: 64KiB, unauthenticated_per_prefix: 0.5/s}
drain_timeout: 1h
`
	c, err := parse("x.yaml", []byte(in), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parse("y.yaml", []byte(c.Print()), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, c.Print())
	}
	for i, o := range c.options() {
		if got := again.options()[i].value.get(); !reflect.DeepEqual(got, o.value.get()) {
			t.Errorf("%s: %q, want %q", o.key, got, o.value.get())
		}
	}
	if c.PublicHost != "turn.example.org" || c.Relay.Peers != "public" || c.Credentials.TTL != 90*time.Minute ||
		c.Limits.BandwidthPerAllocation != 1_500_000 || c.Limits.MessageSize != 65536 || len(c.Listen.UDP) != 2 ||
		c.Relay.ExternalIP[0].Local.String() != "10.0.0.4" || c.Limits.UnauthenticatedPerPrefix != 0.5 {
		t.Errorf("%+v", c)
	}
}

// TestUDPAddresses is what listen.udp: auto comes to beside listen.tcp.
func TestUDPAddresses(t *testing.T) {
	for _, x := range []struct{ tcp, udp, must, may string }{
		{":8080 :3478", "auto", ":3478", ""},
		{":80 :443 :3478", "auto", ":3478", ":443"},
		{":80 :443", "auto", ":3478", ":443"},
		{"1.2.3.4:443 1.2.3.4:3478 [2001:db8::1]:443", "auto", "1.2.3.4:3478", "1.2.3.4:443 [2001:db8::1]:443"},
		{"127.0.0.1:443 localhost:443 :3478", "auto", ":3478", ""},
		{":443", ":3478", ":3478", ""},
		{":443", "", "", ""},
	} {
		l := Listen{TCP: strings.Fields(x.tcp), UDP: strings.Fields(x.udp)}
		must, may := l.UDPAddresses()
		if got := strings.Join(must, " ") + "|" + strings.Join(may, " "); got != x.must+"|"+x.may {
			t.Errorf("%+v: %s", x, got)
		}
	}
	c, err := parse("c.yaml", []byte("listen: {udp: auto}\n"), nil)
	if err != nil || strings.Join(c.Listen.UDP, " ") != "auto" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		env        []string
		want       []string // one substring of each complaint, in order
	}{
		{name: "unknown key", yaml: "relay:\n  port_mn: 5", want: []string{"c.yaml:2: relay.port_mn: this option does not exist; write relay.port_min (port_min in the section relay)"}},
		{name: "wrong section", yaml: "port_min: 5000", want: []string{"c.yaml:1: port_min: this option does not exist here; write it as relay.port_min"}},
		{name: "unknown section", yaml: "zzz: {a: 1}", want: []string{"c.yaml:1: zzz: this option does not exist; remove it"}},
		{name: "all at once", yaml: "public_host: http://x\nrelay:\n  port_min: abc\n  port_max: 70000\n  peers: everyone\nlimits:\n  message_size: 1PB\n", want: []string{
			`c.yaml:1: public_host: "http://x" is neither a DNS name nor an IP address; write the name alone`,
			`c.yaml:3: relay.port_min: "abc" is not a port`,
			`c.yaml:4: relay.port_max: "70000" is not a port`,
			`c.yaml:5: relay.peers: "everyone" does not exist; write one of calls, public, any`,
			`c.yaml:7: limits.message_size: "1PB" is not a size`}},
		{name: "several in one list", yaml: "listen:\n  udp: [\"3478\", \":0x1\", \":3478\"]", want: []string{`"3478" is not an address to listen on`, `":0x1" is not an address`}},
		{name: "auto and more", yaml: "listen: {udp: [auto, \":3478\"]}\n", want: []string{"listen.udp: auto stands among addresses; write auto alone"}},
		{name: "auto over TCP", yaml: "listen: {tcp: auto}\n", want: []string{`listen.tcp: "auto" is not an address to listen on`}},
		{name: "not YAML", yaml: "a: b: c\n", want: []string{"c.yaml:1: this is not YAML"}},
		{name: "tab", yaml: "relay:\n\tport_min: 1\n", want: []string{"c.yaml:2: this is not YAML"}},
		{name: "a list at the top", yaml: "- a\n", want: []string{"c.yaml:1: a section of options belongs here"}},
		{name: "value for section", yaml: "relay: 5\n", want: []string{"c.yaml:1: relay: a section of options belongs here"}},
		{name: "section for value", yaml: "log:\n  level:\n    x: 1\n", want: []string{"c.yaml:3: log.level: one value belongs here"}},
		{name: "list for value", yaml: "state_dir: [a]\n", want: []string{"c.yaml:1: state_dir: one value belongs here"}},
		{name: "nested list", yaml: "relay:\n  deny_peers: [[10.0.0.0/8]]\n", want: []string{"c.yaml:2: relay.deny_peers: the list holds"}},
		{name: "twice", yaml: "public_host: a\npublic_host: b\n", want: []string{"c.yaml:2: public_host: stands on line 1 already"}},
		{name: "ports crossed", yaml: "relay: {port_min: 6000, port_max: 5000}\n", want: []string{"c.yaml:1: relay.port_min: is above relay.port_max"}},
		{name: "files", yaml: "tls: {mode: files}\n", want: []string{"tls.cert_file: tls.mode files needs it", "tls.key_file: tls.mode files needs it"}},
		{name: "acme", yaml: "tls: {mode: acme}\nlisten: {tcp: [\":443\"]}\n", want: []string{"public_host: tls.mode acme needs it"}},
		{name: "token", yaml: "access: {mode: token}\n", want: []string{"access.token_secret_file: access.mode token needs a key"}},
		{name: "nowhere", yaml: "listen: {tcp: [], udp: []}\n", want: []string{"listen.udp: the server listens nowhere"}},
		{name: "cidr bits", yaml: "relay: {deny_peers: [10.1.0.0/8]}\n", want: []string{`has bits beyond its length; write 10.0.0.0/8`}},
		{name: "ttl", yaml: "credentials: {ttl: 5}\n", want: []string{`"5" is not a duration; write a number with its unit`}},
		{name: "ttl range", yaml: "credentials: {ttl: 5s}\n", want: []string{`"5s" is out of range; write a duration from 1m to 8760h`}},
		{name: "rate", yaml: "limits: {bandwidth_per_allocation: 8MB}\n", want: []string{`"8MB" is not a byte rate`}},
		{name: "two v4", yaml: "relay: {external_ip: \"1.2.3.4, 5.6.7.8\"}\n", want: []string{"relay.external_ip: holds several addresses of one family"}},
		{name: "mixed pair", yaml: "relay: {external_ip: \"10.0.0.1=2a00::1\"}\n", want: []string{"joins IPv4 and IPv6"}},
		{name: "origin", yaml: "access: {allowed_origins: [example.org]}\n", want: []string{`"example.org" is not an origin`}},
		{name: "environment", env: []string{"TURNHUB_RELAY_PORT_MIN=x", "TURNHUB_PUBLIC_HOTS=y", "HOME=/", "TURNHUB_NONSENSE=1"}, want: []string{
			`environment TURNHUB_RELAY_PORT_MIN: relay.port_min: "x" is not a port`,
			"environment: TURNHUB_NONSENSE: this variable does not exist and has no effect; unset it",
			"environment: TURNHUB_PUBLIC_HOTS: this variable does not exist and has no effect; unset it, or write TURNHUB_PUBLIC_HOST"}},
		{name: "several documents", yaml: "relay: {realm: a}\n---\nrelay: {peers: any}\n", want: []string{"c.yaml:2: a second YAML document begins here"}},
		{name: "what goes together, beside other faults", yaml: "tls: {mode: files, key_file: k}\nrelay: {port_min: 6000, port_max: 5000, realm: \"\"}\naccess: {mode: tokn}\n", want: []string{
			`c.yaml:2: relay.realm: "" is not a realm`, `c.yaml:3: access.mode: "tokn" does not exist`,
			"c.yaml:2: relay.port_min: is above relay.port_max", "tls.cert_file: tls.mode files needs it"}},
		{name: "nothing that follows from another fault", yaml: "tls: {mode: files, cert_fil: c, key_file: k}\nrelay: {port_min: 6000, port_max: x}\nlisten: 5\naccess: {mode: token, secret_file: x, token_secret_fle: s}\n", want: []string{
			"c.yaml:1: tls.cert_fil: this option does not exist; write tls.cert_file", "c.yaml:2: relay.port_max",
			"c.yaml:3: listen: a section", "c.yaml:4: access.secret_file", "c.yaml:4: access.token_secret_fle: this option does not exist; write access.token_secret_file"}},
		{name: "the same port twice", yaml: "listen: {tcp: [\":80\", \"127.0.0.1:80\", \"10.0.0.1:443\", \":443\"], udp: [\"10.0.0.1:53\", \"10.0.0.2:53\"], admin: \"127.0.0.1:443\"}\n", want: []string{
			`c.yaml:1: listen.tcp: ":80" and "127.0.0.1:80" are the same port`, `listen.tcp: "10.0.0.1:443" and ":443" are the same port`,
			`listen.admin: "127.0.0.1:443" is the port of ":443" in listen.tcp`}},
		{name: "short secret", yaml: "credentials: {secrets: [abc]}\n", want: []string{"credentials.secrets: a secret is shorter than 8"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parse("c.yaml", []byte(tc.yaml), tc.env)
			errs, _ := err.(Errors)
			if len(errs) != len(tc.want) {
				t.Fatalf("%d complaints, want %d:\n%v", len(errs), len(tc.want), err)
			}
			for i, e := range errs {
				if !strings.Contains(e.Error(), tc.want[i]) {
					t.Errorf("complaint %d: %q, want %q in it", i, e, tc.want[i])
				}
				if !strings.Contains(e.Error(), "; ") {
					t.Errorf("no remedy in %q", e)
				}
			}
		})
	}
}

func TestEnvironmentOverridesFile(t *testing.T) {
	env := []string{"TURNHUB_RELAY_EXTERNAL_IP=198.51.100.1,2a00::1", "TURNHUB_LISTEN_TCP=:443,:80", "TURNHUB_LISTEN_ADMIN=",
		"TURNHUB_SIGNALING_RELAY_AT_ROOT=true", "TURNHUB_RELAY_DENY_PEERS=", "STATE_DIRECTORY=/var/lib/turnhub:/other"}
	c, err := parse("c.yaml", []byte("listen: {tcp: \":8081\"}\nrelay: {deny_peers: [8.8.8.8]}\n"), env)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Relay.ExternalIP) != 2 || strings.Join(c.Listen.TCP, " ") != ":443 :80" || c.Listen.Admin != "" ||
		!c.Signaling.RelayAtRoot || c.Relay.DenyPeers != nil || c.StateDir != "/var/lib/turnhub" {
		t.Errorf("%+v", c)
	}
}

func TestSystemdHandsOver(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"turn-secrets", "turnhub_tls-cert.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"CREDENTIALS_DIRECTORY=" + dir}
	c, err := parse("", nil, env)
	if err != nil || c.Credentials.SecretsFile != filepath.Join(dir, "turn-secrets") ||
		c.TLS.CertFile != filepath.Join(dir, "turnhub_tls-cert.pem") || c.TLS.KeyFile != "" {
		t.Errorf("%+v %v", c, err)
	}
	c, err = parse("c.yaml", []byte("credentials: {secrets_file: mine}\n"), env)
	if err != nil || c.Credentials.SecretsFile != "mine" {
		t.Errorf("%+v %v", c, err)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "; give --config a readable file") {
		t.Error(err)
	}
}

func TestPrintMasksSecrets(t *testing.T) {
	c, err := parse("", nil, []string{"TURNHUB_CREDENTIALS_SECRETS=very-secret-1,very-secret-2"})
	if err != nil {
		t.Fatal(err)
	}
	if out := c.Print(); strings.Contains(out, "very-secret") || !strings.Contains(out, `["********", "********"]  # environment TURNHUB_CREDENTIALS_SECRETS`) {
		t.Error(out)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	c := Default()
	c.StateDir = filepath.Join(dir, "new", "state")
	if _, _, err := c.Secrets(false); err == nil {
		t.Error("a secret out of nothing")
	}
	first, warnings, err := c.Secrets(true)
	if err != nil || len(first) != 1 || len(first[0]) != 64 || warnings != nil {
		t.Fatal(first, warnings, err)
	}
	info, err := os.Stat(c.SecretsPath())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if again, _, err := c.Secrets(true); err != nil || again[0] != first[0] {
		t.Error("the secret changed", err)
	}
	if err := os.Chmod(c.SecretsPath(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, warnings, _ := c.Secrets(true); len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "chmod o=") {
		t.Error(warnings)
	}

	c.Credentials.SecretsFile = filepath.Join(dir, "mine")
	if _, _, err := c.Secrets(true); err == nil {
		t.Error("a named file that is missing was made")
	}
	write := func(s string) {
		if err := os.WriteFile(c.Credentials.SecretsFile, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# new\nsecret-new\n\nsecret-old\n")
	c.Credentials.Secrets = []string{"secret-first"}
	if got, _, err := c.Secrets(false); err != nil || strings.Join(got, " ") != "secret-first secret-new secret-old" {
		t.Error(got, err)
	}
	write("short\n")
	if _, _, err := c.Secrets(false); err == nil || !strings.Contains(err.Error(), "mine:1: ") {
		t.Error(err)
	}
	c.Credentials.Secrets = nil
	write("\n")
	if _, _, err := c.Secrets(false); err == nil {
		t.Error("no secret was accepted")
	}
}

// FuzzParse looks for panics and for accepted configurations that do not read
// back.
func FuzzParse(f *testing.F) {
	f.Add(Example())
	f.Add("relay:\n  port_min: 5000\n  external_ip: [10.0.0.4=203.0.113.7]\n")
	f.Add("a: &x [1]\nlisten: {tcp: *x}\n")
	f.Add("<<: {public_host: x}\n")
	f.Add("limits: {message_size: 1e3, bandwidth_per_allocation: 0.5GB/s}\nstate_dir: \"#\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		c, err := parse("f.yaml", []byte(in), nil)
		if err != nil || len(c.Credentials.Secrets) > 0 {
			return
		}
		again, err := parse("g.yaml", []byte(c.Print()), nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, c.Print())
		}
		for i, o := range c.options() {
			if got := again.options()[i].value.get(); !reflect.DeepEqual(got, o.value.get()) && len(got)+len(o.value.get()) > 0 {
				t.Errorf("%s: %q, want %q", o.key, got, o.value.get())
			}
		}
	})
}
