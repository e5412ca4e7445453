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
// not know each other.
func TestArrows(t *testing.T) {
	may := map[string][]string{
		"internal/netaddr": {},
		"internal/repeats": {},
		"turnsrv":          {"internal/netaddr"},
		"internal/extaddr": {"internal/netaddr"},
		"internal/portmux": {"internal/netaddr", "internal/forwarded"},
	}
	for name, allowed := range may {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "turnhub/"+name).Output()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, path := range strings.Fields(string(out)) {
			if ours, found := strings.CutPrefix(path, "turnhub/"); found && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s; it may import of ours only %v", name, ours, allowed)
			}
		}
	}
}

// TestDependencies compares docs/dependencies.md with what is linked.
func TestDependencies(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	linked = slices.DeleteFunc(linked, func(m string) bool { return m == "turnhub" })
	slices.Sort(linked)
	linked = slices.Compact(linked)

	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		named = append(named, row[1])
	}
	slices.Sort(named)
	if !slices.Equal(linked, named) {
		t.Errorf("docs/dependencies.md names\n%s\nlinked are\n%s", strings.Join(named, "\n"), strings.Join(linked, "\n"))
	}
}
