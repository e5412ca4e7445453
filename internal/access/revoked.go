package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// MaxRevoked bounds how many revoked users are remembered.
const MaxRevoked = 10_000

// MaxLife is the longest that a token may be valid, from iat (or now, where it
// has none) to exp. What was revoked longer ago has expired by itself, so that
// the list of the revoked need not grow for ever.
const MaxLife = 366 * 24 * time.Hour

// Revoke refuses all tokens of user that were issued until now. A token without
// iat counts as issued before. It outlasts a restart by the file of Config; where
// that cannot be written, the log says so and the revocation holds until then.
func (v *Verifier) Revoke(user string) {
	if v == nil {
		return
	}
	v.remember(user, v.revocationTime(time.Now()))
	if err := v.saveRevoked(); err != nil {
		v.cfg.Logger.Error("the revocation holds until the next restart only: make state_dir writable and revoke the user again", "user", user, "error", err)
	}
}

// revocationTime is until when tokens must have been issued to be refused: now, but
// where the machine's clock has been set back, those count that came before that.
func (v *Verifier) revocationTime(now time.Time) time.Time {
	if newest := time.Unix(v.newest.Load(), 0); newest.After(now) {
		return newest
	}
	return now
}

// passed notes that a token with that iat is in use.
func (v *Verifier) passed(issued time.Time) {
	for {
		newest := v.newest.Load()
		if issued.Unix() <= newest || v.newest.CompareAndSwap(newest, issued.Unix()) {
			return
		}
	}
}

// remember adds a revocation. Those that have expired by themselves are forgotten only
// when there is no room: a clock that is set forward by mistake makes all look old.
func (v *Verifier) remember(user string, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Before(v.revoked[user]) {
		return // by a clock that has been set back
	}
	_, known := v.revoked[user]
	if !known && len(v.revoked) >= MaxRevoked {
		maps.DeleteFunc(v.revoked, func(_ string, at time.Time) bool { return now.Sub(at) > MaxLife+leeway })
	}
	if !known && len(v.revoked) >= MaxRevoked {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(v.revoked)), func(a, b string) int {
			return v.revoked[a].Compare(v.revoked[b])
		})
		v.cfg.Logger.Error("too many users are revoked: the oldest revocation is forgotten; change the key of the tokens", "user", oldest, "most", MaxRevoked)
		delete(v.revoked, oldest)
	}
	v.revoked[user] = now
}

// RevokedAt returns when a user was revoked, the zero time if never.
func (v *Verifier) RevokedAt(user string) time.Time {
	if v == nil {
		return time.Time{}
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.revoked[user]
}

func (v *Verifier) isRevoked(c tokenClaims) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	at, ok := v.revoked[c.Subject]
	// iat has whole seconds: a token of the very second of the revocation is
	// refused too.
	return ok && (c.IssuedAt == nil || !c.IssuedAt.After(at))
}

// saveRevoked writes the file anew: it is there whole, old or new. What another
// process of this server has written since is kept, here too: during an upgrade in
// place there are two. Nobody whose token is checked waits for the disk.
func (v *Verifier) saveRevoked() error {
	path := v.cfg.RevokedFile
	if path == "" {
		return nil
	}
	v.saving.Lock()
	defer v.saving.Unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	if err := v.LoadRevoked(); err != nil {
		return err // written over, nobody could mend it
	}
	v.mu.RLock()
	text, err := json.MarshalIndent(v.revoked, "", "\t")
	v.mu.RUnlock()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".revoked-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// lockPatience is how long another process may take to write its revocations.
const lockPatience = 2 * time.Second

// lockDirectory keeps other processes of this server from writing there until
// unlock. The lock is on the directory, since its files are replaced; it ends with
// its process.
func lockDirectory(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			d.Close()
			return nil, fmt.Errorf("lock %s against another process of this server: %w", dir, err)
		}
	}
}

// LoadRevoked adds what the file holds, which another process of this server may
// have written.
func (v *Verifier) LoadRevoked() error {
	if v == nil || v.cfg.RevokedFile == "" {
		return nil
	}
	text, err := os.ReadFile(v.cfg.RevokedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	saved := make(map[string]time.Time)
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil {
		return fmt.Errorf("read the revoked users in %s: %w; mend the file, or remove it, which lets their tokens in again", v.cfg.RevokedFile, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for user, at := range saved {
		if at.After(v.revoked[user]) {
			v.revoked[user] = at
		}
	}
	return nil
}
