package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedSecrets breaks the file of secrets in the state directory in every way
// that happens: it gets a word that helps, and no other file in its place.
func TestDamagedSecrets(t *testing.T) {
	whole := strings.Repeat("0123456789abcdef", 4) + "\n"
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	for name, x := range map[string]struct {
		damage  func(string) error
		err     string // of Secrets; "": none
		warning string
	}{
		"whole":     {text(whole), "", ""},
		"empty":     {text(""), "holds no secret", ""},
		"half":      {text(whole[:20]), "", "if it was cut"},
		"very half": {text(whole[:5]), "shorter than 8", ""},
		"zeros":     {text(strings.Repeat("\x00", 64)), "is damaged", ""},
		"binary":    {text("abcdefghijk\xff\xfe\n"), "is damaged", ""},
		"newer":     {text(`{"version":2,"secrets":["0123456789abcdef"]}` + "\n"), "maybe a newer one's", ""},
		"directory": {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory", ""},
		"dangling":  {func(path string) error { return os.Symlink(path+"-gone", path) }, "a link to", ""},
		"foreign": {func(path string) error {
			if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
				return err
			}
			return os.Chown(path, 4242, -1)
		}, "", "belongs to user 4242"},
	} {
		if name == "foreign" && os.Geteuid() != 0 {
			t.Log("SKIPPED: only root can give a file to another user")
			continue
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "turn-secrets")
		if err := x.damage(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		c := &Config{StateDir: dir}
		_, warnings, err := c.Secrets(true)
		if x.err == "" && err != nil || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err) || !strings.Contains(err.Error(), "; ")) {
			t.Errorf("%s: %v, want %q", name, err, x.err)
		}
		said := ""
		for _, w := range warnings {
			said += w.Problem + "; " + w.Remedy
		}
		if x.warning == "" && said != "" || !strings.Contains(said, x.warning) {
			t.Errorf("%s: warned of %q, want %q", name, said, x.warning)
		}
		after, _ := os.ReadFile(path)
		entries, _ := os.ReadDir(dir)
		if string(after) != string(before) || len(entries) != 1 {
			t.Errorf("%s: the directory has changed: %v", name, entries)
		}
	}
}
