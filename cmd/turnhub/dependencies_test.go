package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

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
