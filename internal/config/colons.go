package config

import (
	"regexp"

	"gopkg.in/yaml.v3"
)

// leadingColons is an IPv6 address that begins with :: in a list in brackets.
var leadingColons = regexp.MustCompile(`([\[,][ \t]*)(::[0-9A-Fa-f:./]*)([ \t]*[,\]])`)

// leadingStar is a pattern of names, which YAML takes for an alias.
var leadingStar = regexp.MustCompile(`(\bhost:[ \t]*)(\*\.[A-Za-z0-9.-]+)`)

// quoteColons puts quotes around such addresses, which YAML 1.2 allows without
// ("::1/128" is a plain scalar) and the library does not read, and around patterns of
// names (*.example.org), where nobody means an alias. What it does read stays as it is.
func quoteColons(contents []byte) []byte {
	var node yaml.Node
	if yaml.Unmarshal(contents, &node) == nil {
		return contents
	}
	quoted := leadingStar.ReplaceAll(contents, []byte(`$1"$2"`))
	for range 2 { // two neighbours share a comma
		quoted = leadingColons.ReplaceAll(quoted, []byte(`$1"$2"$3`))
	}
	if yaml.Unmarshal(quoted, &node) == nil {
		return quoted
	}
	return contents
}
