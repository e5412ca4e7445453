package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// EnvPrefix begins the names of the environment variables that override
// options: TURNHUB_RELAY_PORT_MIN is relay.port_min.
const EnvPrefix = "TURNHUB_"

// fileSuffix ends the names of variables that name a file with the value, as
// secrets come into containers: TURNHUB_RELAY_REALM_FILE=/run/secrets/realm.
const fileSuffix = "_FILE"

// maxValueFile is the most that such a file may hold, in bytes.
const maxValueFile = 64 << 10

// injected are the names of variables that Kubernetes gives every container for
// each Service (here one called turnhub, or turnhub-anything), and that container
// links give. Nobody has written them to configure anything, so they are not
// looked at. Sources: Kubernetes, "Discovering services"; Docker, "Legacy
// container links".
var injected = []struct{ name, value *regexp.Regexp }{
	{regexp.MustCompile(`^TURNHUB(_\w+)?_SERVICE_(HOST|PORT(_\w+)?)$`), nil},
	{regexp.MustCompile(`^TURNHUB(_\w+)?_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR|START|END|PORT_START|PORT_END))?$`), nil},
	{regexp.MustCompile(`^TURNHUB(_\w+)?_PORT$`), regexp.MustCompile(`^(tcp|udp|sctp)://`)},
	{regexp.MustCompile(`^TURNHUB(_\w+)?_NAME$`), regexp.MustCompile(`^/`)},
	{regexp.MustCompile(`^TURNHUB(_\w+)?_ENV_.`), nil},
}

func isInjected(name, value string) bool {
	for _, form := range injected {
		if form.name.MatchString(name) && (form.value == nil || form.value.MatchString(value)) {
			return true
		}
	}
	return false
}

// envName returns the variable that overrides an option.
func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// readEnviron takes the options' variables. Where an option's own name ends in
// _FILE (tls.cert_file), its variable comes before another's with that suffix.
func (r *reader) readEnviron(environ []string) {
	byName := make(map[string]option, 2*len(r.options))
	for key, o := range r.options {
		byName[envName(key)] = o
	}
	names := make([]string, 0, 2*len(r.options))
	for name := range byName {
		names = append(names, name)
		if _, taken := byName[name+fileSuffix]; !taken {
			names = append(names, name+fileSuffix)
		}
	}
	from := make(map[string]string) // key → the variable that has set it
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, val, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		o, known := byName[name]
		stem, isFile := strings.CutSuffix(name, fileSuffix)
		byFile, knownFile := byName[stem]
		switch {
		case known:
		case isFile && knownFile:
			o = byFile
		case isInjected(name, val):
			continue
		default:
			remedy := "unset it"
			if near := nearest(name, names); near != "" {
				remedy += ", or write " + near
			}
			r.config.warnings = append(r.config.warnings, Warning{"environment: " + name + ": this variable does not exist and has no effect", remedy})
			continue
		}
		where := "environment " + name
		if other, twice := from[o.key]; twice && other != name {
			r.fail(where, o.key, "is set by "+other+" too; unset one of the two")
			continue
		}
		from[o.key] = name
		if !known {
			contents, err := valueFile(val)
			if err != nil {
				r.fail(where, o.key, err.Error())
				continue
			}
			val = contents
		}
		items := []string{val}
		if o.value.list {
			items = split(strings.ReplaceAll(val, "\n", ","))
		}
		r.set(o, items, where)
	}
}

// valueFile reads a value out of a file, without the line breaks at its end.
func valueFile(path string) (string, error) {
	if path == "" {
		return "", errors.New("names no file; write its path, or unset the variable")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w; write the path of a file that this user may read", err)
	}
	defer f.Close()
	contents, err := io.ReadAll(io.LimitReader(f, maxValueFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%w; write the path of a file that this user may read", err)
	case len(contents) > maxValueFile:
		return "", fmt.Errorf("%s is larger than %d bytes; write the path of a file that holds this value alone", path, maxValueFile)
	}
	return strings.TrimRight(string(contents), "\r\n"), nil
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
