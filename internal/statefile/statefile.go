// Package statefile reads and writes the files of the state directory. Each is
// there whole or not at all, old or new, whenever the power fails; what cannot be
// read is never written over; and every error says what to do.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxSize bounds what is read of one file, in bytes. The largest that the server
// writes has about 1 MB.
const maxSize = 16 << 20

// Read returns what a file holds. The error is fs.ErrNotExist where there is none;
// every other one names the remedy.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: opening a pipe would wait
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if target, lerr := os.Readlink(path); lerr == nil {
			return nil, fmt.Errorf("%s is a link to %s, which is not there; put the file back, or remove the link", path, target)
		}
		return nil, err
	case err != nil:
		return nil, unreadable(path, err)
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory, and should be a file; move it away", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no ordinary file (%v); move it away", path, info.Mode().Type())
	case info.Size() > maxSize:
		return nil, fmt.Errorf("%s has %d bytes, and a file of this server has %d at most; move it away, or put the right one back", path, info.Size(), maxSize)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return text, nil
}

// unreadable says whose a file is that this user may not read.
func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		if owner, known := ownerOf(path); known && owner != os.Geteuid() {
			return fmt.Errorf("%w: it belongs to user %d, and the server runs as user %d; run: chown %d %s", err, owner, os.Geteuid(), os.Geteuid(), path)
		}
		return fmt.Errorf("%w; make it readable for the user that the server runs as: chmod u+r %s", err, path)
	}
	return fmt.Errorf("%w; look at the file system, or restore the file from a backup", err)
}

// Foreign returns what is wrong with the owner of a file, and what to run; both are
// empty for a file of this user or of root, and where there is none. Whoever owns a
// file can change it.
func Foreign(path string) (problem, remedy string) {
	owner, known := ownerOf(path)
	if !known || owner == os.Geteuid() || owner == 0 {
		return "", ""
	}
	return fmt.Sprintf("%s belongs to user %d, who can change it, and the server runs as user %d", path, owner, os.Geteuid()),
		fmt.Sprintf("chown %d %s", os.Geteuid(), path)
}

// Write puts contents at path, in place of what is there, and returns when the disk
// has them. The directory is made where it is missing, for this user alone.
func Write(path string, contents []byte, mode os.FileMode) error {
	return put(path, contents, mode, os.Rename)
}

// Create is Write where nothing is yet: of two processes that do it at once one has
// an error that is fs.ErrExist.
func Create(path string, contents []byte, mode os.FileMode) error {
	return put(path, contents, mode, os.Link)
}

// MakeDir makes a directory where it is missing, for this user alone.
func MakeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

func put(path string, contents []byte, mode os.FileMode, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	if err := MakeDir(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(contents)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a name in a directory outlast a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// ownerOf returns the user whose a file is.
func ownerOf(path string) (uid int, known bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	sys, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return int(sys.Uid), true
}
