package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// builder makes what the Dockerfile calls its Go image, of what this machine has: no
// registry is asked. A step of the build runs in it as root, without a container.
const builder = `set -eu
base=$1 arch=$2 name=$3
mkdir -p "$base/usr/bin" "$base/bin" "$base/usr/local" "$base/etc/ssl/certs" "$base/root" "$base/tmp" "$base/proc" "$base/dev"
for program in sh dirname mkdir mv cp chmod touch find cat; do
	file=$(command -v $program)
	cp -L "$file" "$base/usr/bin/$program"
	ln -sf ../usr/bin/$program "$base/bin/$program"
	for library in $(ldd "$file" | grep -o '/[^ ]*'); do
		mkdir -p "$base${library%/*}"
		[ -e "$base$library" ] || cp -L "$library" "$base$library"
	done
done
cp -r "$(go env GOROOT)" "$base/usr/local/go"
cp /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
echo root:x:0:0::/root:/bin/sh >"$base/etc/passwd"
container=$(buildah from scratch)
buildah add -q "$container" "$base" /
buildah config --arch "$arch" --env PATH=/usr/local/go/bin:/usr/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local --env HOME=/root "$container"
buildah commit -q --rm "$container" "$name"
`

// TestImageByDockerfile has buildah build the image for both architectures, in a change
// of root where no container can be started: its files are those of deploy/image, the
// folder of the state is the image's user's, and what an engine is told is right.
func TestImageByDockerfile(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("SKIPPED: it builds for both architectures; set E2E_LONG=1")
	}
	if _, err := exec.LookPath("buildah"); err != nil || os.Getuid() != 0 {
		t.Skip("SKIPPED: it needs root and buildah (apt-get install buildah)")
	}
	const version = "1.2.3-test"
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "FROM --platform=$BUILDPLATFORM ")
	name, _, found := strings.Cut(rest, " AS build")
	if !found {
		t.Fatal("the Dockerfile has no stage that builds")
	}
	dir := t.TempDir()
	storage := filepath.Join(dir, "storage.conf")
	write(t, storage, fmt.Sprintf("[storage]\ndriver = \"vfs\"\nrunroot = \"%[1]s/run\"\ngraphroot = \"%[1]s/graph\"\n", dir))
	do := func(name string, args ...string) string {
		t.Helper()
		command := exec.Command(name, args...)
		command.Dir = ".."
		// Docker's own form of images, which has a health check.
		command.Env = append(os.Environ(), "STORAGE_DRIVER=vfs", "BUILDAH_FORMAT=docker", "CONTAINERS_STORAGE_CONF="+storage)
		var log lockedBuffer
		command.Stderr = &log
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s\n%s", name, args, err, output, &log)
		}
		return strings.TrimSpace(string(output))
	}
	modules, cache := do("go", "env", "GOMODCACHE"), do("go", "env", "GOCACHE")
	for _, arch := range []string{"amd64", "arm64"} {
		// Debian's buildah looks for the builder by the platform that is asked for, and not by
		// $BUILDPLATFORM: so it is said to be of that one.
		do("sh", "-c", builder, "sh", filepath.Join(dir, "base-"+arch), arch, "localhost/"+name)
		do("buildah", "bud", "-q", "--isolation", "chroot", "--pull-never", "--platform", "linux/"+arch, "--build-arg", "VERSION="+version,
			"-v", modules+":/go/pkg/mod", "-v", cache+":/root/.cache/go-build", "-t", "turnhub", ".")
		var image struct {
			OCIv1  struct{ Architecture string }
			Docker struct {
				Config struct {
					User, StopSignal string
					Entrypoint, Cmd  []string
					ExposedPorts     map[string]any
					Volumes          map[string]any
					Labels           map[string]string
					Healthcheck      struct{ Test []string }
				} `json:"config"`
			}
		}
		if err := json.Unmarshal([]byte(do("buildah", "inspect", "--type", "image", "localhost/turnhub")), &image); err != nil {
			t.Fatal(err)
		}
		c := image.Docker.Config
		_, tcp80 := c.ExposedPorts["80/tcp"]
		_, tcp443 := c.ExposedPorts["443/tcp"]
		_, udp443 := c.ExposedPorts["443/udp"]
		_, volume := c.Volumes["/state"]
		if image.OCIv1.Architecture != arch || c.User != "65532:65532" || c.StopSignal != "SIGTERM" || len(c.ExposedPorts) != 3 || !tcp80 || !tcp443 || !udp443 || !volume ||
			c.Labels["org.opencontainers.image.version"] != version || c.Labels["org.opencontainers.image.title"] != "turnhub" ||
			!slices.Equal(c.Entrypoint, []string{"/turnhub"}) || len(c.Cmd) == 0 || !slices.Contains(c.Healthcheck.Test, "--self") {
			t.Errorf("%s: an engine is told %+v", arch, image)
		}
		container := do("buildah", "from", "--pull-never", "localhost/turnhub")
		root := do("buildah", "mount", container)
		_, got := layer(t, root)
		_, want := layer(t, made(t, "..", arch, version))
		for name, what := range want {
			if got[name] != what {
				t.Errorf("%s: %s is not what deploy/image makes:\n%s\n%s", arch, name, got[name], what)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d files, of which deploy/image makes %d", arch, len(got), len(want))
		}
		for name, owner := range map[string]uint32{"state": 65532, "turnhub": 0, "etc/turnhub/config.yaml": 0} {
			info, err := os.Stat(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			if stat := info.Sys().(*syscall.Stat_t); stat.Uid != owner || stat.Gid != owner {
				t.Errorf("%s: %s belongs to %d:%d", arch, name, stat.Uid, stat.Gid)
			}
		}
		do("buildah", "rm", container)
	}
}
