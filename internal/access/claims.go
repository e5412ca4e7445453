package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// knownClaims are those of RFC 7519 section 4.1, and our own.
var knownClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "rooms", "host"}

// maxClaims is how many members a token may have.
const maxClaims = 256

// UnmarshalJSON takes each claim by its exact name, once. encoding/json would take
// ROOMS for rooms, and the last of several: then a token says one thing to whoever
// issued it and another to us (RFC 7519 section 4: names are unique, and their case
// counts). What is null has been forgotten, not left away.
func (c *tokenClaims) UnmarshalJSON(text []byte) error {
	values, err := members(text)
	if err != nil {
		return err
	}
	for name, value := range values {
		for _, known := range knownClaims {
			switch {
			case name == known:
				if string(value) == "null" {
					return claimError(fmt.Sprintf("its claim %s is null: give it a value, or omit it", known))
				}
			case strings.EqualFold(name, known):
				return claimError(fmt.Sprintf("it has a claim that differs from %s only in its case: write %s", known, known))
			}
		}
	}
	for _, claim := range []struct {
		name string
		into any
	}{
		{"iss", &c.Issuer}, {"sub", &c.Subject}, {"aud", &c.Audience}, {"exp", &c.ExpiresAt},
		{"nbf", &c.NotBefore}, {"iat", &c.IssuedAt}, {"jti", &c.ID},
	} {
		if value, ok := values[claim.name]; ok {
			if json.Unmarshal(value, claim.into) != nil {
				return claimError(fmt.Sprintf("its claim %s has the wrong type", claim.name))
			}
		}
	}
	if value, ok := values["rooms"]; ok {
		var rooms []*string // a null among them would else be the room ""
		if json.Unmarshal(value, &rooms) != nil || slices.Contains(rooms, nil) {
			return claimError("its claim rooms must be a list of strings: omit it for every room")
		}
		list := make([]string, len(rooms))
		for i, room := range rooms {
			list[i] = norm.NFC.String(*room)
		}
		c.Rooms = &list
	}
	if value, ok := values["host"]; ok {
		if json.Unmarshal(value, &c.Host) != nil {
			return claimError("its claim host must be true or false")
		}
	}
	return nil
}

// members takes an object of JSON apart, whose members must have different names.
func members(text []byte) (map[string]json.RawMessage, error) {
	in := json.NewDecoder(bytes.NewReader(text))
	if first, err := in.Token(); err != nil || first != json.Delim('{') {
		return nil, claimError("its claims are no JSON object")
	}
	values := make(map[string]json.RawMessage)
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, claimError("its claims are no JSON")
		}
		key, _ := name.(string) // names are
		if _, twice := values[key]; twice {
			return nil, claimError("it has the same claim twice")
		}
		if len(values) == maxClaims {
			return nil, claimError(fmt.Sprintf("it has more than %d claims", maxClaims))
		}
		var value json.RawMessage
		if in.Decode(&value) != nil {
			return nil, claimError("its claims are no JSON")
		}
		values[key] = value
	}
	return values, nil
}
