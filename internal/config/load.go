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

	"gopkg.in/yaml.v3"
)

// EnvPrefix begins the names of the environment variables that override
// options: TURNHUB_RELAY_PORT_MIN is relay.port_min.
const EnvPrefix = "TURNHUB_"

// maxFile is the largest configuration file in bytes.
const maxFile = 1 << 20

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

// fault is a complaint about the first of some keys, which do not go together,
// before it is known where that was set.
type fault struct {
	keys []string
	text string
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
			contents, err = io.ReadAll(io.LimitReader(f, maxFile+1))
		}
		switch {
		case err != nil:
			return nil, Errors{fmt.Errorf("cannot read the configuration: %w; give --config a readable file", err)}
		case len(contents) > maxFile:
			return nil, Errors{fmt.Errorf("%s:1: the file is larger than %d bytes; give --config a configuration file", file, maxFile)}
		}
	}
	return parse(file, contents, environ)
}

// parse is Load without the file system.
func parse(file string, contents []byte, environ []string) (*Config, error) {
	c := Default()
	c.file = file
	c.origins = make(map[string]string)
	r := reader{file: file, config: c, options: make(map[string]option), broken: make(map[string]bool)}
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
	if len(r.errs) > 0 {
		return nil, r.errs
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
					r.set(r.options[key], []string{file}, "$CREDENTIALS_DIRECTORY")
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
}

// isBroken reports whether an option's value is not the one that was meant.
func (r *reader) isBroken(key string) bool {
	section, _, _ := strings.Cut(key, ".")
	return r.broken[key] || r.broken[section] || r.broken[""]
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
		r.fail(r.file+":"+line, "", "this is not YAML: "+m[2]+"; write `key: value` lines, indented with spaces")
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
	seen := make(map[string]int)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, val := node.Content[i], node.Content[i+1]
		key := path + name.Value
		if line, dup := seen[key]; dup {
			r.fail(at(name), key, fmt.Sprintf("stands on line %d already; remove one of the two", line))
			continue
		}
		seen[key] = name.Line
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

// split takes a comma separated list apart.
func split(s string) (items []string) {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// envName returns the variable that overrides an option.
func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func (r *reader) readEnviron(environ []string) {
	byName := make(map[string]option, len(r.options))
	names := make([]string, 0, len(r.options))
	for key, o := range r.options {
		byName[envName(key)] = o
		names = append(names, envName(key))
	}
	environ = slices.Sorted(slices.Values(environ))
	for _, entry := range environ {
		name, val, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		o, ok := byName[name]
		if !ok {
			text := "this variable does not exist; unset it"
			if near := nearest(name, names); near != "" {
				text += ", or write " + near
				r.broken[byName[near].key] = true
			}
			r.fail("environment", name, text)
			continue
		}
		items := []string{val}
		if o.value.list {
			items = split(val)
		}
		r.set(o, items, "environment "+name)
	}
}

// unknown says what to do about a key that does not exist.
func (r *reader) unknown(key, path string) string {
	last := key[len(path):]
	var keys []string
	for k := range r.options {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys { // right name, wrong section
		if strings.HasSuffix(k, "."+last) || k == last {
			r.broken[k] = true
			return "this option does not exist here; write it as " + k + hint(k)
		}
	}
	if near := nearest(key, keys); near != "" {
		r.broken[near] = true
		return "this option does not exist; write " + near + hint(near) + ", or remove it"
	}
	return "this option does not exist; remove it, or see `turnhub config` for those that do"
}

// hint explains a dotted key to who writes sections.
func hint(key string) string {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return " (" + key[i+1:] + " in the section " + key[:i] + ")"
	}
	return ""
}

// nearest returns the candidate within a third of its length of s by edit
// distance, or "".
func nearest(s string, candidates []string) string {
	if len(s) > 100 {
		return ""
	}
	best, bestAt := "", len(s)/3+1
	slices.Sort(candidates)
	for _, c := range candidates {
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
