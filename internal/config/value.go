package config

import (
	"errors"
	"fmt"
	"math"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value reads and writes one option. Items are the scalars of a YAML list, or
// one scalar.
type value struct {
	list   bool
	fields []string // of the mappings that the items of a list are, each "field=value field=value" as text
	form   string   // what one writes, for the documentation
	set    func(items []string) error
	get    func() []string
}

// scalar is a value of one item.
func scalar[T any](p *T, form string, parse func(string) (T, error), format func(T) string) value {
	return value{
		form: form,
		set: func(items []string) error {
			v, err := parse(items[0])
			if err != nil {
				return err
			}
			*p = v
			return nil
		},
		get: func() []string { return []string{format(*p)} },
	}
}

// sequence is a value of any number of items. Empty items are refused.
func sequence[T any](p *[]T, form string, parse func(string) (T, error), format func(T) string) value {
	return value{
		list: true, form: form,
		set: func(items []string) error {
			var all []T
			var errs []error
			for _, item := range items {
				v, err := parse(item)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				all = append(all, v)
			}
			if errs != nil {
				return errors.Join(errs...)
			}
			*p = all
			return nil
		},
		get: func() []string {
			items := make([]string, len(*p))
			for i, v := range *p {
				items[i] = format(v)
			}
			return items
		},
	}
}

func same(s string) string { return s }

func text(p *string) value {
	return scalar(p, "text", func(s string) (string, error) {
		if strings.ContainsAny(s, "\x00\r\n") {
			return "", errors.New("holds a line break; write it on one line")
		}
		return s, nil
	}, same)
}

func choice(p *string, choices ...string) value {
	return scalar(p, strings.Join(choices, ", "), func(s string) (string, error) {
		if !slices.Contains(choices, s) {
			return "", fmt.Errorf("%q does not exist; write one of %s", s, strings.Join(choices, ", "))
		}
		return s, nil
	}, same)
}

func boolean(p *bool) value {
	return scalar(p, "true, false", func(s string) (bool, error) {
		switch s {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, fmt.Errorf("%q is neither true nor false; write one of them", s)
	}, strconv.FormatBool)
}

func integer(p *int, least, most int) value {
	return scalar(p, fmt.Sprintf("%d to %d", least, most), func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%q is not a whole number from %d to %d; write one", s, least, most)
		}
		return n, nil
	}, strconv.Itoa)
}

func port(p *uint16) value {
	return scalar(p, "1024 to 65535", func(s string) (uint16, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1024 {
			return 0, fmt.Errorf("%q is not a port from 1024 to 65535; write one", s)
		}
		return uint16(n), nil
	}, func(n uint16) string { return strconv.Itoa(int(n)) })
}

func duration(p *time.Duration, least, most time.Duration) value {
	form := fmt.Sprintf("%s to %s", formatDuration(least), formatDuration(most))
	return scalar(p, form, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration; write a number with its unit, such as 30s, 15m or 12h", s)
		}
		if d < least || d > most {
			return 0, fmt.Errorf("%q is out of range; write a duration from %s", s, form)
		}
		return d, nil
	}, formatDuration)
}

// formatDuration is time.Duration.String without zero minutes and seconds.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// units of sizes, in bytes; decimal as in SI, binary as in IEC 80000-13.
var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

func parseSize(s string) (int64, error) {
	number, factor := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*float64(factor) > 1e15 {
		return 0, fmt.Errorf("%q is not a size; write a number with kB, MB, KiB or MiB, such as 256KiB", s)
	}
	return int64(f * float64(factor)), nil
}

func formatSize(n int64) string {
	if n == 0 {
		return "0"
	}
	for _, u := range units {
		if n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func size(p *int64, least, most int64) value {
	form := formatSize(least) + " to " + formatSize(most)
	return scalar(p, form, func(s string) (int64, error) {
		n, err := parseSize(s)
		if err == nil && (n < least || n > most) {
			err = fmt.Errorf("%q is out of range; write a size from %s", s, form)
		}
		return n, err
	}, formatSize)
}

func byteRate(p *int64) value {
	return scalar(p, "size/s, or 0", func(s string) (int64, error) {
		if s == "0" {
			return 0, nil
		}
		number, ok := strings.CutSuffix(s, "/s")
		n, err := parseSize(number)
		if !ok || err != nil || n < 1000 {
			return 0, fmt.Errorf("%q is not a byte rate of at least 1kB/s; write a size per second, such as 8MB/s, or 0 for none", s)
		}
		return n, nil
	}, func(n int64) string {
		if n == 0 {
			return "0"
		}
		return formatSize(n) + "/s"
	})
}

// orNone lets a value be 0 too, for no limit.
func orNone[T int64 | float64](p *T, v value) value {
	set, get := v.set, v.get
	v.form += ", or 0"
	v.set = func(items []string) error {
		if items[0] == "0" {
			*p = 0
			return nil
		}
		if err := set(items); err != nil {
			return fmt.Errorf("%w, or 0 for none", err)
		}
		return nil
	}
	v.get = func() []string {
		if *p == 0 {
			return []string{"0"}
		}
		return get()
	}
	return v
}

// perSecondOrNone is perSecond, or 0 for no limit.
func perSecondOrNone(p *float64, most float64) value {
	return orNone(p, perSecond(p, most))
}

// sizeOrNone is size, or 0 for no limit.
func sizeOrNone(p *int64, least, most int64) value {
	return orNone(p, size(p, least, most))
}

func perSecond(p *float64, most float64) value {
	return scalar(p, "number/s", func(s string) (float64, error) {
		number, ok := strings.CutSuffix(s, "/s")
		f, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || !(f > 0 && f <= most) {
			return 0, fmt.Errorf("%q is not a rate; write a number per second, such as 50/s", s)
		}
		return f, nil
	}, func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) + "/s" })
}

func plainRate(p *float64, least, most float64) value {
	return scalar(p, "number", func(s string) (float64, error) {
		f, err := strconv.ParseFloat(strings.TrimSuffix(s, "/s"), 64)
		if err != nil || !(f >= least && f <= most) {
			return 0, fmt.Errorf("%q is not a number of at least %g; write one, such as 100", s, least)
		}
		return f, nil
	}, func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) })
}

func realm(p *string) value {
	return scalar(p, "text", func(s string) (string, error) {
		// RFC 8489 section 14.9: fewer than 128 characters.
		if s == "" || len(s) > 127 || strings.ContainsAny(s, "\"\\:\x00\r\n") {
			return "", fmt.Errorf("%q is not a realm; write 1 to 127 characters without quotes and colons, such as turnhub", s)
		}
		return s, nil
	}, same)
}

func url(p *string) value {
	return scalar(p, "https URL", func(s string) (string, error) {
		u, err := neturl.Parse(s)
		if s != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			return "", fmt.Errorf("%q is not an https URL; write one, such as https://acme-v02.api.letsencrypt.org/directory", s)
		}
		return s, nil
	}, same)
}

func origins(p *[]string) value {
	return sequence(p, "list of origins", parseOrigin, same)
}

// embedders are origins of pages that frame others: one that is opaque cannot be named
// in frame-ancestors.
func embedders(p *[]string) value {
	return sequence(p, "list of origins", func(s string) (string, error) {
		if s == "null" {
			return "", errors.New("\"null\" is the origin of many pages, of files and sandboxes among them; write the origin of the page that has the iframe, such as https://example.org")
		}
		return parseOrigin(s)
	}, same)
}

// parseOrigin takes what a browser sends as Origin (RFC 6454 section 6.2): it
// writes no default port, no path and no wildcard, and what it never writes would
// never match.
func parseOrigin(s string) (string, error) {
	if s == "*" || s == "same" || s == "null" {
		return s, nil
	}
	bad := func(what, instead string) (string, error) {
		return "", fmt.Errorf("%q %s; write %s", s, what, instead)
	}
	u, err := neturl.Parse(s)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return bad("is not an origin", "\"*\", \"same\", or scheme and host such as https://example.org")
	case strings.Contains(u.Host, "*"):
		return bad("has a wildcard, which an origin cannot have", "each origin in full, or \"*\" for all")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "#") || strings.HasSuffix(s, "?"),
		u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80", strings.HasSuffix(u.Host, ":"):
		host := u.Hostname()
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if p := u.Port(); p != "" && !(u.Scheme == "https" && p == "443" || u.Scheme == "http" && p == "80") {
			host += ":" + p
		}
		return bad("is more than an origin", strings.ToLower(u.Scheme+"://"+host))
	}
	return strings.ToLower(s), nil
}

func secrets(p *[]string) value {
	return sequence(p, "list of secrets", func(s string) (string, error) {
		if len(s) < 8 || strings.ContainsAny(s, "\x00\r\n") {
			return "", errors.New("a secret is shorter than 8 characters; write a random one, as `openssl rand -hex 32` prints it")
		}
		return s, nil
	}, same)
}

// parseMembers reads a mapping written as "name=value name=value" into the strings of
// these names, and reports which of them it gives.
func parseMembers(s string, names []string, into ...*string) (given map[string]bool, err error) {
	given = make(map[string]bool)
	for word := range strings.FieldsSeq(s) {
		name, val, ok := strings.Cut(word, "=")
		i := slices.Index(names, name)
		switch {
		case !ok || i < 0:
			return nil, fmt.Errorf("%q is not a member of it; write %s", name, strings.Join(names, ", "))
		case given[name]:
			return nil, fmt.Errorf("%s stands twice; remove one of the two", name)
		}
		given[name], *into[i] = true, val
	}
	return given, nil
}
