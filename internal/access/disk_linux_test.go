package access

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestFullAndReadOnlyDisk revokes while the disk is full, and while it may not be
// written to: the revocation holds, the answer says that it is not written down, the
// file stays whole, and the next revocation that can be written keeps all of them.
func TestFullAndReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	secretFile := write(t, "secret", secret)
	skipped := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A thread of its own, with mounts of its own, that ends with this function.
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS)
		if err == nil {
			err = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700")
		}
		if err != nil {
			skipped <- err.Error()
			return
		}
		cfg := Config{SecretFile: secretFile, RevokedFile: filepath.Join(dir, "revoked.json")}
		v, err := NewVerifier(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		kept := func(user string) {
			if err := v.Revoke(user); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		}
		unkept := func(user, why string) {
			if err := v.Revoke(user); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "until the server restarts") {
				t.Errorf("%s: %v, want %q", user, err, why)
			}
			again, err := NewVerifier(cfg)
			if err != nil || again.RevokedAt("first").IsZero() || v.RevokedAt(user).IsZero() {
				t.Errorf("%s: %v", user, err)
			}
		}
		kept("first")
		ballast := filepath.Join(dir, "ballast")
		_ = os.WriteFile(ballast, make([]byte, 128<<10), 0o600) // as much as there is room for
		unkept("full", "no space left")
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Error(err)
		}
		unkept("locked", "read-only")
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64k"); err != nil {
			t.Error(err)
		}
		kept("last")
		again, err := NewVerifier(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		for _, user := range []string{"first", "full", "locked", "last"} {
			if again.RevokedAt(user).IsZero() {
				t.Errorf("the revocation of %s is lost", user)
			}
		}
	}()
	<-done
	select {
	case why := <-skipped:
		t.Skip("SKIPPED: this user may not mount a disk to fill: " + why)
	default:
	}
}
