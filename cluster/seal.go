package cluster

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// Whoever has access to NATS can send anything, so each message bears a seal by one of
// credentials.secrets, which the nodes share and nobody else has:
//
//	turnhub1 <key> <seal>\n<JSON>
//
// key names the secret, 8 hexadecimal digits; seal is HMAC-SHA-256 over the subject,
// a line break and the JSON, in base64url. A message taken from one subject and sent to
// another does not open; one that is sent again does, and is known by its number.
const (
	magic = "turnhub1 "

	// maxMessage is the most that a message may hold, in bytes.
	maxMessage = 32 << 10

	keyDigits  = 8
	sealDigits = 43
)

// Why a message of the NATS side was not heard: labels of the metric.
const (
	badSize    = "size"       // longer than maxMessage
	badForm    = "form"       // not what the version says that it looks like
	badVersion = "version"    // of another version
	badSecret  = "secret"     // sealed by a secret that is not known here
	badSeal    = "seal"       // not what was sealed
	badClock   = "clock"      // sent at another time than now
	badReplay  = "replay"     // heard before
	badOld     = "superseded" // of a process whose node has a younger one
	badName    = "name"       // about another node than its subject, or of this one's name
	badProcess = "process"    // between other processes than those that are known
	badQueue   = "queue"      // more than can be handled
	badTooMany = "too_many"   // of a node beyond maxNodes
)

// keyring holds the keys that follow from the secrets, the signing one first.
type keyring struct {
	ids    []string
	keys   map[string][]byte
	roots  map[string][]byte // of the keys of streams, see pairkey.go
	topics map[string][]byte // of the names of topics, see topicseal.go
}

func newKeyring(secrets []string) *keyring {
	k := &keyring{keys: make(map[string][]byte, len(secrets)), roots: make(map[string][]byte, len(secrets)), topics: make(map[string][]byte, len(secrets))}
	for _, s := range secrets {
		id := hex.EncodeToString(digest([]byte(s), "turnhub cluster key name"))[:keyDigits]
		k.ids = append(k.ids, id)
		k.keys[id] = digest([]byte(s), "turnhub cluster seal")
		k.roots[id] = linkRoot(s)
		k.topics[id] = topicNames(k.roots[id])
	}
	return k
}

func digest(key []byte, texts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, t := range texts {
		h.Write([]byte(t))
	}
	return h.Sum(nil)
}

func (k *keyring) seal(subject string, body []byte) []byte {
	id := k.ids[0]
	out := make([]byte, 0, len(magic)+keyDigits+1+sealDigits+1+len(body))
	out = append(out, magic...)
	out = append(out, id...)
	out = append(out, ' ')
	out = base64.RawURLEncoding.AppendEncode(out, digest(k.keys[id], subject, "\n", string(body)))
	out = append(out, '\n')
	return append(out, body...)
}

// open returns what a message holds, or why it is not to be heard.
func (k *keyring) open(subject string, message []byte) (body []byte, wrong string) {
	if len(message) > maxMessage {
		return nil, badSize
	}
	rest, ok := bytes.CutPrefix(message, []byte(magic))
	if !ok {
		if bytes.HasPrefix(message, []byte("turnhub")) {
			return nil, badVersion
		}
		return nil, badForm
	}
	head, body, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || len(head) != keyDigits+1+sealDigits || head[keyDigits] != ' ' {
		return nil, badForm
	}
	key, known := k.keys[string(head[:keyDigits])]
	if !known {
		return nil, badSecret
	}
	said := make([]byte, sha256.Size)
	n, err := base64.RawURLEncoding.Decode(said, head[keyDigits+1:])
	if err != nil || n != len(said) || subtle.ConstantTimeCompare(said, digest(key, subject, "\n", string(body))) != 1 {
		return nil, badSeal
	}
	return body, ""
}
