package config

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// masked stands for a secret in printed configurations.
const masked = "********"

// Print returns the effective configuration as YAML, secrets masked, each value
// that is not a default with the place it came from.
func (c *Config) Print() string {
	var b strings.Builder
	writeYAML(&b, c.options(), func(b *strings.Builder, indent string, o option) {
		items := o.value.get()
		if o.secret {
			for i := range items {
				items[i] = masked
			}
		}
		fmt.Fprintf(b, "%s%s: %s", indent, leaf(o.key), render(o.value, items))
		if where, ok := c.origins[o.key]; ok {
			fmt.Fprintf(b, "  # %s", where)
		}
		b.WriteByte('\n')
	})
	return b.String()
}

// Differences returns the keys of the options whose values differ in other.
func (c *Config) Differences(other *Config) (keys []string) {
	theirs := other.options()
	for i, o := range c.options() {
		if !slices.Equal(o.value.get(), theirs[i].value.get()) {
			keys = append(keys, o.key)
		}
	}
	return keys
}

// With returns c with the options named keys taken from other.
func (c *Config) With(other *Config, keys []string) *Config {
	merged := *c
	mine := merged.options()
	for i, o := range other.options() {
		if slices.Contains(keys, o.key) {
			mine[i].value.set(o.value.get()) // what get returns, set accepts
		}
	}
	return &merged
}

// Example returns config.yaml: every option with its default and a comment.
func Example() string {
	var b strings.Builder
	b.WriteString("# turnhub's configuration. Every option stands here with its default; keep only\n" +
		"# the lines that you change. Each can be overridden by an environment variable:\n" +
		"# TURNHUB_RELAY_PORT_MIN is relay.port_min, TURNHUB_RELAY_PORT_MIN_FILE names a\n" +
		"# file that holds it; lists are separated by commas.\n" +
		"# Written by `go test ./internal/config -update`.\n\n")
	writeYAML(&b, Default().options(), func(b *strings.Builder, indent string, o option) {
		for line := range strings.SplitSeq(wrap(o.doc, 80-len(indent)-2), "\n") {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
		}
		fmt.Fprintf(b, "%s%s: %s\n", indent, leaf(o.key), render(o.value, o.value.get()))
	})
	return b.String()
}

// Reference returns docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Written by "go test ./internal/config -update" from internal/config/options.go. -->

turnhub runs without a configuration file: every option has a default that works. ` + "`turnhub serve --config FILE`" + ` reads a YAML file, of which [config.yaml](../config.yaml) holds every option with its default. Environment variables override the file. ` + "`turnhub config --config FILE`" + ` prints the effective configuration, or everything that is wrong with it.

- Unknown keys, wrong types and impossible values stop the start, all of them listed at once with file, line and what to write instead.
- What loads and is most likely not meant is a warning: ` + "`turnhub config`" + ` says it on standard error, ` + "`turnhub serve`" + ` in the log.
- ` + "`TURNHUB_<OPTION>_FILE`" + ` names a file with the value, as secrets are handed to containers; line breaks at its end do not count, and in a list each line is an item. Both variables for one option are an error. An unknown variable that begins with ` + "`TURNHUB_`" + ` is a warning with the nearest name; those that Kubernetes and container links make up from a service's name (` + "`TURNHUB_SERVICE_HOST`, `TURNHUB_PORT_3478_UDP_ADDR`" + `, …) are ignored.
- Sizes: ` + "`256KiB`, `8MB`" + ` (KiB, MiB, GiB are powers of 1024; kB, MB, GB of 1000). Rates: ` + "`8MB/s`, `50/s`" + `. Durations: ` + "`30s`, `15m`, `12h`" + `.
- A list may be written as a YAML list or as one text separated by commas, as in an environment variable.
- Under systemd, files that LoadCredential hands over are the defaults of the options that name files: ` + "`turn-secrets`, `token-secret`, `token-jwks`, `tls-cert.pem`, `tls-key.pem`" + `.

| option | default | environment variable | meaning |
|---|---|---|---|
`)
	for _, o := range Default().options() {
		fmt.Fprintf(&b, "| `%s` | `%s` | `%s` | %s Write: %s. |\n",
			o.key, render(o.value, o.value.get()), envName(o.key), strings.ReplaceAll(o.doc, "|", "\\|"), o.value.form)
	}
	return b.String()
}

// writeYAML walks the options with their section headers.
func writeYAML(b *strings.Builder, options []option, one func(b *strings.Builder, indent string, o option)) {
	var open []string
	for i, o := range options {
		parts := strings.Split(o.key, ".")
		sections := parts[:len(parts)-1]
		common := 0
		for common < len(open) && common < len(sections) && open[common] == sections[common] {
			common++
		}
		if i > 0 && common == 0 && (len(sections) > 0 || len(open) > 0) {
			b.WriteByte('\n')
		}
		for j := common; j < len(sections); j++ {
			fmt.Fprintf(b, "%s%s:\n", strings.Repeat("  ", j), sections[j])
		}
		open = sections
		one(b, strings.Repeat("  ", len(sections)), o)
	}
}

func leaf(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// render writes items as a YAML value on one line.
func render(v value, items []string) string {
	if !v.list || (len(items) == 1 && items[0] == "auto") {
		return quote(items[0])
	}
	quoted := make([]string, len(items))
	for i, item := range items {
		if v.fields != nil {
			var members []string
			for word := range strings.FieldsSeq(item) {
				name, val, _ := strings.Cut(word, "=")
				members = append(members, name+": "+quote(val))
			}
			quoted[i] = "{" + strings.Join(members, ", ") + "}"
			continue
		}
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(item) + `"`
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quote writes a scalar, in double quotes where YAML needs quotes.
func quote(s string) string {
	out, err := yaml.Marshal(s)
	plain := strings.TrimSuffix(string(out), "\n")
	switch plain {
	case `"` + s + `"`: // a number or boolean, which this option wants as such
		if s != "" {
			return s
		}
	case s:
		if err == nil && !strings.Contains(s, ":") {
			return s
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// wrap breaks text at spaces so that lines have at most width characters.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
