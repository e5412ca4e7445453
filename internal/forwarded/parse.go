package forwarded

import "strings"

// element is one hop of Forwarded: its parameters by lower-case name.
type element map[string]string

// parse reads the lines of a Forwarded header (RFC 7239 section 4):
//
//	for=192.0.2.60;proto=https;by=203.0.113.43, for="[2001:db8::1]:47"
//
// ok is false where it is none.
func parse(lines []string) (elements []element, ok bool) {
	s := strings.Join(lines, ",")
	current := element{}
	for {
		s = strings.TrimLeft(s, " \t")
		switch {
		case s == "", s[0] == ',':
			if len(current) > 0 {
				elements = append(elements, current)
				current = element{}
			}
			if s == "" {
				return elements, true
			}
			s = s[1:]
			continue
		case s[0] == ';':
			s = s[1:]
			continue
		}
		name, rest, found := strings.Cut(s, "=")
		if !found || !token(name) {
			return nil, false
		}
		value, rest, ok := parseValue(rest)
		if !ok {
			return nil, false
		}
		name = strings.ToLower(name)
		if _, twice := current[name]; twice {
			return nil, false
		}
		current[name] = value
		s = strings.TrimLeft(rest, " \t")
		if s != "" && s[0] != ',' && s[0] != ';' {
			return nil, false
		}
	}
}

// parseValue reads a token or a quoted string. Proxies write addresses with a
// port unquoted too, so a token goes on to what ends a parameter.
func parseValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",; \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], !strings.Contains(s[:end], `"`)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// token reports whether a name is one (RFC 9110 section 5.6.2), near enough.
func token(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \t,;\"()<>@:\\/[]?={}")
}
