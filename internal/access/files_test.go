package access

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDamagedRevokedFile breaks revoked.json in every way that happens. The start is
// refused with a word that helps; a running server keeps a revocation in force, says
// that it is not written down, and leaves the file as it is.
func TestDamagedRevokedFile(t *testing.T) {
	whole := `{"anna":"2026-01-02T03:04:05Z","bob":"2026-01-02T03:04:05Z"}` + "\n"
	for name, x := range map[string]struct {
		damage func(path string) error
		says   string
	}{
		"empty":          {text(""), "is empty"},
		"blank":          {text("\n\n"), "is empty"},
		"half":           {text(whole[:len(whole)/2]), "is damaged"},
		"no object":      {text(`["anna"]`), "is damaged"},
		"no time":        {text(`{"anna":true}`), "is damaged"},
		"two halves":     {text(whole + whole), "is damaged"},
		"zeros":          {text(strings.Repeat("\x00", 200)), "is damaged"},
		"null":           {text("null"), "is not an object"},
		"newer":          {text(`{"version":3,"revoked":[]}`), "newer turnhub"},
		"directory":      {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		"dangling link":  {func(path string) error { return os.Symlink(path+"-gone", path) }, "a link to"},
		"device":         {func(path string) error { return os.Symlink("/dev/zero", path) }, "no ordinary file"},
		"far too large":  {func(path string) error { return os.WriteFile(path, make([]byte, 17<<20), 0o600) }, "at most"},
		"link to itself": {func(path string) error { return os.Symlink(path, path) }, "file system"},
	} {
		dir := t.TempDir()
		cfg := Config{SecretFile: write(t, "secret", secret), RevokedFile: filepath.Join(dir, "revoked.json")}
		v, err := NewVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.damage(cfg.RevokedFile); err != nil {
			t.Fatal(err)
		}
		before := look(t, dir)
		if _, err := NewVerifier(cfg); err == nil || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%s: the start says %v", name, err)
		}
		if err := v.Revoke("vasya"); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: the answer is %v", name, err)
		}
		if v.RevokedAt("vasya").IsZero() {
			t.Errorf("%s: the revocation does not hold", name)
		}
		if after := look(t, dir); after != before {
			t.Errorf("%s: the directory held %s and holds %s", name, before, after)
		}
		// Once it is mended, the next revocation writes both down.
		if err := os.RemoveAll(cfg.RevokedFile); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(cfg.RevokedFile, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := v.Revoke("petya"); err != nil {
			t.Fatal(err)
		}
		again, err := NewVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{"anna", "bob", "vasya", "petya"} {
			if again.RevokedAt(user).IsZero() {
				t.Errorf("%s: the revocation of %s is lost", name, user)
			}
		}
	}
}

func text(s string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
}

// look describes all that is in a directory.
func look(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Name()+" "+info.Mode().String()+" "+info.ModTime().Format(time.RFC3339Nano))
	}
	return strings.Join(all, ", ")
}

// TestUnkept holds that a successor is told of what could not be written down, and of
// nothing else.
func TestUnkept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "revoked.json")
	cfg := Config{Open: true, RevokedFile: file}
	old, err := NewVerifier(cfg)
	if err != nil || old.Revoke("anna") != nil {
		t.Fatal(err)
	}
	old.Mark("bob") // as with a full disk
	young, err := NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if unkept := old.Unkept(); len(unkept) != 1 || unkept["bob"].IsZero() {
		t.Errorf("unkept is %v", unkept)
	}
	young.Add(old.Unkept())
	if !young.RevokedAt("bob").Equal(old.RevokedAt("bob")) || !young.RevokedAt("anna").Equal(old.RevokedAt("anna")) {
		t.Error("the successor does not know who is revoked")
	}
	if err := young.Keep(); err != nil || len(old.Unkept()) != 0 {
		t.Errorf("%v, unkept is %v", err, old.Unkept())
	}
}

// TestRevokedFileIsBounded revokes more users than are remembered, with a file and with
// what another process hands over: the oldest are forgotten, there too, and no other.
func TestRevokedFileIsBounded(t *testing.T) {
	cfg := Config{SecretFile: write(t, "secret", secret), RevokedFile: filepath.Join(t.TempDir(), "revoked.json")}
	begin := time.Now().Add(-time.Hour).Round(0)
	full := make(map[string]time.Time)
	for i := range MaxRevoked {
		full[fmt.Sprint("user-", i)] = begin.Add(time.Duration(i) * time.Millisecond)
	}
	written, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.RevokedFile, written, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna", "bob"} {
		if err := v.Revoke(name); err != nil {
			t.Fatal(err)
		}
	}
	v.Add(map[string]time.Time{"carla": time.Now(), "long-ago": begin.Add(-time.Minute)})
	if err := v.Keep(); err != nil {
		t.Fatal(err)
	}
	again, err := NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for which, v := range map[string]*Verifier{"the server": v, "the next one": again} {
		if len(v.list.at) != MaxRevoked || len(v.list.tags) != MaxRevoked {
			t.Errorf("%s remembers %d", which, len(v.list.at))
		}
		for name, want := range map[string]bool{"anna": true, "bob": true, "carla": true, "user-3": true, "user-2": false, "user-0": false, "long-ago": false} {
			if got := !v.RevokedAt(name).IsZero(); got != want {
				t.Errorf("%s: %s is revoked: %v", which, name, got)
			}
		}
	}
}
