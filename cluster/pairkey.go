package cluster

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync/atomic"
)

// What one process says to one other is encrypted by a key that only these two have: HKDF
// (RFC 5869) over the secret that all nodes share, with both nodes' names and the ids that
// both processes have drawn at their start. The nonce is a number that the process counts
// over all its keys, so none comes twice under one of them, and a packet that is sent again
// is known by it. A packet:
//
//	"L" or "D", the version, 4 bytes that name the secret, the ids of the sender's and of the
//	receiver's process, 12 bytes each, 8 bytes of the number, and the sealed rest
//
// Everything before the rest, and the subject, are sealed with it.
const (
	runSize     = 12
	linkVersion = 2

	secretAt   = 2
	fromAt     = secretAt + keyDigits/2
	toAt       = fromAt + runSize
	numberAt   = toAt + runSize
	linkHeader = numberAt + 8
)

// sealedAs is a kind of packets: each has keys of its own.
type sealedAs struct {
	magic, version byte
	use            string
}

var (
	asLink     = sealedAs{'L', linkVersion, "turnhub link 2 "}
	asDatagram = sealedAs{'D', 1, "turnhub datagram 1 "}
)

// pairKey seals and opens what goes from one process to another. Used by one goroutine at a
// time.
type pairKey struct {
	as  sealedAs
	use string // with the nodes and processes
	out []byte // the last packet that was sealed
	bySecret
}

// bySecret are keys for one use, by the names of the secrets that they follow from.
type bySecret map[string]cipher.AEAD

func newPairKey(as sealedAs, from, fromRun, to, toRun string) *pairKey {
	return &pairKey{as: as, use: as.use + strings.Join([]string{from, fromRun, to, toRun}, " "), bySecret: make(bySecret)}
}

// of returns the key for a use by a secret of the ring; nil: there is no such secret any more.
func (b bySecret) of(k *keyring, secret, use string) cipher.AEAD {
	root := k.roots[secret]
	if root == nil {
		delete(b, secret)
		return nil
	}
	a := b[secret]
	if a == nil {
		a = aead(root, use)
		b[secret] = a
	}
	return a
}

// aead is the AES-256-GCM whose key follows from a root for one use.
func aead(root []byte, use string) cipher.AEAD {
	key, err := hkdf.Expand(sha256.New, root, use, 32)
	if err == nil {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			var a cipher.AEAD
			if a, err = cipher.NewGCM(block); err == nil {
				return a
			}
		}
	}
	panic(err) // all lengths are right
}

// linkRoot is what the keys of all pairs by a secret follow from.
func linkRoot(secret string) []byte {
	root, err := hkdf.Extract(sha256.New, []byte(secret), []byte("turnhub link"))
	if err != nil {
		panic(err) // not for these lengths
	}
	return root
}

// numbers are what packets of one process are numbered by, whomever they are for.
type numbers struct{ last atomic.Uint64 }

// encrypt seals a packet, which is good until the next one is.
func (p *pairKey) encrypt(k *keyring, n *numbers, subject, fromRun, toRun string, body []byte) []byte {
	secret := k.ids[0]
	if cap(p.out) < linkHeader+len(body)+16 {
		p.out = make([]byte, 0, linkHeader+len(body)+len(body)/2+16)
	}
	out := p.out[:linkHeader]
	out[0], out[1] = p.as.magic, p.as.version
	_, _ = hex.Decode(out[secretAt:], []byte(secret)) // it is hexadecimal
	copy(out[fromAt:], fromRun)
	copy(out[toAt:], toRun)
	binary.BigEndian.PutUint64(out[numberAt:], n.last.Add(1))
	var nonce [12]byte
	copy(nonce[4:], out[numberAt:])
	return p.of(k, secret, p.use).Seal(out, nonce[:], body, append([]byte(subject), out...))
}

// envelope reads the outside of a packet.
func (as sealedAs) envelope(packet []byte) (fromRun, toRun string, wrong string) {
	switch {
	case len(packet) > maxPacket:
		return "", "", badSize
	case len(packet) < 2 || packet[0] != as.magic:
		return "", "", badForm
	case packet[1] != as.version:
		return "", "", badVersion
	case len(packet) < linkHeader+16:
		return "", "", badForm
	}
	return string(packet[fromAt:toAt]), string(packet[toAt:numberAt]), ""
}

// decrypt opens a packet whose envelope could be read, in its place.
func (p *pairKey) decrypt(k *keyring, subject string, packet []byte) (body []byte, number uint64, wrong string) {
	a := p.of(k, hex.EncodeToString(packet[secretAt:fromAt]), p.use)
	if a == nil {
		return nil, 0, badSecret
	}
	var nonce [12]byte
	copy(nonce[4:], packet[numberAt:linkHeader])
	body, err := a.Open(packet[linkHeader:linkHeader], nonce[:], packet[linkHeader:], append([]byte(subject), packet[:linkHeader]...))
	if err != nil {
		return nil, 0, badSeal
	}
	return body, binary.BigEndian.Uint64(packet[numberAt:]), ""
}

// open is decrypt for what has not come before.
func (p *pairKey) open(k *keyring, subject string, packet []byte, heard *replays) (body []byte, wrong string) {
	body, number, wrong := p.decrypt(k, subject, packet)
	if wrong == "" && !heard.fresh(number) {
		wrong = badReplay
	}
	return body, wrong
}

// replays knows which numbers of a process have come: of the last windowSize each one, and
// all before as if it had.
type replays struct {
	run  string
	last uint64
	bits [windowSize / 64]uint64
}

const windowSize = 1024

// fresh reports whether a number has not come before, and notes it.
func (r *replays) fresh(n uint64) bool {
	if n > r.last {
		if n-r.last >= windowSize {
			r.bits = [windowSize / 64]uint64{}
		} else {
			for i := r.last + 1; i < n; i++ {
				r.bits[i/64%(windowSize/64)] &^= 1 << (i % 64)
			}
		}
		r.last = n
	} else if r.last-n >= windowSize || r.bits[n/64%(windowSize/64)]&(1<<(n%64)) != 0 {
		return false
	}
	r.bits[n/64%(windowSize/64)] |= 1 << (n % 64)
	return true
}
