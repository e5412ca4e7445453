package config

import (
	"maps"
	"slices"
	"strings"
)

// unknown says what to do about a key that does not exist in the section path
// ("" or "relay."), and marks what was probably meant as broken.
func (r *reader) unknown(key, path string) string {
	last := key[len(path):]
	keys := slices.Sorted(maps.Keys(r.options))
	for _, k := range keys { // right name, wrong section
		if leaf(k) == last {
			r.broken[k] = true
			return "this option does not exist here; write it as " + k + hint(k)
		}
	}
	sections := r.sections()
	if slices.ContainsFunc(sections, func(s string) bool { return leaf(s) == last }) {
		i := slices.IndexFunc(sections, func(s string) bool { return leaf(s) == last })
		r.broken[sections[i]] = true
		return "this section does not exist here; write it as " + sections[i] + hint(sections[i])
	}
	near := nearest(key, append(keys, sections...))
	if near == "" {
		near = alike(last, path, keys)
	}
	if near == "" {
		return "this option does not exist; remove it, or see `turnhub config` for those that do"
	}
	r.broken[near] = true
	if r.isSection(near) {
		return "this section does not exist; write " + near + hint(near) + ", or remove it"
	}
	return "this option does not exist; write " + near + hint(near) + ", or remove it"
}

// sections returns every section's key, sorted.
func (r *reader) sections() []string {
	all := make(map[string]bool)
	for key := range r.options {
		for i, c := range key {
			if c == '.' {
				all[key[:i]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// hint explains a dotted key to who writes sections.
func hint(key string) string {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return " (" + key[i+1:] + " in the section " + key[:i] + ")"
	}
	return ""
}

// nearest returns the candidate within a third of its length of s by edit
// distance, or "". A few candidates that go on where s ends are near as well
// (port for port_min and port_max).
func nearest(s string, candidates []string) string {
	if len(s) > 100 {
		return ""
	}
	s = strings.ToLower(s)
	candidates = slices.Sorted(slices.Values(candidates))
	longer := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !strings.HasPrefix(strings.ToLower(c), s+"_") })
	best, bestAt := "", len(s)/3+1
	for _, c := range candidates {
		d := distance(s, strings.ToLower(c))
		if len(longer) <= 4 && slices.Contains(longer, c) {
			d = 1
		}
		if d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// alike returns the option of a section whose name has the same words in another
// order (min_port for port_min), else the only one that begins with the name
// given or holds it as a word, else "".
func alike(name, path string, keys []string) string {
	words := func(s string) string {
		return strings.Join(slices.Sorted(slices.Values(strings.FieldsFunc(strings.ToLower(s), func(c rune) bool { return c == '_' || c == '-' }))), "_")
	}
	var begins []string
	for _, key := range keys {
		own, in := strings.CutPrefix(key, path)
		if !in || strings.Contains(own, ".") {
			continue
		}
		if words(own) == words(name) {
			return key
		}
		if strings.HasPrefix(own, name+"_") || strings.HasSuffix(own, "_"+name) {
			begins = append(begins, key)
		}
	}
	if len(begins) == 1 {
		return begins[0]
	}
	return ""
}

// distance is the number of letters to insert, remove, replace or swap with their
// neighbour (Damerau-Levenshtein, no letter changed twice) from a to b.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := row[j-1]
			if a[i-1] != b[j-1] {
				cost++
			}
			next[j] = min(cost, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
