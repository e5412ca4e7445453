package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// mostImage is how many bytes the image has at most, compressed as registries keep it.
const mostImage = 12 << 20

// made is the image's file system, made from the sources in a directory.
func made(t *testing.T, sources, arch, version string) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command(filepath.Join(sources, "deploy/image"), arch, version, dir)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("deploy/image %s: %v: %s", arch, err, output)
	}
	return dir
}

// layer is a file system as a registry keeps it, and what each file is.
func layer(t *testing.T, dir string) (compressed int, files map[string]string) {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	files = make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		header.Name = name
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		files[name] = fmt.Sprint(info.Mode(), " ", info.ModTime().UTC())
		if !info.Mode().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[name] += fmt.Sprintf(" %x", sha256.Sum256(content))
		_, err = archive.Write(content)
		return err
	})
	if err == nil {
		err = archive.Close()
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Len(), files
}

// TestImageReproducible makes the image for both architectures, and again from a copy of
// the sources in another place: the files are the same, few enough, of the version that
// was asked for, and what the list of components says is in them is in them.
func TestImageReproducible(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("SKIPPED: it builds for both architectures twice; set E2E_LONG=1")
	}
	const version = "1.2.3-test"
	// Neither is made in the tree itself, where another build may be at work.
	first, elsewhere := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "a place that is not the first")
	copied(t, first)
	copied(t, elsewhere)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		first := made(t, first, arch, version)
		size, files := layer(t, first)
		t.Logf("%s: %.2f MB compressed", arch, float64(size)/1e6)
		if size >= mostImage {
			t.Errorf("%s: the image has %d bytes compressed, above %d", arch, size, mostImage)
		}
		_, again := layer(t, made(t, elsewhere, arch, version))
		for name, what := range files {
			if again[name] != what {
				t.Errorf("%s: %s is not the same when it is made again:\n%s\n%s", arch, name, what, again[name])
			}
		}
		if len(again) != len(files) {
			t.Errorf("%s: %d files, and %d when it is made again", arch, len(files), len(again))
		}
		program, err := elf.Open(filepath.Join(first, "turnhub"))
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != machine || slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s: the program is for %v, or not static", arch, program.Machine)
		}
		program.Close()
		if arch == runtime.GOARCH {
			output, err := exec.Command(filepath.Join(first, "turnhub"), "version").Output()
			if err != nil || !strings.Contains(string(output), version) {
				t.Errorf("the version is %q, %v", output, err)
			}
		}
		agrees(t, first, version)
	}
}

// copied copies the sources, committed or not.
func copied(t *testing.T, into string) {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard")
	list.Dir = ".."
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		from, err := os.Open(filepath.Join("..", name))
		if err != nil {
			continue // removed, and not yet committed
		}
		info, err := from.Stat()
		to := filepath.Join(into, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755))
		if err == nil {
			var copied *os.File
			if copied, err = os.OpenFile(to, os.O_CREATE|os.O_WRONLY, info.Mode().Perm()); err == nil {
				_, err = io.Copy(copied, from)
				copied.Close()
			}
		}
		from.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// agrees holds the list of components against the modules that the linker has noted.
func agrees(t *testing.T, dir, version string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "usr/share/doc/turnhub/sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sbom struct {
		Metadata struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &sbom); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(filepath.Join(dir, "turnhub"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"std " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		want = append(want, m.Path+" "+m.Version)
	}
	var got []string
	for _, c := range sbom.Components {
		got = append(got, c.Name+" "+c.Version)
		if !strings.HasSuffix(c.PURL, c.Name+"@"+c.Version) {
			t.Errorf("%s has the address %s", c.Name, c.PURL)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("components:\n%v\nlinked:\n%v", got, want)
	}
	if sbom.Metadata.Component.Name != "turnhub" || sbom.Metadata.Component.Version != version {
		t.Errorf("it is the list of %+v", sbom.Metadata.Component)
	}
}
