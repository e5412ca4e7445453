// Package coturnconf turns a coturn configuration (turnserver.conf) into one of
// turnhub, and says of every line what became of it.
//
// rules.go holds the table of all options; docs/coturn-to-turnhub.md is written
// from it (go test ./internal/coturnconf -update).
package coturnconf

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Note is a line that has no counterpart, and what to do about it.
type Note struct {
	Line   int
	Option string
	Text   string
}

func (n Note) String() string { return fmt.Sprintf("%d: %s: %s", n.Line, n.Option, n.Text) }

// setting is one line of turnserver.conf.
type setting struct {
	line  int
	name  string
	value string
}

// on reads a switch: there without a value is on. Source: coturn,
// get_bool_value.
func (s setting) on() bool {
	switch strings.ToLower(s.value) {
	case "0", "no", "n", "off", "false", "f":
		return false
	}
	return true
}

// conversion is what has been read so far.
type conversion struct {
	notes []Note

	port, tlsPort    string
	addresses        []string // listening-ip
	more             []string // aux-server
	noUDP, noTCP     bool
	noTLS            bool
	cert, key        string
	realm            string
	external, relay  []string
	portMin, portMax string
	deny, allow      []span
	secrets          []string
	perUser, total   string
	bandwidth        string
	debug            bool
}

// Convert reads turnserver.conf and returns a config.yaml. Every line that
// could not be carried over is in notes, and as a comment at the end of the
// YAML.
func Convert(r io.Reader) (yaml string, notes []Note, err error) {
	c := conversion{port: "3478", tlsPort: "5349"}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if bytes.IndexByte(lines.Bytes(), 0) >= 0 {
			return "", nil, fmt.Errorf("line %d is no text", n)
		}
		s, ok := parseLine(lines.Text())
		if !ok {
			continue
		}
		s.line = n
		c.take(s)
	}
	if err := lines.Err(); err != nil {
		return "", nil, err
	}
	return c.yaml(), c.notes, nil
}

// parseLine splits "name=value" or "name value"; false: a comment or nothing.
func parseLine(text string) (setting, bool) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return setting{}, false
	}
	name, value := text, ""
	if at := strings.IndexAny(text, "= \t"); at >= 0 {
		name = text[:at]
		value = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text[at:]), "="))
	}
	if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		value = value[1 : len(value)-1]
	}
	return setting{name: strings.TrimLeft(name, "-"), value: value}, true
}

// take applies one line.
func (c *conversion) take(s setting) {
	rule, ok := rules[s.name]
	switch {
	case !ok:
		c.note(s, "unknown option; turnhub knows coturn 4.6's")
	case rule.apply != nil:
		if complaint := rule.apply(c, s); complaint != "" {
			c.note(s, complaint)
		}
	case rule.lost && s.on():
		c.note(s, rule.becomes)
	}
}

func (c *conversion) note(s setting, text string) {
	c.notes = append(c.notes, Note{s.line, s.name, text})
}

// yaml writes the configuration. Defaults are left out.
func (c *conversion) yaml() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	tls := c.cert != "" && c.key != "" && !c.noTLS
	line("# Made from a turnserver.conf by turnhub config --from-turnserver-conf.")
	if len(c.secrets) > 0 {
		line("# It holds secrets: keep it readable for the server alone (chmod 600).")
	}
	line("listen:")
	line("  tcp: %s", list(c.listenTCP(tls)))
	line("  udp: %s", list(c.listenUDP()))
	if tls {
		line("tls:")
		line("  mode: files")
		line("  cert_file: %s", quote(c.cert))
		line("  key_file: %s", quote(c.key))
	}
	line("relay:")
	line("  peers: public  # as coturn; turnhub's own calls need only the default, calls")
	if c.realm != "" {
		line("  realm: %s", quote(c.realm))
	}
	if len(c.external) > 0 {
		line("  external_ip: %s", list(c.external))
	}
	if len(c.relay) > 0 {
		line("  bind_ip: %s", list(c.relay))
	}
	if c.portMin != "" {
		line("  port_min: %s", c.portMin)
	}
	if c.portMax != "" {
		line("  port_max: %s", c.portMax)
	}
	if allow := prefixes(c.allow); len(allow) > 0 {
		line("  allow_peers: %s", list(allow))
	}
	// What coturn allows wins over what it denies; here a denial does.
	if deny := prefixes(subtract(c.deny, c.allow)); len(deny) > 0 {
		line("  deny_peers: %s", list(deny))
	}
	if len(c.secrets) > 0 {
		line("credentials:")
		line("  secrets: %s", list(c.secrets))
	}
	if c.perUser != "" || c.total != "" || c.bandwidth != "" {
		line("limits:")
		for _, l := range [][2]string{{"allocations_per_user", c.perUser}, {"allocations_total", c.total}, {"bandwidth_per_allocation", c.bandwidth}} {
			if l[1] != "" {
				line("  %s: %s", l[0], l[1])
			}
		}
	}
	if c.debug {
		line("log: {level: debug}")
	}
	if len(c.notes) > 0 {
		line("")
		line("# Not carried over:")
		for _, n := range c.notes {
			line("# line %s", n)
		}
	}
	return b.String()
}

// listenTCP is every universal TCP port: coturn's plain and TLS ports, any of
// which here takes TLS, TURN and HTTP.
func (c *conversion) listenTCP(tls bool) []string {
	var all []string
	if !c.noTCP {
		all = append(c.at(c.port), c.more...)
	}
	if tls {
		all = append(all, c.at(c.tlsPort)...)
	}
	return unique(all)
}

func (c *conversion) listenUDP() []string {
	if c.noUDP {
		return nil
	}
	return unique(append(c.at(c.port), c.more...))
}

// at joins every listening address with a port.
func (c *conversion) at(port string) []string {
	if len(c.addresses) == 0 {
		return []string{":" + port}
	}
	var all []string
	for _, a := range c.addresses {
		if addr, err := netip.ParseAddr(a); err == nil && addr.Is6() {
			a = "[" + a + "]"
		}
		all = append(all, a+":"+port)
	}
	return all
}

func unique(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quote writes a YAML double-quoted scalar.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
