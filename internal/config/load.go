package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxFile is the largest configuration file in bytes.
const MaxFile = 1 << 20

// Errors is everything that is wrong with a configuration.
type Errors []error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) Unwrap() []error { return e }

// A Warning is something that loads and is most likely not meant.
type Warning struct {
	Problem string // with the place, as in an error
	Remedy  string
}

// Error makes a warning a line beside errors.
func (w Warning) Error() string { return w.Problem + "; " + w.Remedy }

// fault is a complaint about the first of some keys, which do not go together,
// before it is known where that was set.
type fault struct {
	keys   []string
	text   string
	remedy string // of a doubt; an error has it in text
}

// Load returns the defaults, overridden by file (none when empty), overridden
// by the TURNHUB_ variables of environ (as from os.Environ). The error is of
// type Errors and holds all that is wrong, each as
//
//	file:line: key: what is wrong; what to write
func Load(file string, environ []string) (*Config, error) {
	var contents []byte
	if file != "" {
		f, err := os.Open(file)
		if err == nil {
			defer f.Close()
			contents, err = io.ReadAll(io.LimitReader(f, MaxFile+1))
		}
		switch {
		case err != nil:
			return nil, Errors{fmt.Errorf("cannot read the configuration: %w; give --config a readable file", err)}
		case len(contents) > MaxFile:
			return nil, Errors{fmt.Errorf("%s:1: the file is larger than %d bytes; give --config a configuration file", file, MaxFile)}
		}
	}
	return parse(file, contents, environ)
}

// parse is Load without the file system.
func parse(file string, contents []byte, environ []string) (*Config, error) {
	c := Default()
	c.file = file
	c.origins = make(map[string]string)
	r := reader{file: file, config: c, options: make(map[string]option), broken: make(map[string]bool), seen: make(map[string]int)}
	for _, o := range c.options() {
		r.options[o.key] = o
	}
	r.readCredentials(environ)
	r.readFile(contents)
	r.readEnviron(environ)
	faults := slices.DeleteFunc(c.check(), func(f fault) bool {
		return slices.ContainsFunc(f.keys, r.isBroken) // it follows from another complaint
	})
	for _, f := range faults {
		r.fail(c.origin(f.keys[0]), f.keys[0], f.text)
	}
	if c.StateDir == "" {
		c.StateDir = defaultStateDir(environ)
	}
	if len(r.errs) > 0 { // a name that was misspelt may be why
		for _, w := range c.warnings {
			r.errs = append(r.errs, w)
		}
		return nil, r.errs
	}
	for _, f := range c.doubts() {
		c.warnings = append(c.warnings, Warning{c.origin(f.keys[0]) + ": " + f.keys[0] + ": " + f.text, f.remedy})
	}
	return c, nil
}

// origin says where key was set, for an error message.
func (c *Config) origin(key string) string {
	if where, ok := c.origins[key]; ok {
		return where
	}
	if c.file != "" {
		return c.file + ":1"
	}
	return "defaults"
}

// Fault returns a complaint about an option, found by who uses its value, in the
// form of Load's.
func (c *Config) Fault(key string, err error) error {
	return fmt.Errorf("%s: %s: %w", c.origin(key), key, err)
}

// Warnings returns what loads and is most likely not meant.
func (c *Config) Warnings() []Warning { return c.warnings }

// defaultStateDir is $STATE_DIRECTORY, of which systemd may name several joined
// by colons, else ./state.
func defaultStateDir(environ []string) string {
	for _, entry := range environ {
		if dirs, ok := strings.CutPrefix(entry, "STATE_DIRECTORY="); ok && dirs != "" {
			dir, _, _ := strings.Cut(dirs, ":")
			return dir
		}
	}
	return "./state"
}

// handedOverOrigin is where a value of handedOver comes from.
const handedOverOrigin = "$CREDENTIALS_DIRECTORY"

// handedOver are the files that systemd may hand over (LoadCredential), and the
// options whose default they are.
var handedOver = map[string]string{
	"turn-secrets": "credentials.secrets_file",
	"token-secret": "access.token_secret_file",
	"token-jwks":   "access.token_jwks_file",
	"tls-cert.pem": "tls.cert_file",
	"tls-key.pem":  "tls.key_file",
}

// readCredentials takes what lies in systemd's $CREDENTIALS_DIRECTORY, under the
// names of handedOver, or of a directory given as "turnhub" with these files.
func (r *reader) readCredentials(environ []string) {
	for _, entry := range environ {
		dir, ok := strings.CutPrefix(entry, "CREDENTIALS_DIRECTORY=")
		if !ok || dir == "" {
			continue
		}
		for name, key := range handedOver {
			for _, file := range []string{filepath.Join(dir, name), filepath.Join(dir, "turnhub_"+name)} {
				if _, err := os.Stat(file); err == nil {
					r.set(r.options[key], []string{file}, handedOverOrigin)
				}
			}
		}
	}
}

// reader fills a Config and gathers complaints.
type reader struct {
	file    string
	config  *Config
	options map[string]option
	errs    Errors
	broken  map[string]bool // options and sections with a complaint; "" is the file
	seen    map[string]int  // key → the line on which it stands
}

// isBroken reports whether an option's value is not the one that was meant.
func (r *reader) isBroken(key string) bool {
	for section := key; section != ""; section = section[:max(strings.LastIndexByte(section, '.'), 0)] {
		if r.broken[section] {
			return true
		}
	}
	return r.broken[""]
}

func (r *reader) fail(where, key, text string) {
	r.broken[key] = true
	if key == "" {
		r.errs = append(r.errs, fmt.Errorf("%s: %s", where, text))
		return
	}
	r.errs = append(r.errs, fmt.Errorf("%s: %s: %s", where, key, text))
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

func (r *reader) readFile(contents []byte) {
	var doc, more yaml.Node
	contents = quoteColons(contents)
	decoder := yaml.NewDecoder(bytes.NewReader(contents))
	err := decoder.Decode(&doc)
	if err == nil {
		err = decoder.Decode(&more)
	}
	if err != nil && err != io.EOF {
		m := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
		line := m[1]
		if line == "" {
			line = "1"
		}
		text := "this is not YAML: " + m[2]
		if !utf8.Valid(contents) {
			text = "this is not text in UTF-8"
		}
		r.fail(r.file+":"+line, "", text+"; write `key: value` lines, indented with spaces")
		return
	}
	if err == nil {
		r.fail(r.file+":"+strconv.Itoa(more.Line), "", "a second YAML document begins here; remove the line `---`")
	}
	if len(doc.Content) > 0 {
		r.section(doc.Content[0], "")
	}
}

// section reads a mapping whose keys lie below path ("" or "relay.").
func (r *reader) section(node *yaml.Node, path string) {
	at := func(n *yaml.Node) string { return r.file + ":" + strconv.Itoa(n.Line) }
	key := strings.TrimSuffix(path, ".")
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return // an empty file or section
	}
	if node.Kind != yaml.MappingNode {
		r.fail(at(node), key, "a section of options belongs here; write indented `key: value` lines")
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, val := node.Content[i], node.Content[i+1]
		key := path + name.Value
		if line, dup := r.seen[key]; dup {
			r.fail(at(name), key, fmt.Sprintf("stands on line %d already; remove one of the two", line))
			continue
		}
		r.seen[key] = name.Line
		switch o, ok := r.options[key]; {
		case ok:
			r.option(o, val, at(val))
		case r.isSection(key):
			r.section(val, key+".")
		default:
			r.fail(at(name), key, r.unknown(key, path))
		}
	}
}

func (r *reader) isSection(key string) bool {
	for k := range r.options {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// option reads the value of one option.
func (r *reader) option(o option, node *yaml.Node, where string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	var items []string
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return // `key:` with nothing after it keeps the default
	case node.Kind == yaml.ScalarNode && o.value.list:
		items = split(node.Value)
	case node.Kind == yaml.ScalarNode:
		items = []string{node.Value}
	case node.Kind == yaml.SequenceNode && o.value.list:
		for _, n := range node.Content {
			if n.Kind == yaml.MappingNode && o.value.fields != nil {
				item, ok := r.mapping(o, n)
				if !ok {
					return
				}
				items = append(items, item)
				continue
			}
			if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
				r.fail(r.file+":"+strconv.Itoa(n.Line), o.key, "the list holds something that is not a value; write "+o.value.form)
				return
			}
			items = append(items, n.Value)
		}
	default:
		r.fail(where, o.key, "one value belongs here; write "+o.value.form)
		return
	}
	r.set(o, items, where)
}

// mapping reads an item of a list that is a mapping, as the text that stands for it.
func (r *reader) mapping(o option, node *yaml.Node) (item string, ok bool) {
	var words []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, val := node.Content[i], node.Content[i+1]
		where := r.file + ":" + strconv.Itoa(name.Line)
		switch {
		case !slices.Contains(o.value.fields, name.Value):
			remedy := "write " + strings.Join(o.value.fields, ", ")
			if near := nearest(name.Value, o.value.fields); near != "" {
				remedy = "write " + near
			}
			r.fail(where, o.key, fmt.Sprintf("%q is not a member of it; %s", name.Value, remedy))
			return "", false
		case val.Kind != yaml.ScalarNode:
			r.fail(where, o.key, name.Value+" has one value; write "+o.value.form)
			return "", false
		case val.Tag == "!!null" || val.Value == "":
			continue
		case strings.ContainsAny(val.Value, " \t\r\n,"):
			r.fail(where, o.key, fmt.Sprintf("%s %q holds a blank or a comma; remove it", name.Value, val.Value))
			return "", false
		}
		words = append(words, name.Value+"="+val.Value)
	}
	return strings.Join(words, " "), true
}

func (r *reader) set(o option, items []string, where string) {
	r.config.origins[o.key] = where
	err := o.value.set(items)
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, err := range several.Unwrap() {
			r.fail(where, o.key, err.Error())
		}
	} else if err != nil {
		r.fail(where, o.key, err.Error())
	}
}
