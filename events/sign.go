package events

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"turnhub/internal/statefile"
)

// The headers and the form of the signature are those of Standard Webhooks 1.0
// (https://www.standardwebhooks.com), for which every language has a library:
//
//	webhook-id: evt_…                  the same when it is sent again
//	webhook-timestamp: 1764367200      seconds, of this attempt
//	webhook-signature: v1,BASE64       HMAC-SHA256 of ID "." TIMESTAMP "." BODY
//
// While a secret is replaced there are several signatures, separated by spaces.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"

	secretPrefix = "whsec_"
	tolerance    = 5 * time.Minute // between the clocks of the two ends, and for the way
)

// Secrets sign what is sent: each of them, so that a receiver who knows the old one or
// the new one is content.
type Secrets [][]byte

// Sign sets the headers for a body that is sent at the time now.
func (s Secrets) Sign(h http.Header, id string, now time.Time, body []byte) {
	at := strconv.FormatInt(now.Unix(), 10)
	signatures := make([]string, len(s))
	for i, secret := range s {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(signature(secret, id, at, body))
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, at)
	h.Set(headerSignature, strings.Join(signatures, " "))
}

// Verify reports what is wrong with a request's signature, at the time now.
func (s Secrets) Verify(h http.Header, now time.Time, body []byte) error {
	id, at := h.Get(headerID), h.Get(headerTimestamp)
	sent, err := strconv.ParseInt(at, 10, 64)
	switch {
	case id == "" || err != nil:
		return errors.New("not signed")
	case now.Sub(time.Unix(sent, 0)).Abs() > tolerance:
		return errors.New("signed at another time: it may be a replay")
	}
	for one := range strings.FieldsSeq(h.Get(headerSignature)) {
		version, text, _ := strings.Cut(one, ",")
		given, err := base64.StdEncoding.DecodeString(text)
		if version != "v1" || err != nil {
			continue
		}
		for _, secret := range s {
			if hmac.Equal(given, signature(secret, id, at, body)) {
				return nil
			}
		}
	}
	return errors.New("the signature is not one by this secret")
}

func signature(secret []byte, id, at string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// ReadSecrets reads the secrets of a file, one a line. With create one is made where
// there is none.
func ReadSecrets(file string, create bool) (Secrets, error) {
	text, err := statefile.Read(file)
	if create && errors.Is(err, fs.ErrNotExist) {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails: crypto/rand
		text = []byte(secretPrefix + base64.StdEncoding.EncodeToString(b) + "\n")
		if err = statefile.Create(file, text, 0o600); errors.Is(err, fs.ErrExist) {
			text, err = statefile.Read(file)
		}
	}
	if err != nil {
		return nil, err
	}
	var all Secrets
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, secretPrefix))
		if err != nil || len(secret) < 24 || len(secret) > 64 {
			return nil, fmt.Errorf("%s: a secret is %s and the base64 of 24 to 64 bytes; make one with: echo %s$(openssl rand -base64 32) > %s", file, secretPrefix, secretPrefix, file)
		}
		all = append(all, secret)
	}
	if len(all) == 0 || len(all) > 4 {
		return nil, fmt.Errorf("%s holds %d secrets; write one, or while it is replaced two, each on a line", file, len(all))
	}
	return all, nil
}
