package assets

import (
	"slices"
	"strconv"
	"strings"
)

// preferred returns the encodings that a client accepts and that there are, the best
// first, "" for none (RFC 9110 section 12.5.3). Among equals the smallest goes first.
func preferred(accept []string) []string {
	weights := map[string]float64{}
	for _, field := range accept {
		for part := range strings.SplitSeq(field, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			switch name {
			case "":
				continue
			case "x-gzip": // section 8.4.1.3
				name = "gzip"
			}
			weights[name] = weight(parameters)
		}
	}
	of := func(name string) float64 {
		if q, named := weights[name]; named {
			return q
		}
		return weights["*"] // 0 where it is not named either
	}
	none := 1e-6 // acceptable unless it is ruled out, and behind all that is named
	if q, named := weights["identity"]; named {
		none = q
	} else if q, named := weights["*"]; named && q == 0 {
		none = 0
	}
	type choice struct {
		name string
		q    float64
	}
	choices := slices.DeleteFunc([]choice{{"br", of("br")}, {"gzip", of("gzip")}, {"", none}}, func(c choice) bool { return c.q <= 0 })
	slices.SortStableFunc(choices, func(a, b choice) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = c.name
	}
	return names
}

// weight returns the q of an encoding: 1 where there is none, 0 where it is nonsense.
func weight(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
