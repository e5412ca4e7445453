package extaddr

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, external, pairs string }{
		{"", "", ""},
		{"auto", "", ""},
		{" Auto ", "", ""},
		{"198.51.100.7", "198.51.100.7", ""},
		{"::ffff:198.51.100.7", "198.51.100.7", ""},
		{"198.51.100.7, 2a00::7", "198.51.100.7 2a00::7", ""},
		{"2a00::7 198.51.100.7", "2a00::7 198.51.100.7", ""},
		{"10.0.0.5=198.51.100.7", "", "10.0.0.5=198.51.100.7"},
		{"10.0.0.5=198.51.100.7,10.0.0.6=198.51.100.8,2a00::7=2a00::7", "", "10.0.0.5=198.51.100.7 10.0.0.6=198.51.100.8 2a00::7=2a00::7"},
	} {
		setting, err := Parse(test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		var external, pairs []string
		for _, a := range setting.External {
			external = append(external, a.String())
		}
		for _, p := range setting.Pairs {
			pairs = append(pairs, p.Bind.String()+"="+p.Advertise.String())
		}
		if got := strings.Join(external, " "); got != test.external {
			t.Errorf("%q: external %q, want %q", test.text, got, test.external)
		}
		if got := strings.Join(pairs, " "); got != test.pairs {
			t.Errorf("%q: pairs %q, want %q", test.text, got, test.pairs)
		}
		if auto := test.external == "" && test.pairs == ""; setting.Auto() != auto {
			t.Errorf("%q: Auto() = %v", test.text, setting.Auto())
		}
	}
}

// Each refusal names what to write.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"turn.example.org":                    "write auto",
		"198.51.100.300":                      "write auto",
		"198.51.100.7 198.51.100.8":           "10.0.0.5=198.51.100.7",
		"2a00::7 2a00::8":                     "two addresses of one family",
		"10.0.0.5=":                           "is no IP address",
		"10.0.0.5=2a00::7":                    "one family",
		"10.0.0.5=1.2.3.4,10.0.0.5=1.2.3.5":   "each local address once",
		"10.0.0.5=1.2.3.4, 2a00::7":           "mixes single addresses and pairs",
		"0.0.0.0":                             "under which clients reach",
		"224.0.0.1":                           "under which clients reach",
		"fe80::1%eth0":                        "zone",
		"auto 198.51.100.7":                   "is no IP address",
		"10.0.0.5=198.51.100.7=198.51.100.8":  "is no IP address",
		strings.Repeat("1", 100):              "is no IP address",
		"10.0.0.5=198.51.100.7,,10.0.0.6=x.y": "is no IP address",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"auto", "1.2.3.4", "1.2.3.4 2a00::1", "10.0.0.5=1.2.3.4,10.0.0.6=1.2.3.5", "fe80::1%x", "==,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		families := map[bool]int{}
		for _, a := range s.External {
			families[a.Is4()]++
			if a.IsUnspecified() || a.Zone() != "" {
				t.Fatalf("%q gave %s", text, a)
			}
		}
		if families[true] > 1 || families[false] > 1 {
			t.Fatalf("%q gave %v", text, s.External)
		}
		seen := map[netip.Addr]bool{}
		for _, p := range s.Pairs {
			if seen[p.Bind] || p.Bind.Is4() != p.Advertise.Is4() {
				t.Fatalf("%q gave %v", text, s.Pairs)
			}
			seen[p.Bind] = true
		}
	})
}
