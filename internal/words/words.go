// Package words is the texts of the pages: one file for each language, words/TAG.json
// of the site, with texts under AREA and NAME. A page's source holds keys, as in
// [[lobby.start]], and is filled in for each language when the server starts; what its
// scripts say comes with it.
//
// Besides AREA.NAME a page may hold [[language]], the tag, [[languages]], the options of
// a list to choose from, and [[words AREA…]], these areas as JSON for its scripts.
package words

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/bidi"
)

// Fallback is the language of whoever speaks none of ours.
const Fallback = "en"

// Language is the texts of one language.
type Language struct {
	Tag  string // BCP 47: en, de
	Name string // in itself: Deutsch

	texts map[string]map[string]text
	all   *Languages
}

// Languages are all that a site has. The zero value has none.
type Languages struct {
	list []*Language // by their names
}

// text is a string, or for counted things one for each plural category of the language.
type text struct {
	other string
	raw   json.RawMessage
}

func (t *text) UnmarshalJSON(b []byte) error {
	t.raw = slices.Clone(b)
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &t.other)
	}
	var forms map[string]string
	if err := json.Unmarshal(b, &forms); err != nil {
		return err
	}
	t.other = forms["other"]
	return nil
}

func (t text) MarshalJSON() ([]byte, error) { return t.raw, nil }

// Load reads every TAG.json of a folder.
func Load(tree fs.FS, folder string) (*Languages, error) {
	names, err := fs.Glob(tree, folder+"/*.json")
	if err != nil {
		return nil, err
	}
	all := new(Languages)
	for _, name := range names {
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		l := &Language{Tag: strings.TrimSuffix(path.Base(name), ".json"), all: all}
		if err := json.Unmarshal(content, &l.texts); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		l.Name = l.texts["language"]["name"].other
		if l.Name == "" || l.texts["language"]["dir"].other == "" {
			return nil, fmt.Errorf("%s: language.name or language.dir is missing", name)
		}
		all.list = append(all.list, l)
	}
	slices.SortFunc(all.list, func(a, b *Language) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// All calls yield with each language.
func (all *Languages) All(yield func(*Language) bool) {
	for _, l := range all.list {
		if !yield(l) {
			return
		}
	}
}

// Tag returns the language of a tag, or of its first subtag: de-AT is de. nil: none.
func (all *Languages) Tag(tag string) *Language {
	primary, _, _ := strings.Cut(tag, "-")
	for _, want := range []string{tag, primary} {
		for _, l := range all.list {
			if strings.EqualFold(l.Tag, want) {
				return l
			}
		}
	}
	return nil
}

// maxRanges bounds how much of a header is looked at.
const maxRanges = 32

// Accepted returns the best language for an Accept-Language (RFC 9110 section 12.5.4):
// the first of the highest weight that there is, else Fallback.
func (all *Languages) Accepted(header string) *Language {
	type weighted struct {
		tag    string
		weight float64
	}
	var wanted []weighted
	for part := range strings.SplitSeq(header, ",") {
		tag, parameter, _ := strings.Cut(part, ";")
		weight := 1.0
		if name, value, ok := strings.Cut(parameter, "="); ok && strings.TrimSpace(name) == "q" {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
				weight = q
			} else {
				weight = 0
			}
		}
		if weight > 0 {
			wanted = append(wanted, weighted{strings.TrimSpace(tag), weight})
		}
		if len(wanted) == maxRanges {
			break
		}
	}
	slices.SortStableFunc(wanted, func(a, b weighted) int { return cmp.Compare(b.weight, a.weight) })
	for _, w := range wanted {
		if w.tag == "*" {
			break
		}
		if l := all.Tag(w.tag); l != nil {
			return l
		}
	}
	return all.Tag(Fallback)
}

// Has reports whether there is a text of this key.
func (l *Language) Has(key string) bool {
	area, name, _ := strings.Cut(key, ".")
	_, ok := l.texts[area][name]
	return ok
}

// Say returns the text of a key, with pairs of names and values in its braces. Where
// the language lacks it, it is Fallback's.
func (l *Language) Say(key string, values ...string) string {
	area, name, _ := strings.Cut(key, ".")
	said, ok := l.texts[area][name]
	if !ok {
		if fallback := l.all.Tag(Fallback); fallback != nil && fallback != l {
			return fallback.Say(key, values...)
		}
		return key
	}
	pairs := make([]string, 0, len(values))
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, "{"+values[i]+"}", l.isolated(values[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(said.other)
}

// isolated puts a value between marks that keep its direction and that of the text apart
// (FSI and PDI of Unicode TR 9), where either of the two may run from right to left. The
// marks that the value has itself go.
func (l *Language) isolated(value string) string {
	foreign := func(r rune) bool { p, _ := bidi.LookupRune(r); return p.Class() == bidi.R || p.Class() == bidi.AL }
	if l.texts["language"]["dir"].other != "rtl" && !strings.ContainsFunc(value, foreign) {
		return value
	}
	return "\u2068" + strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, value) + "\u2069"
}

var placeholder = regexp.MustCompile(`\[\[([a-z0-9. -]+)\]\]`)

// Wanted reports whether a page has to be filled in.
func Wanted(content []byte) bool { return placeholder.Match(content) }

// Fill writes the texts of the language into a page.
func (l *Language) Fill(content []byte) []byte {
	return placeholder.ReplaceAllFunc(content, func(at []byte) []byte {
		key := string(at[2 : len(at)-2])
		first, rest, _ := strings.Cut(key, " ")
		switch first {
		case "language":
			return []byte(l.Tag)
		case "languages":
			return []byte(l.options())
		case "words":
			return l.areas(strings.Fields(rest))
		}
		return []byte(html.EscapeString(l.Say(key)))
	})
}

// options are those of a <select>.
func (l *Language) options() string {
	var out strings.Builder
	for _, each := range l.all.list {
		chosen := ""
		if each == l {
			chosen = " selected"
		}
		fmt.Fprintf(&out, `<option value="%s" lang="%[1]s"%s>%s</option>`, each.Tag, chosen, html.EscapeString(each.Name))
	}
	return out.String()
}

// areas are some of the texts as JSON, which may stand in a <script>: < is escaped.
func (l *Language) areas(names []string) []byte {
	some := make(map[string]map[string]text, len(names))
	for _, name := range names {
		some[name] = l.texts[name]
	}
	out, err := json.Marshal(some)
	if err != nil {
		panic(err) // it was read from JSON
	}
	return out
}
