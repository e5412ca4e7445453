package coturnconf

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"turnhub/internal/config"
)

// loader loads what comes out of the converter with the loader of the server.
type loader struct{ file string }

func newLoader(t testing.TB) loader { return loader{filepath.Join(t.TempDir(), "config.yaml")} }

// convert fails when what comes out does not load, or listens nowhere.
func (l loader) convert(t testing.TB, text string) (yaml string, notes []Note) {
	t.Helper()
	yaml, notes, err := Convert(strings.NewReader(text), nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if err := os.WriteFile(l.file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err := config.Load(l.file, nil); err != nil {
		t.Fatalf("%q becomes what does not load: %v\n%s", text, err, yaml)
	} else if len(cfg.Warnings()) > 0 {
		for _, w := range cfg.Warnings() {
			if !strings.Contains(w.Problem, "relay.deny_peers") && !strings.Contains(w.Problem, "relay.allow_peers") && !strings.Contains(w.Problem, "the range has one port") {
				t.Fatalf("%q: %v\n%s", text, w, yaml)
			}
		}
	}
	return yaml, notes
}

// directives are the lines of coturn's own example file that set something, with
// and without the # before them.
func directives(t *testing.T) (all []string) {
	sample, err := os.ReadFile("/usr/share/doc/coturn/examples/etc/turnserver.conf")
	if err != nil {
		if sample, err = os.ReadFile("/etc/turnserver.conf"); err != nil {
			t.Skip("coturn is not installed")
		}
	}
	for _, line := range strings.Split(string(sample), "\n") {
		line = strings.TrimPrefix(line, "#")
		name, _, _ := strings.Cut(line, "=")
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || !strings.ContainsAny(line, "=-") && rules[name].becomes == "" {
			continue
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestSampleAlone: each directive of coturn's example is in the table, loads, and
// has an effect or a note.
func TestSampleAlone(t *testing.T) {
	all := directives(t)
	if len(all) < 100 {
		t.Fatalf("only %d directives were found: %q", len(all), all)
	}
	l := newLoader(t)
	plain, _ := l.convert(t, "")
	for _, line := range all {
		yaml, notes := l.convert(t, line)
		if name, _, _ := strings.Cut(line, "="); rules[name].becomes == "" {
			t.Errorf("%s is not in the table", line)
		}
		if yaml == plain && line != "listening-port=3478" && line != "use-auth-secret" {
			t.Errorf("%s has neither effect nor note", line)
		}
		if len(notes) > 1 {
			t.Errorf("%s has notes %v", line, notes)
		}
	}
}

// TestSamplePairs: any two of them load. With E2E_LONG also those of which one is
// a note, whatever the other says.
func TestSamplePairs(t *testing.T) {
	all := directives(t)
	if os.Getenv("E2E_LONG") == "" {
		all = slices.DeleteFunc(all, func(line string) bool {
			name, _, _ := strings.Cut(line, "=")
			return rules[name].apply == nil
		})
	}
	l := newLoader(t)
	for _, a := range all {
		for _, b := range all {
			l.convert(t, a+"\n"+b)
		}
	}
}

// nasty are values that some option can make nothing of.
var nasty = []string{"", "0", "-1", "1", "80", "443", "1000", "1023", "3478", "5349", "9478", "9479", "49152", "65535", "70000", "yes", "off", "x", `"`, `""`, `'a'`, `"quoted-secret"`, `'quoted-secret'`,
	"0.0.0.0", "::", "127.0.0.1", "10.0.0.1", "10.0.0.2", "203.0.113.5", "2001:db8::1", "2001:db8::2", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "224.0.0.1",
	"203.0.113.5/10.0.0.1", "203.0.113.6/10.0.0.1", "203.0.113.5/2001:db8::1", "2001:db8::5/2001:db8::1", "10.0.0.1:3478", "10.0.0.1:9478", "[::]:3478", "[2001:db8::1]:443", "0.0.0.0:3478",
	"10.0.0.0-10.255.255.255", "0.0.0.0/0", "::/0", "::ffff:0.0.0.0-::ffff:1.0.0.0", "a:b", `a"b`, `a\b`, "with blank inside", "s\xe9cret-latin1", "bell\x07bell\x07", "nel\u0085nel\u2028", "\ufeffbom-secret", "\U0001F600-secret", "cr\rcr-secret", "# no comment", "{a: b}", "*anchor-secret", strings.Repeat("long", 80)}

// TestAnythingLoads: whatever is written, what comes out loads, and a value that
// has no effect has its note.
func TestAnythingLoads(t *testing.T) {
	l := newLoader(t)
	names := append(slices.Sorted(maps.Keys(rules)), "no-such-option", "b\x01d", "\xff", "a\u0085b")
	read := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return rules[n].apply == nil })
	long := os.Getenv("E2E_LONG") != ""
	for i, name := range names {
		values := nasty
		if rules[name].apply == nil { // a note, whatever the value
			values = []string{"", "off", "x", "s\xe9cret-latin1", "bell\x07", "cr\rcr"}
		}
		for j, value := range values {
			if long || (i+j)%4 == 0 { // the others come below, in company
				l.convert(t, name+"="+value)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		var b strings.Builder
		for range 2 + random.IntN(8) {
			fmt.Fprintf(&b, "%s=%s\n", read[random.IntN(len(read))], nasty[random.IntN(len(nasty))])
		}
		l.convert(t, b.String())
	}
}

// TestNotes: what has no effect, or another one than written, has its note, and
// nothing else.
func TestNotes(t *testing.T) {
	l := newLoader(t)
	for _, tc := range []struct {
		text  string
		lines []int
		yaml  string // a part of what comes out
	}{
		{"relay-ip=10.0.0.1\nrelay-ip=10.0.0.2", []int{2}, `bind_ip: ["10.0.0.1"]`},
		{"relay-ip=10.0.0.1\nrelay-ip=2001:db8::1", nil, `bind_ip: ["10.0.0.1", "2001:db8::1"]`},
		{"min-port=1000", []int{1}, "port_min: 1024"},
		{"min-port=60000\nmax-port=50000", []int{1, 2}, "udp: "},
		{"max-port=40000", []int{1}, "udp: "},
		{`realm=a"b`, []int{1}, ""},
		{"realm=a:b", []int{1}, ""},
		{"realm=a\nrealm=b", []int{1}, `realm: "b"`},
		{"max-bps=100", []int{1}, "bandwidth_per_allocation: 1kB/s"},
		{"max-bps=1000", nil, "bandwidth_per_allocation: 1000B/s"},
		{"cert=/a.pem", []int{1}, ""},
		{"pkey=/a.pem", []int{1}, ""},
		{"cert=/a.pem\npkey=/b.pem", nil, `cert_file: "/a.pem"`},
		{"cert=/a.pem\npkey=/b.pem\nno-tls", []int{1, 2}, ""},
		{"tls-listening-port=443", []int{1}, ""},
		{"external-ip=203.0.113.5\nrelay-ip=10.0.0.1\nrelay-ip=2001:db8::1", nil, `external_ip: ["203.0.113.5", "2001:db8::1"]`},
		{"external-ip=203.0.113.5\nlistening-ip=10.0.0.1\nlistening-ip=::", []int{3}, `external_ip: ["203.0.113.5"]`},
		{"external-ip=203.0.113.5\nexternal-ip=203.0.113.6", []int{1}, `external_ip: ["203.0.113.6"]`},
		{"external-ip=203.0.113.5\nexternal-ip=203.0.113.5/10.0.0.1", nil, `external_ip: ["10.0.0.1=203.0.113.5"]`},
		{"external-ip=203.0.113.5/10.0.0.1\nexternal-ip=203.0.113.6/10.0.0.1", []int{1}, `"10.0.0.1=203.0.113.6"`},
		{"static-auth-secret='quoted-secret'", nil, `"'quoted-secret'"`},
		{`static-auth-secret="quoted-secret"`, nil, `["quoted-secret"]`},
		{`static-auth-secret="open-secret`, nil, `["open-secret"]`},
		{"static-auth-secret = = a=b=c-secret", nil, `["a=b=c-secret"]`},
		{"static-auth-secret=s\xe9cret-long", []int{1}, ""},
		{"static-auth-secret=bell\x07bell\x07", nil, `["bell\x07bell\x07"]`},
		{"static-auth-secret=north", []int{1}, ""},
		{"use-auth-secret", []int{1}, ""},
		{"use-auth-secret\nstatic-auth-secret=a-long-secret", nil, ""},
		{"no-udp\nno-tcp", []int{1, 2}, `tcp: [":3478"]`},
		{"no-udp\nno-tcp\ncert=/a\npkey=/b", nil, `tcp: [":5349"]`},
		{"listening-ip=0.0.0.0\nlistening-ip=10.0.0.1\nlistening-ip=::", nil, `tcp: ["0.0.0.0:3478", "[::]:3478"]`},
		{"aux-server=10.0.0.1:3478", nil, `tcp: [":3478"]`},
		{"listening-port=9478", nil, `admin: "127.0.0.1:9479"`},
		{"bad\x01name=1", []int{1}, `"bad\x01name"`},
		{"no-udp=off\nverbose=no", nil, "it is off"},
		{"log-min-level=warning", nil, "level: warn"},
		{"tlsv1\ndtls\nrfc5780", []int{1, 2, 3}, ""},
	} {
		yaml, notes := l.convert(t, tc.text)
		if lines := linesOf(notes, false); !slices.Equal(lines, tc.lines) || !strings.Contains(yaml, tc.yaml) {
			t.Errorf("%q: notes about lines %v, want %v: %v\n%s\nwant %s", tc.text, lines, tc.lines, notes, yaml, tc.yaml)
		}
	}
	if _, notes := l.convert(t, "static-auth-secret=s\xe9cret-long\nuser=a:s\xe9cret-long"); strings.Contains(fmt.Sprint(notes), "cret-long") {
		t.Error("a secret is repeated")
	}
}

// TestUnusableCertificate: a certificate that cannot be served leaves TLS off, with
// what to write when it can, since a server that names it would not start.
func TestUnusableCertificate(t *testing.T) {
	yaml, notes, err := Convert(strings.NewReader("cert=/a.pem\npkey=/b.pem\n"), func(cert, key string) error {
		return errors.New("open " + cert + " and " + key + ": no such file")
	})
	if err != nil || strings.Contains(yaml, "\ntls:") || len(notes) != 2 || !strings.Contains(notes[0].Text, `tls: {mode: files, cert_file: "/a.pem", key_file: "/b.pem"}`) {
		t.Error(yaml, notes, err)
	}
}

// FuzzConvert: whatever comes in, what comes out loads, or is refused with an
// error, never a panic.
func FuzzConvert(f *testing.F) {
	for _, seed := range []string{"realm=x", "static-auth-secret=\"a\\b\"", "denied-peer-ip=0.0.0.0-255.255.255.255\nallowed-peer-ip=1.2.3.4",
		"external-ip=1.2.3.4/5.6.7.8", "cert='a'\npkey=b\nno-udp", "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		yaml, _, err := Convert(strings.NewReader(text), nil)
		if err != nil {
			return
		}
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(file, nil); err != nil {
			t.Fatalf("%q: %v\n%s", text, err, yaml)
		}
	})
}
