package coturnconf

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"turnhub/internal/config"
)

var update = flag.Bool("update", false, "write docs/coturn-to-turnhub.md")

// convert converts a text and loads what comes out of it.
func convert(t *testing.T, text string) (*config.Config, []Note, string) {
	t.Helper()
	yaml, notes, err := Convert(strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatalf("what comes out cannot be loaded: %v\n%s", err, yaml)
	}
	return cfg, notes, yaml
}

// linesOf are the lines of the notes that are done, or that are not.
func linesOf(notes []Note, done bool) (lines []int) {
	for _, n := range notes {
		if n.Done == done {
			lines = append(lines, n.Line)
		}
	}
	return lines
}

func TestConvert(t *testing.T) {
	cfg, notes, yaml := convert(t, `
# a comment
listening-port=13478
tls-listening-port 443
listening-ip=192.0.2.10
listening-ip = 2001:db8::10
aux-server=192.0.2.11:80
external-ip=198.51.100.7/192.0.2.10
relay-ip=192.0.2.10
min-port=50000
max-port=50999
use-auth-secret
static-auth-secret="north\"pole"
static-auth-secret=second-secret
realm=example.org
cert=/etc/ssl/cert.pem
pkey=/etc/ssl/key.pem
user-quota=12
total-quota=1200
max-bps=640000
denied-peer-ip=192.168.0.0-192.168.255.255
denied-peer-ip=10.0.0.0-10.255.255.255
allowed-peer-ip=10.0.0.1
verbose
fingerprint
no-cli
no-multicast-peers
no-tlsv1
`)
	for name, pair := range map[string][2]any{
		"tcp":        {cfg.Listen.TCP, []string{"192.0.2.10:13478", "192.0.2.10:443", "192.0.2.11:80", "[2001:db8::10]:13478", "[2001:db8::10]:443"}},
		"udp":        {cfg.Listen.UDP, []string{"192.0.2.10:13478", "192.0.2.11:80", "[2001:db8::10]:13478"}},
		"tls":        {cfg.TLS.Mode, config.TLSFiles},
		"peers":      {cfg.Relay.Peers, "public"},
		"realm":      {cfg.Relay.Realm, "example.org"},
		"external":   {cfg.Relay.ExternalIP, "[192.0.2.10=198.51.100.7]"},
		"bind":       {cfg.Relay.BindIP, "[192.0.2.10]"},
		"ports":      {fmt.Sprint(cfg.Relay.PortMin, cfg.Relay.PortMax), "50000 50999"},
		"secrets":    {cfg.Credentials.Secrets, []string{`north\"pole`, "second-secret"}},
		"quota":      {cfg.Limits.AllocationsPerUser, 12},
		"total":      {cfg.Limits.AllocationsTotal, 1200},
		"bandwidth":  {cfg.Limits.BandwidthPerAllocation, 640000},
		"allow":      {cfg.Relay.AllowPeers, "[10.0.0.1/32]"},
		"log":        {cfg.Log.Level, "debug"},
		"first deny": {cfg.Relay.DenyPeers[0], "192.168.0.0/16"},
	} {
		if fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
	if lines := linesOf(notes, false); len(lines) > 0 {
		t.Errorf("notes: %v", notes)
	}
	if lines := linesOf(notes, true); !slices.Equal(lines, []int{25, 26, 27, 28}) {
		t.Errorf("what needs nothing is on lines %v: %v", lines, notes)
	}
	if strings.Contains(yaml, "Not carried over") {
		t.Error(yaml)
	}
	for _, p := range cfg.Relay.DenyPeers {
		if p.Contains(cfg.Relay.AllowPeers[0].Addr()) {
			t.Errorf("%s denies what coturn allowed", p)
		}
	}
}

// TestBinary refuses what is no configuration instead of listing its lines as
// unknown options.
func TestBinary(t *testing.T) {
	if yaml, notes, err := Convert(strings.NewReader("realm=a\n\x7fELF\x00\x01\nb\n"), nil); err == nil || yaml != "" || len(notes) > 0 {
		t.Errorf("%q, %v, %v", yaml, notes, err)
	}
}

// TestNothing: an empty file is a working configuration.
func TestNothing(t *testing.T) {
	cfg, notes, _ := convert(t, "")
	if fmt.Sprint(cfg.Listen.TCP, cfg.Listen.UDP, notes) != "[:3478] [:3478] []" || cfg.TLS.Mode != config.TLSOff {
		t.Errorf("%v %v %v", cfg.Listen, cfg.TLS, notes)
	}
}

// TestLost: what cannot be carried over is named with its line.
func TestLost(t *testing.T) {
	_, notes, yaml := convert(t, `lt-cred-mech
user=alice:secret
mobility
no-such-option=1
alt-listening-port=0
min-port=70000
denied-peer-ip=nonsense
user-quota=0
alternate-server=192.0.2.1
no-udp=off
external-ip=turn.example.org
static-auth-secret=north
`)
	lines := linesOf(notes, false)
	for _, n := range notes {
		if n.Text == "" || !strings.Contains(yaml, "# line "+n.String()) {
			t.Errorf("%v is not in the YAML, or says nothing", n)
		}
	}
	if want := []int{2, 3, 4, 6, 7, 8, 9, 11, 12}; !slices.Equal(lines, want) {
		t.Errorf("notes about lines %v, want %v: %v", lines, want, notes)
	}
	if strings.Contains(yaml, "alice") || strings.Contains(yaml, "north") {
		t.Error("a user's password is repeated")
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0-10.255.255.255": "[10.0.0.0/8]",
		"192.0.2.1":               "[192.0.2.1/32]",
		"192.0.2.1-192.0.2.6":     "[192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32]",
		"0.0.0.0-255.255.255.255": "[0.0.0.0/0]",
		"::1":                     "[::1/128]",
		"fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "[fc00::/7]",
		"10.1.0.0/16": "[10.1.0.0/16]",
	} {
		s, err := parseSpan(text)
		if got := fmt.Sprint(prefixes([]span{s})); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "x", "10.0.0.2-10.0.0.1", "10.0.0.0-::1", "10.0.0.0/33"} {
		if s, err := parseSpan(bad); err == nil {
			t.Errorf("%q was taken as %v", bad, s)
		}
	}
}

// TestTable holds docs/coturn-to-turnhub.md to the rules.
func TestTable(t *testing.T) {
	const file = "../../docs/coturn-to-turnhub.md"
	var b strings.Builder
	b.WriteString("# From coturn to turnhub\n\n" +
		"    turnhub config --from-turnserver-conf /etc/turnserver.conf > config.yaml\n\n" +
		"prints a `config.yaml` that loads, and on standard error every line that is not in it: first what could not be carried\n" +
		"over, then what needs nothing. The shared secret stays the same, so the programs that use it need no change.\n" +
		"`relay.peers: public` is set, as foreign signaling needs it: see [turn-for-other-servers.md](turn-for-other-servers.md).\n\n" +
		"Options of coturn 4.6 and 4.17. This table is made from the converter: `go test ./internal/coturnconf -update`.\n")
	section := func(title string, in func(rule) bool) {
		fmt.Fprintf(&b, "\n## %s\n\n| turnserver.conf | turnhub |\n|---|---|\n", title)
		for _, name := range slices.Sorted(maps.Keys(rules)) {
			if r := rules[name]; in(r) {
				fmt.Fprintf(&b, "| `%s` | %s |\n", name, r.becomes)
			}
		}
	}
	section("Carried over", func(r rule) bool { return r.apply != nil })
	section("Needs nothing", func(r rule) bool { return r.apply == nil && !r.lost })
	section("Has no counterpart", func(r rule) bool { return r.lost })
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != b.String() {
		t.Errorf("%s does not match the rules (%v): run go test ./internal/coturnconf -update", file, err)
	}
}
