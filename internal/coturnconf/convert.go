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
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"turnhub/internal/config"
)

// Note is a line that is not in what comes out, and why.
type Note struct {
	Line   int
	Option string
	Text   string
	// Done is set where nothing is lost: turnhub does so anyway.
	Done bool
}

func (n Note) String() string {
	if n.Done {
		return fmt.Sprintf("%d: %s: nothing to do: %s", n.Line, printable(n.Option), n.Text)
	}
	return fmt.Sprintf("%d: %s: %s", n.Line, printable(n.Option), n.Text)
}

// setting is one line of turnserver.conf.
type setting struct {
	line  int
	name  string
	value string
}

// on reads a switch: there without a value is on. Source: coturn,
// get_bool_value.
func (s setting) on() bool {
	return s.value == "" || !strings.ContainsRune("0nNfF", rune(s.value[0])) && !strings.EqualFold(s.value, "off")
}

// conversion is what has been read so far. Settings keep their line, for what can
// be said at the end alone; the zero setting is none.
type conversion struct {
	notes []Note
	given map[string]setting // the last of each option that has one value

	addresses        []setting // listening-ip
	more             []setting // aux-server
	relay            []setting // relay-ip
	external         []external
	deny, allow      []span
	secrets          []string
	realm            string
	perUser, total   string
	bandwidth        string
	level            string
	cert, key        string // as they stand
	noTLS            bool
	noUDP, noTCP     bool
	port, tlsPort    string
	portMin, portMax string
}

// Convert reads turnserver.conf and returns a config.yaml, which always loads.
// Every line that is not in it is in notes, and as a comment at its end. usable
// reports why a certificate and its key cannot be served on this machine; nil: it
// is not looked at.
func Convert(r io.Reader, usable func(cert, key string) error) (yaml string, notes []Note, err error) {
	c := conversion{port: "3478", tlsPort: "5349", given: make(map[string]setting)}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if bytes.IndexByte(lines.Bytes(), 0) >= 0 {
			return "", nil, fmt.Errorf("line %d is not text", n)
		}
		s, ok := parseLine(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if !ok {
			continue
		}
		s.line = n
		c.take(s)
	}
	if err := lines.Err(); err != nil {
		return "", nil, err
	}
	c.settle(usable)
	slices.SortStableFunc(c.notes, func(a, b Note) int { return a.Line - b.Line })
	if yaml = c.yaml(); len(yaml) > config.MaxFile {
		return "", nil, fmt.Errorf("what it becomes is longer than %d bytes, the most that turnhub reads", config.MaxFile)
	}
	return yaml, c.notes, nil
}

// parseLine splits "name=value" or "name value"; false: a comment or nothing. Only
// double quotes are taken off, as by coturn (parse_arg_string).
func parseLine(text string) (setting, bool) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return setting{}, false
	}
	name, value := text, ""
	if at := strings.IndexAny(text, "= \t"); at >= 0 {
		name, value = text[:at], strings.TrimLeft(text[at:], "= \t")
	}
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value = strings.TrimSuffix(strings.TrimRight(quoted, " \t\r"), `"`)
	}
	return setting{name: strings.TrimLeft(name, "-"), value: value}, true
}

// take applies one line.
func (c *conversion) take(s setting) {
	rule, ok := rules[s.name]
	switch {
	case !ok:
		c.note(s, "unknown option; turnhub knows those of coturn 4.6 to 4.17")
	case !utf8.ValidString(s.value):
		c.note(s, "the value is not text in UTF-8, which config.yaml must be; choose another, and write it in every program that uses it")
	case strings.ContainsAny(s.value, "\r\n"):
		c.note(s, "the value holds a line break; write it on one line")
	case rule.apply != nil:
		if before, twice := c.given[s.name]; twice && !rule.many {
			c.note(before, fmt.Sprintf("stands again on line %d, which counts", s.line))
		}
		c.given[s.name] = s
		if complaint := rule.apply(c, s); complaint != "" {
			c.note(s, complaint)
		}
	case rule.lost && s.on():
		c.note(s, rule.becomes)
	default:
		c.nothing(s, rule.becomes)
	}
}

func (c *conversion) note(s setting, text string) {
	c.notes = append(c.notes, Note{Line: s.line, Option: s.name, Text: text})
}

// nothing notes a line that asks for what is so anyway.
func (c *conversion) nothing(s setting, why string) {
	c.notes = append(c.notes, Note{s.line, s.name, why, true})
}

// yaml writes the configuration. Defaults are left out.
func (c *conversion) yaml() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	tls := c.cert != ""
	line("# Made from a turnserver.conf by turnhub config --from-turnserver-conf.")
	if len(c.secrets) > 0 {
		line("# It holds secrets: keep it readable for the server alone (chmod 600).")
	}
	line("listen:")
	line("  tcp: %s", list(c.listenTCP(tls)))
	line("  udp: %s", list(c.listenUDP()))
	if admin := c.admin(tls); admin != "" {
		line("  admin: %s  # its own port is taken", quote(admin))
	}
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
		line("  external_ip: %s", list(c.externalIPs()))
	}
	if len(c.relay) > 0 {
		line("  bind_ip: %s", list(values(c.relay)))
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
	if c.level != "" {
		line("log: {level: %s}", c.level)
	}
	for _, kind := range []struct {
		title string
		done  bool
	}{{"# Not carried over:", false}, {"# Nothing to do:", true}} {
		first := true
		for _, n := range c.notes {
			if n.Done != kind.done {
				continue
			}
			if first {
				line("\n%s", kind.title)
				first = false
			}
			line("# line %s", n)
		}
	}
	return b.String()
}

// quote writes a YAML double-quoted scalar (YAML 1.2 section 7.3.1).
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// printable is text that can stand in a comment and on a terminal.
func printable(text string) string {
	if q := strconv.Quote(text); q != `"`+text+`"` {
		return q
	}
	return text
}

func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func values(settings []setting) []string {
	all := make([]string, len(settings))
	for i, s := range settings {
		all[i] = s.value
	}
	return all
}
