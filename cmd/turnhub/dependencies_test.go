package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestArrows holds what the packages may know of each other: the arrows point
// down to a ground floor that knows nothing of ours, and the relay and the hub do
// not know each other. The hub's own two floors: delivery knows no room, and both speak
// the words of wire. internal/access belongs to the ground floor too: whose token says
// what, and who is revoked, is asked wherever somebody is let in, and it knows nobody
// who asks.
func TestArrows(t *testing.T) {
	may := map[string][]string{
		"internal/netaddr":   {},
		"internal/ratelimit": {},
		"internal/stream":    {},
		"internal/extaddr":   {"internal/netaddr"},
		"internal/portmux":   {"internal/netaddr", "internal/forwarded", "internal/proxyheader", "internal/ratelimit", "internal/stream"},

		// The rooms of the relay. The protocol does not know what drives it.
		"turnsrv": {"internal/netaddr", "turnsrv/policy", "turnsrv/credentials", "turnsrv/internal/wire", "turnsrv/internal/backlog",
			"turnsrv/internal/core", "turnsrv/internal/epoll", "turnsrv/internal/uring", "turnsrv/internal/portable", "turnsrv/internal/kernel"},
		"turnsrv/internal/epoll":    {"internal/stream", "turnsrv/internal/uring", "turnsrv/internal/wire", "turnsrv/internal/backlog", "turnsrv/internal/core"},
		"turnsrv/internal/uring":    {},
		"turnsrv/internal/kernel":   {"turnsrv/internal/wire", "turnsrv/internal/core"},
		"turnsrv/internal/portable": {"internal/stream", "turnsrv/internal/wire", "turnsrv/internal/backlog", "turnsrv/internal/core"},
		"turnsrv/policy":            {"internal/netaddr"},
		"turnsrv/credentials":       {},
		"turnsrv/internal/wire":     {},
		"turnsrv/internal/backlog":  {},
		"turnsrv/internal/core":     {"internal/netaddr", "internal/ratelimit", "turnsrv/policy", "turnsrv/credentials", "turnsrv/internal/wire", "turnsrv/internal/backlog"},

		// Many nodes. It knows neither the relay nor the hub.
		"cluster":           {"cluster/link", "cluster/placement", "internal/stream"},
		"cluster/link":      {},
		"cluster/placement": {},

		// What is told to programs. It knows neither the relay nor the hub, which do not know it.
		"events":            {"internal/boltfile", "internal/netaddr", "internal/outbound", "internal/ratelimit", "internal/statefile"},
		"push":              {"internal/boltfile", "internal/netaddr", "internal/outbound", "internal/ratelimit", "internal/statefile"},
		"internal/boltfile": {},
		"internal/outbound": {"internal/netaddr"},

		// The floors of the hub. Delivery knows no room.
		"internal/access":    {"internal/statefile"},
		"internal/forwarded": {"internal/netaddr", "internal/ratelimit"},
		"signaling": {
			"internal/netaddr", "internal/ratelimit", "internal/forwarded", "internal/access",
			"signaling/internal/delivery", "signaling/internal/lookup", "signaling/internal/tally", "signaling/internal/timers", "signaling/internal/wire",
		},
		"signaling/internal/delivery": {
			"internal/netaddr", "internal/ratelimit", "internal/access", "internal/stream",
			"signaling/internal/lookup", "signaling/internal/tally", "signaling/internal/timers", "signaling/internal/wire", "signaling/internal/wsock",
		},
		"signaling/media": {
			"internal/handshake", "internal/ratelimit", "signaling",
			"signaling/internal/admission", "signaling/internal/tally", "signaling/internal/wire", "signaling/internal/wsock",
		},
		"signaling/internal/across": {"signaling"},
		"signaling/internal/wire":   {},
		"signaling/internal/wsock":  {"internal/stream", "internal/ratelimit"},
		"signaling/internal/timers": {},
		"signaling/internal/lookup": {},
		"signaling/internal/tally":  {},
	}
	// These know no system and do no I/O.
	pure := []string{"internal/netaddr", "internal/ratelimit", "turnsrv/policy", "turnsrv/credentials", "turnsrv/internal/wire", "turnsrv/internal/backlog", "turnsrv/internal/core", "signaling/internal/wire", "signaling/internal/lookup", "signaling/internal/tally", "signaling/internal/timers", "cluster/placement", "cluster/link"}
	io := []string{"net", "os", "syscall", "golang.org/x/sys/unix"}
	for name, allowed := range may {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "turnhub/"+name).Output()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, path := range strings.Fields(string(out)) {
			if ours, found := strings.CutPrefix(path, "turnhub/"); found && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s; it may import of ours only %v", name, ours, allowed)
			}
			if slices.Contains(pure, name) && slices.Contains(io, path) {
				t.Errorf("%s imports %s; it does no I/O", name, path)
			}
		}
	}
}

// TestDependencies compares docs/dependencies.md with what is linked, and with what
// is run to build.
func TestDependencies(t *testing.T) {
	modules := func(program string) []string {
		list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", program)
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		all := slices.DeleteFunc(strings.Fields(string(out)), func(m string) bool { return m == "turnhub" })
		slices.Sort(all)
		return slices.Compact(all)
	}
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := func(doc string) []string {
		var named []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(doc, -1) {
			named = append(named, row[1])
		}
		slices.Sort(named)
		return named
	}
	inDoc, building, _ := strings.Cut(string(doc), "## Used when building only")
	linked := modules(".")
	built := slices.DeleteFunc(modules("../../internal/assets/generate"), func(m string) bool { return slices.Contains(linked, m) })
	for what, pair := range map[string][2][]string{"linked": {rows(inDoc), linked}, "used to build": {rows(building), built}} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("docs/dependencies.md names\n%s\n%s are\n%s", strings.Join(pair[0], "\n"), what, strings.Join(pair[1], "\n"))
		}
	}
}
