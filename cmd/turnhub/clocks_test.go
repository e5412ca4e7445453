package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The time of day is asked for where it is meant, and nowhere else. Everything that
// lasts goes by a clock that setting the machine's does not move: time.Since of a
// time.Now, a timer, the hub's clock, the relay's. A use of the functions below is in
// this list, with the reason why a clock that jumps does no harm there, or it is the
// deadline of a connection, made on the spot: the runtime keeps those evenly.
var clocks = map[string]string{
	// What the outside writes and reads as a time of day.
	"internal/access/revoked.go":          "a revocation is compared with a token's iat",
	"internal/access/token.go":            "iat and exp of tokens",
	"internal/access/invitation.go":       "an invitation holds when it was issued and when it expires",
	"internal/certs/":                     "certificates hold times of day",
	"internal/probe/failure.go":           "says whether a certificate is valid yet",
	"turnsrv/credentials/username.go":     "a username holds its expiry",
	"turnsrv/internal/turntest/client.go": "tests mint credentials for an hour",
	"turnsrv/internal/core/control.go":    "the expiry of credentials alone",
	"web/config.go":                       "expires of an RTCConfiguration",
	"cmd/turnhub/credentials.go":          "exp of the token that is printed",
	"cmd/turnhub/check.go":                "credentials and a token of the checker's own, used at once",
	"cmd/turnhub/selfcheck.go":            "the same; and how old a pulse is, by time.Since",
	"web/admin/others.go":                 "the same",
	"web/admin/console.go":                "what the page shows, and durations by differences of time.Now",
	// Differences of two time.Now, which go evenly.
	"internal/access/lock.go":         "a deadline for a lock, by differences of time.Now",
	"internal/extaddr/detect.go":      "time.Since of a time.Now",
	"internal/extaddr/stun.go":        "a random port; a deadline in the past, which cancels",
	"internal/portmux/":               "the clock of limits, by time.Since of the start; deadlines of connections",
	"internal/probe/":                 "how long something took, by time.Since",
	"internal/forwarded/":             "the start, for lines in the log by time.Since",
	"internal/ratelimit/lines.go":     "the same",
	"internal/stream/conn_linux.go":   "for how long the deadline of a connection still is",
	"web/ratelimit.go":                "the start, for the rate by time.Since",
	"web/requests.go":                 "how long an answer took; the second in which a line was logged",
	"web/admin/admin.go":              "the start, for the uptime, by a difference",
	"turnsrv/internal/core/shared.go": "the relay's clock, by time.Since of the start",
	"cmd/turnhub/node.go":             "the start, by time.Since; credentials of the prober's own, used at once",
	"cmd/turnhub/serve.go":            "how long the start took, by time.Since",
	// Events.
	"events/journal.go":            "the time of an event; pauses by time.Since and time.Until of a time.Now",
	"events/store.go":              "how old the history is, which holds times of day; lines in the log by time.Since",
	"events/sign.go":               "how old a signature is, which holds a time of day",
	"events/sender.go":             "when the next attempt is due, which outlasts a restart, and so must be a time of day",
	"events/share.go":              "the name of a run: who began first makes room",
	"events/client.go":             "the time of a signature and of the event of a check",
	"cmd/turnhub/events.go":        "the start, by time.Since",
	"cmd/turnhub/checkwebhooks.go": "how long it took, by time.Since",
	"web/admin/api.go":             "which day it is",
	// Push.
	"push/records.go":   "when a name was used last, for months; changes of several nodes' records are ordered by it",
	"push/share.go":     "the same; how long ago something was asked or said, by time.Since of a time.Now",
	"push/ringshare.go": "when a call began, for other nodes; how long ago it was heard of, by time.Since of a time.Now",
	"push/client.go":    "exp of the token that a push service wants; and how long it wants to be left alone, which it may say as a time of day",
	"push/ring.go":      "when a call began, by time.Since of a time.Now; and for other nodes",
	"push/queue.go":     "when the next attempt is due, by differences of time.Now",
	"push/disk.go":      "lines in the log by time.Since",
	"push/push.go":      "the start, for rates by time.Since",
	// Many nodes.
	"cluster/record.go":                  "what a node sends holds its time of day, so that it is not sent again later",
	"cluster/cluster.go":                 "the cluster's clock, by time.Since of the start",
	"cluster/look.go":                    "the same",
	"signaling/internal/wstest/clock.go": "a clock for tests, by time.Since of a time.Now",
	"signaling/internal/across/seats.go": "who was first, of two who come to two nodes at the same moment",
	"signaling/peerjs/realm.go":          "which of two sockets of a peer on two nodes is the newer one",
	"signaling/peerjs/places.go":         "the same",
	"signaling/peerjs/listing.go":        "how old a list is, by time.Since of a time.Now",
	"cmd/turnhub/drain.go":               "a difference of two time.Now",
	"cmd/turnhub/cluster.go":             "the share of the processors, by differences of time.Now",
	// The hub.
	"signaling/clock.go":                     "the hub's clock",
	"signaling/hub.go":                       "time.Now is given to delivery as the time of day",
	"signaling/internal/delivery/clock.go":   "what crosses to the hub's clock",
	"signaling/internal/delivery/session.go": "time.Unix of a time of the hub's own clock, kept as a number",
	"signaling/internal/wsock/line.go":       "the start, for lines without a hub's clock by time.Since",
	"signaling/internal/timers/":             "the same",
	"signaling/internal/admission/desk.go":   "a token's expiry is taken in as a duration",
}

func TestClocks(t *testing.T) {
	used := make(map[string]bool)
	for _, top := range []string{"cluster", "cmd", "events", "internal", "push", "signaling", "turnsrv", "web"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			name, err := filepath.Rel("../..", path)
			if err != nil {
				return err
			}
			for _, use := range clockUses(t, path, !slices.Contains([]string{"signaling", "signaling/internal/delivery"}, filepath.Dir(name))) {
				if allowed(name, used) == "" {
					t.Errorf("%s: %s: it goes by the time of day, which can be set; use a clock that goes evenly, or add the file here with the reason", name, use)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, place := range slices.Sorted(maps.Keys(clocks)) {
		if !used[place] {
			t.Errorf("%s does not ask for the time any more: take it out of the list", place)
		}
	}
}

// allowed returns the reason for which a file may ask for the time of day.
func allowed(name string, used map[string]bool) string {
	for _, place := range []string{name, filepath.Dir(name) + "/"} {
		if clocks[place] != "" {
			used[place] = true
			return clocks[place]
		}
	}
	return ""
}

// clockUses returns where a file asks for the time of day. Deadlines are left out if
// they may be made of it.
func clockUses(t *testing.T, path string, deadlines bool) (uses []string) {
	t.Helper()
	files := gotoken.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	even := make(map[ast.Node]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !deadlines {
			return true
		}
		if to, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(to.Sel.Name, "Set") && strings.HasSuffix(to.Sel.Name, "Deadline") {
			ast.Inspect(call.Args[0], func(n ast.Node) bool {
				even[n] = true
				return true
			})
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok || even[n] {
			return true
		}
		from, ok := selector.X.(*ast.Ident)
		if ok && from.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Unix", "UnixMilli", "UnixMicro"}, selector.Sel.Name) {
			uses = append(uses, fmt.Sprintf("line %d: time.%s", files.Position(n.Pos()).Line, selector.Sel.Name))
		}
		return true
	})
	return uses
}
