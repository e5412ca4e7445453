package cluster

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// What a node says on a topic (topics.go) is for whichever nodes listen there, so it is
// encrypted by a key of the process that says it: HKDF (RFC 5869) over the secret that all
// nodes share, the node's name and the id of the process. The nonce is the number of the
// packet, counted over all topics, so none comes twice under one key. A packet:
//
//	"T", the version, 4 bytes that name the secret, 12 bytes of the process's id, 8 bytes of
//	the number, the length of the node's name, the name, and the sealed rest
//
// Everything before the rest, and the subject, are sealed with it.
const (
	topicMagic   = 'T'
	topicVersion = 1

	topicRunAt    = 2 + keyDigits/2
	topicNumberAt = topicRunAt + runSize
	topicNameAt   = topicNumberAt + 8 + 1
)

// topicToken is how a topic is called in subjects: its name is not to be read there, and
// must not break one.
func (k *keyring) topicToken(secret, name string) string {
	h := hmac.New(sha256.New, k.topics[secret])
	h.Write([]byte(name))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// topicNames is the key of all tokens by a secret.
func topicNames(root []byte) []byte {
	key, err := hkdf.Expand(sha256.New, root, "turnhub topic names", sha256.Size)
	if err != nil {
		panic(err) // not for this length
	}
	return key
}

// topicKey seals or opens what one process says on topics.
type topicKey struct {
	use string
	bySecret
}

func newTopicKey(node, run string) *topicKey {
	return &topicKey{"turnhub topic 1 " + node + " " + run, make(bySecret)}
}

// sealTopic makes a packet.
func (p *topicKey) sealTopic(k *keyring, subject, node, run string, number uint64, body []byte) []byte {
	secret := k.ids[0]
	out := make([]byte, topicNameAt, topicNameAt+len(node)+len(body)+16)
	out[0], out[1] = topicMagic, topicVersion
	_, _ = hex.Decode(out[2:], []byte(secret)) // it is hexadecimal
	copy(out[topicRunAt:], run)
	binary.BigEndian.PutUint64(out[topicNumberAt:], number)
	out[topicNameAt-1] = byte(len(node))
	out = append(out, node...)
	return p.of(k, secret, p.use).Seal(out, topicNonce(number), body, append([]byte(subject), out...))
}

func topicNonce(number uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), number)
}

// topicEnvelope is the outside of a packet, which anybody can write.
type topicEnvelope struct {
	secret, node, run string
	number            uint64
	header            int // its length
}

func readTopicEnvelope(packet []byte) (e topicEnvelope, wrong string) {
	switch {
	case len(packet) > maxPacket:
		return e, badSize
	case len(packet) < 2 || packet[0] != topicMagic:
		return e, badForm
	case packet[1] != topicVersion:
		return e, badVersion
	case len(packet) < topicNameAt || len(packet) < topicNameAt+int(packet[topicNameAt-1])+16:
		return e, badForm
	}
	e.header = topicNameAt + int(packet[topicNameAt-1])
	e.secret = hex.EncodeToString(packet[2:topicRunAt])
	e.run, e.node = string(packet[topicRunAt:topicNumberAt]), string(packet[topicNameAt:e.header])
	e.number = binary.BigEndian.Uint64(packet[topicNumberAt:])
	if !validName(e.node) {
		return e, badForm
	}
	return e, ""
}

// openTopic opens a packet whose envelope could be read.
func (p *topicKey) openTopic(k *keyring, e *topicEnvelope, subject string, packet []byte) (body []byte, wrong string) {
	a := p.of(k, e.secret, p.use)
	if a == nil {
		return nil, badSecret
	}
	body, err := a.Open(nil, topicNonce(e.number), packet[e.header:], append([]byte(subject), packet[:e.header]...))
	if err != nil {
		return nil, badSeal
	}
	return body, ""
}
