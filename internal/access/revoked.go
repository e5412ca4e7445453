package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"turnhub/internal/statefile"
)

// MaxRevoked bounds how many revoked users are remembered.
const MaxRevoked = 10_000

// MaxLife is the longest that a token may be valid, from iat (or now, where it
// has none) to exp. What was revoked longer ago has expired by itself, so that
// the list of the revoked need not grow for ever.
const MaxLife = 366 * 24 * time.Hour

// SessionPrefix begins the id of every hub session, which is the user of its TURN
// credentials. No user name has this form.
const SessionPrefix = "s_"

// SessionTag is what begins the id of a user's sessions, after SessionPrefix: by it
// TURN credentials of a session that is gone are still known as its user's. People
// in one room see each other's user names, so it needs no secret.
func SessionTag(user string) string {
	if tag, ok := guestTag(user); ok {
		return tag // those of guests are known as their inviter's
	}
	sum := sha256.Sum256([]byte("turnhub session of " + user))
	return base64.RawURLEncoding.EncodeToString(sum[:6]) // 8 characters
}

const tagLength = 8

// Consumer is who answers for what is used up under a user name of TURN credentials:
// all sessions of a user together, and a guest with who has invited. Proved is false
// where anybody may take any name, and have any number of sessions.
func (v *Verifier) Consumer(user string) (name string, proved bool) {
	if v.IsOpen() {
		return "", false
	}
	if tag, ok := tagOf(user); ok {
		return tag, true
	}
	return SessionTag(user), true
}

// tagOf returns the tag in a session's id.
func tagOf(session string) (string, bool) {
	id, ok := strings.CutPrefix(session, SessionPrefix)
	if !ok || len(id) <= tagLength {
		return "", false
	}
	return id[:tagLength], true
}

// revocations are the users and sessions that the operator has revoked, and when.
type revocations struct {
	at   map[string]time.Time // by user name or session id
	tags map[string]string    // the user whose sessions have that tag
}

func newRevocations() revocations {
	return revocations{at: make(map[string]time.Time), tags: make(map[string]string)}
}

func (r revocations) set(name string, at time.Time) {
	r.at[name] = at
	if hasOwnTag(name) {
		r.tags[SessionTag(name)] = name
	}
}

// hasOwnTag reports whether the sessions of a tag are those of name alone: not of a
// session itself, nor of a guest, whose tag is the inviter's.
func hasOwnTag(name string) bool {
	_, guest := guestTag(name)
	return !guest && !strings.HasPrefix(name, SessionPrefix)
}

func (r revocations) remove(name string) {
	delete(r.at, name)
	if hasOwnTag(name) {
		delete(r.tags, SessionTag(name))
	}
}

// oldest is the name that was revoked first.
func (r revocations) oldest() string {
	return slices.MinFunc(slices.Collect(maps.Keys(r.at)), func(a, b string) int { return r.at[a].Compare(r.at[b]) })
}

// of returns when the holder of TURN credentials was revoked: the user, the session,
// the session's user, or who has invited the guest.
func (r revocations) of(user string) (at time.Time) {
	at = r.at[user]
	tag, ok := tagOf(user)
	if !ok {
		tag, ok = guestTag(user)
	}
	if ok {
		if owner, known := r.tags[tag]; known && r.at[owner].After(at) {
			at = r.at[owner]
		}
	}
	return at
}

// Revoke is Mark and Keep.
func (v *Verifier) Revoke(name string) error {
	v.Mark(name)
	return v.Keep()
}

// Mark refuses from now on all tokens of a user that were issued until now, and the
// TURN credentials that were given out until now to that user, to the user's
// sessions, or, where name is a session's id, to that session. A token without iat
// counts as issued before. Since the clock of whoever issues tokens may be ahead by
// 30 s, those issued in the next 30 s are refused too.
func (v *Verifier) Mark(name string) {
	if v != nil {
		v.remember(name, v.revocationTime(time.Now()))
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

// Keep writes down what Mark has marked, so that it outlasts a restart. The error
// says that it does not, and what to do.
func (v *Verifier) Keep() error {
	if v == nil || v.cfg.RevokedFile == "" {
		return nil
	}
	if err := v.saveRevoked(); err != nil {
		v.cfg.Logger.Error("a revocation is not written down and holds until the next restart only", "error", err, "remedy", keepRemedy)
		return fmt.Errorf("it holds now, but only until the server restarts, since it could not be written down: %w; %s", err, keepRemedy)
	}
	return nil
}

const keepRemedy = "make room in state_dir, or make it writable for the server, and revoke again"

// remember adds a revocation. Those that have expired by themselves are forgotten only
// when there is no room: a clock that is set forward by mistake makes all look old.
func (v *Verifier) remember(name string, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Before(v.list.at[name]) {
		return // by a clock that has been set back
	}
	v.makeRoom(name, now)
	v.list.set(name, now)
}

// makeRoom forgets who must be forgotten for a name to be remembered. Verifier.mu is held.
func (v *Verifier) makeRoom(name string, now time.Time) {
	if _, known := v.list.at[name]; known || len(v.list.at) < MaxRevoked {
		return
	}
	v.forgetExpired(now)
	if len(v.list.at) < MaxRevoked {
		return
	}
	oldest := v.list.oldest()
	v.cfg.Logger.Error("too many users are revoked: the oldest revocation is forgotten; change the key of the tokens", "user", oldest, "most", MaxRevoked)
	v.list.remove(oldest)
}

// forgetExpired takes out what was revoked so long ago that everything of it has
// expired by itself. Verifier.mu is held.
func (v *Verifier) forgetExpired(now time.Time) {
	for name, at := range v.list.at {
		life := MaxLife
		if strings.HasPrefix(name, SessionPrefix) {
			life = v.credentialLife()
		}
		if now.Sub(at) > life+leeway {
			v.list.remove(name)
		}
	}
}

// RevokedAt returns when a user or session was revoked, the zero time if never.
func (v *Verifier) RevokedAt(name string) time.Time {
	if v == nil {
		return time.Time{}
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.list.at[name]
}

// VoidsCredentials reports whether TURN credentials of a user or session open
// nothing any more, because they were given out before it was revoked. They do not
// say when that was, but when they expire: credentials.ttl later. Those that expire
// later than what this server gives out now are of another origin (turnhub
// credentials --ttl, a program with the same secret, this server when its ttl was
// longer) and may be older than the revocation: they are void as well.
func (v *Verifier) VoidsCredentials(user string, expires time.Time) bool {
	if v == nil {
		return false
	}
	v.mu.RLock()
	at := v.list.of(user)
	v.mu.RUnlock()
	if at.IsZero() {
		return false
	}
	now, life := time.Now(), v.credentialLife()
	until := at.Add(life)
	if strings.HasPrefix(user, SessionPrefix) {
		until = until.Add(leeway) // a session may just be getting new ones when it ends
	}
	return !expires.After(until) || expires.After(now.Add(life+leeway)) || v.BarredUntil(user).After(now)
}

// BarredUntil returns until when nobody may take the name of a revoked user; the
// zero time: it is free. In mode open names are all that there is to know people by,
// so a revoked one is refused for as long as credentials that were given out for it
// are good. With tokens it is the tokens that are refused.
func (v *Verifier) BarredUntil(user string) time.Time {
	if v == nil || !v.cfg.Open || strings.HasPrefix(user, SessionPrefix) {
		return time.Time{}
	}
	at := v.RevokedAt(user)
	if at.IsZero() {
		return at
	}
	if until := at.Add(v.credentialLife()); until.After(time.Now()) {
		return until
	}
	return time.Time{}
}

// Barred is the error for somebody who takes a name that BarredUntil refuses.
func (v *Verifier) Barred(user string) error {
	until := v.BarredUntil(user)
	if until.IsZero() {
		return nil
	}
	return fmt.Errorf("the operator has revoked the name %s: it is free again on %s; take another name", user, until.UTC().Format(time.RFC1123))
}

func (v *Verifier) credentialLife() time.Duration {
	if v.cfg.CredentialLife == nil {
		return 0
	}
	return v.cfg.CredentialLife()
}

func (v *Verifier) isRevoked(user string, issued *jwt.NumericDate) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	at, ok := v.list.at[user]
	return ok && (issued == nil || !issued.After(at.Add(leeway)))
}

// saveRevoked writes the file anew. What another process of this server has written
// since is kept, here too: during an upgrade in place there are two. Nobody whose
// token is checked waits for the disk.
func (v *Verifier) saveRevoked() error {
	path := v.cfg.RevokedFile
	v.saving.Lock()
	defer v.saving.Unlock()
	if err := statefile.MakeDir(filepath.Dir(path)); err != nil {
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
	text, err := json.MarshalIndent(v.list.at, "", "\t")
	v.mu.RUnlock()
	if err != nil {
		return err
	}
	return statefile.Write(path, append(text, '\n'), 0o600)
}

// LoadRevoked adds what the file holds, which another process of this server may
// have written.
func (v *Verifier) LoadRevoked() error {
	if v == nil || v.cfg.RevokedFile == "" {
		return nil
	}
	saved, err := readRevoked(v.cfg.RevokedFile)
	if err != nil {
		return fmt.Errorf("read the revoked users: %w", err)
	}
	v.Add(saved)
	return nil
}

// Add adds revocations of another process of this server.
func (v *Verifier) Add(revoked map[string]time.Time) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, at := range revoked {
		if !at.After(v.list.at[name]) {
			continue
		}
		if len(v.list.at) >= MaxRevoked && !at.After(v.list.at[v.list.oldest()]) {
			continue // the first who would be forgotten, or has been
		}
		v.makeRoom(name, time.Now())
		v.list.set(name, at)
	}
}

// Revocations returns who is revoked, and since when.
func (v *Verifier) Revocations() map[string]time.Time {
	if v == nil {
		return nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return maps.Clone(v.list.at)
}

// Unkept returns the revocations that the file does not hold, because the disk was
// full: a successor must be told of them. It returns all where the file cannot be read.
func (v *Verifier) Unkept() map[string]time.Time {
	if v == nil {
		return nil
	}
	saved, _ := readRevoked(v.cfg.RevokedFile)
	v.mu.RLock()
	defer v.mu.RUnlock()
	unkept := make(map[string]time.Time)
	for name, at := range v.list.at {
		if at.After(saved[name]) {
			unkept[name] = at
		}
	}
	return unkept
}

// readRevoked reads the file of the revoked: an object whose members are named by
// users and sessions, and say when each was revoked (RFC 3339). A member "version"
// that is a number marks the format of a later turnhub.
func readRevoked(path string) (map[string]time.Time, error) {
	text, err := statefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	const remedy = "restore it from a backup, mend it, or move it away, which lets the tokens of those in it in again"
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, fmt.Errorf("%s is empty, so it does not say who is revoked; %s", path, remedy)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; %s", path, err, remedy)
	}
	if members == nil { // null
		return nil, fmt.Errorf("%s is damaged: it is not an object; %s", path, remedy)
	}
	var version float64
	if raw, ok := members["version"]; ok && json.Unmarshal(raw, &version) == nil {
		return nil, fmt.Errorf("%s was written by a newer turnhub, in format %v, which this one does not know; install that version again, or move the file away, which lets the tokens of those in it in again", path, version)
	}
	saved := make(map[string]time.Time, len(members))
	for name, raw := range members {
		var at time.Time
		if err := json.Unmarshal(raw, &at); err != nil {
			return nil, fmt.Errorf("%s is damaged: when %q was revoked is not a time (%w); %s", path, name, err, remedy)
		}
		saved[name] = at
	}
	return saved, nil
}
