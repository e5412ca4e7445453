package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOneVersion: what must name the version names that of VERSION.
func TestOneVersion(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	version := strings.TrimSpace(read("VERSION"))
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		t.Fatalf("VERSION holds %q", version)
	}
	for _, name := range []string{"web/client/package.json", "web/client/package-lock.json"} {
		var p struct{ Version string }
		if err := json.Unmarshal([]byte(read(name)), &p); err != nil || p.Version != version {
			t.Errorf("%s is of version %q, VERSION says %s (%v)", name, p.Version, version, err)
		}
	}
	section := regexp.MustCompile(`(?m)^## (\S+) - (unreleased|\d{4}-\d\d-\d\d)$`).FindStringSubmatch(read("CHANGELOG.md"))
	if section == nil || section[1] != version {
		t.Errorf("the first section of CHANGELOG.md is %q, VERSION says %s", section, version)
	}
}

// TestVersionsGrow walks a repository over a release: each state's version is
// above the one before, as apt and a clone without history see it.
func TestVersionsGrow(t *testing.T) {
	script, err := os.ReadFile("../../systemd/version")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sh := func(where, command string) string {
		t.Helper()
		c := exec.Command("bash", "-euc", command)
		c.Dir = where
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "TZ=Asia/Tokyo")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	source, clone := filepath.Join(dir, "source"), filepath.Join(dir, "clone")
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("systemd/version", string(script), 0o755)
	write("VERSION", "1.3.0\n", 0o644)
	write("CHANGELOG.md", "## 1.3.0 - unreleased\n\n## 1.2.0 - 2026-01-01\n", 0o644)
	bare := sh(source, "systemd/version")
	if bare != "1.3.0~0.nogit" {
		t.Errorf("without git: %q", bare)
	}
	sh(source, "git init -q -b main; git config user.name x; git config user.email x@x.example")
	seconds := 1_795_797_912
	commit := func() string {
		seconds += 59
		date := fmt.Sprintf("GIT_AUTHOR_DATE=@%d GIT_COMMITTER_DATE=@%[1]d", seconds)
		sh(source, "git add -A; "+date+" git commit -q --allow-empty -m x")
		sh(dir, "rm -rf clone; git clone -q --depth 1 file://"+source+" clone")
		return sh(clone, "systemd/version")
	}
	states := []string{"1.2.0", bare, commit(), commit()}
	if !regexp.MustCompile(`^1\.3\.0~20261127\d{6}\.git[0-9a-f]{7}$`).MatchString(states[3]) {
		t.Errorf("before the release: %q", states[3])
	}
	write("VERSION", "1.3.0 \n", 0o644)
	if dirty := sh(source, "systemd/version"); dirty != states[3]+".dirty" {
		t.Errorf("changed: %q", dirty)
	}
	write("VERSION", "1.3.0\n", 0o644)
	write("CHANGELOG.md", "## 1.3.0 - 2026-12-01\n", 0o644)
	commit()
	sh(source, "git tag v1.3.0")
	released := sh(source, "systemd/version")
	if released != "1.3.0" {
		t.Errorf("the release: %q", released)
	}
	states = append(states, released, commit())
	write("VERSION", "1.4.0\n", 0o644)
	write("CHANGELOG.md", "## 1.4.0 - unreleased\n\n## 1.3.0 - 2026-12-01\n", 0o644)
	states = append(states, commit())
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("dpkg is not installed")
	}
	for i, v := range states[1:] {
		if err := exec.Command("dpkg", "--compare-versions", v, "gt", states[i]).Run(); err != nil {
			t.Errorf("%s is not above %s for dpkg (%v)", v, states[i], err)
		}
	}
	if err := exec.Command("dpkg", "--compare-versions", bare, "gt", "0~git.f389eef").Run(); err != nil {
		t.Errorf("%s is not above the packages of before", bare)
	}
}
