// Package credentials is the form in which time-limited TURN credentials are made and
// verified. It does no I/O.
package credentials

import (
	"crypto/hmac"
	"crypto/md5"  // #nosec: RFC 8489 section 9.2.2 fixes MD5 for the long-term key
	"crypto/sha1" // #nosec: the TURN REST scheme fixes HMAC-SHA1
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// MaxUsername is the longest USERNAME in bytes: RFC 8489 section 14.3 wants
// fewer than 509.
const MaxUsername = 508

// Secrets mints and verifies time-limited TURN credentials in the form of
// draft-uberti-behave-turn-rest-00, which coturn's use-auth-secret, Synapse,
// Nextcloud Talk, Jitsi and Prosody speak too:
//
//	username = "<unix expiry in seconds>:<user>"
//	password = base64(HMAC-SHA1(secret, username))
//
// The first secret signs, all of them verify, so that a secret can be rotated
// without ending anybody's call. Safe for concurrent use.
type Secrets struct {
	secrets atomic.Pointer[[]string]
}

// New returns credentials over one or more shared secrets. It
// refuses an empty list and an empty secret.
func New(secrets []string) (*Secrets, error) {
	c := new(Secrets)
	if err := c.Set(secrets); err != nil {
		return nil, err
	}
	return c, nil
}

// Set replaces all secrets at once, as on a reload. On an error the old
// ones stay.
func (c *Secrets) Set(secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("no TURN secret: give at least one in credentials.secrets or credentials.secrets_file")
	}
	for i, secret := range secrets {
		if secret == "" {
			return fmt.Errorf("TURN secret %d is empty: anybody could sign with it; remove it or write a random one", i+1)
		}
	}
	copied := append([]string(nil), secrets...)
	c.secrets.Store(&copied)
	return nil
}

// Mint returns a username and password for user which open allocations until
// expires (whole seconds; an allocation made before then lives on).
func (c *Secrets) Mint(user string, expires time.Time) (username, password string) {
	username = strconv.FormatInt(expires.Unix(), 10) + ":" + user
	return username, sign((*c.secrets.Load())[0], username)
}

// Keys returns the long-term keys MD5(username ":" realm ":" password) of
// RFC 8489 section 9.2.2 that a client with this username may have used, one
// for each secret, the signing secret first.
func (c *Secrets) Keys(username, realm string) [][md5.Size]byte {
	secrets := *c.secrets.Load()
	keys := make([][md5.Size]byte, len(secrets))
	for i, secret := range secrets {
		keys[i] = md5.Sum([]byte(username + ":" + realm + ":" + sign(secret, username)))
	}
	return keys
}

func sign(secret, username string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
