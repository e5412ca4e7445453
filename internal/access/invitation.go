package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"turnhub/internal/statefile"
)

// An invitation is an access token that this server signs itself, so that whoever is
// in a room can let others in without giving away a token of their own. It opens one
// room. It ends after InvitationLife, or with the token of whoever made it, whichever
// comes first, and with the key under which that token was signed. Its bearer is a
// guest, whose name says who the inviter is; a guest may invite others into the same
// room, never for longer.
//
// Revoking a user voids the invitations that this user and those invited by this user have
// made; revoking a guest voids that one link, whoever has it, and what was made with
// it.
//
// It is much shorter than a JSON Web Token, since it has to fit a QR code. After
// "i." comes, in base64url: a byte 1 (the form), 4 bytes that name the key of the
// operator's token, the end and the beginning in Unix seconds (4 bytes each, the
// highest first), the number of guests through whose hands it went, 5 random bytes
// for each, its own last, the length of the inviter's name, the name, the room, and
// the first 16 bytes of the HMAC-SHA256 of all that by the key in the state
// directory.

const (
	// InvitationLife is the longest that an invitation is valid.
	InvitationLife = 24 * time.Hour
	// maxHands is through how many hands an invitation may go.
	maxHands = 8

	invitationPrefix = "i."
	invitationForm   = 1
	guestPrefix      = "guest-"

	guestIDSize = 5
	keyIDSize   = 4
	macSize     = 16
	keySize     = 32
)

// Errors of Invite, beside those of Verify.
var (
	// ErrInvitationExpired is ErrExpired of an invitation.
	ErrInvitationExpired = errors.New("the invitation has expired: ask whoever invited you for a new link")
	ErrOtherRoom         = errors.New("the access token does not open this room, so it can invite nobody there")
	ErrTooManyHands      = errors.New("this invitation has gone through too many hands: ask the first who invited for a link")
)

// Invitation is a token that opens one room.
type Invitation struct {
	Token   string
	Guest   string // the user name of its bearer
	Expires time.Time
}

// invitation is what its token says.
type invitation struct {
	key             [keyIDSize]byte
	issued, expires time.Time
	hands           [][guestIDSize]byte // whose it is comes last
	inviter         string              // the user at the beginning
	room            string
}

var guestIDs = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// guest names the bearer after so many hands: guest-TAG-ID. The tag is the inviter's,
// so that what carries only the name, as TURN credentials do, is known as hers.
func (i invitation) guest(hand int) string {
	return guestPrefix + SessionTag(i.inviter) + "-" + guestIDs.EncodeToString(i.hands[hand][:])
}

// IsGuest reports whether a user's name is one that an invitation gives.
func IsGuest(user string) bool {
	_, ok := guestTag(user)
	return ok
}

// guestTag returns the tag in the name of a guest.
func guestTag(user string) (string, bool) {
	rest, ok := strings.CutPrefix(user, guestPrefix)
	if !ok || len(rest) != tagLength+1+guestIDs.EncodedLen(guestIDSize) || rest[tagLength] != '-' {
		return "", false
	}
	return rest[:tagLength], true
}

// inviters are the users through whose hands the invitation went.
func (i invitation) inviters() []string {
	names := []string{i.inviter}
	for hand := range len(i.hands) - 1 {
		names = append(names, i.guest(hand))
	}
	return names
}

func (i invitation) encode(key []byte) string {
	b := append([]byte{invitationForm}, i.key[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(i.expires.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(i.issued.Unix()))
	b = append(b, byte(len(i.hands)))
	for _, id := range i.hands {
		b = append(b, id[:]...)
	}
	b = append(b, byte(len(i.inviter)))
	b = append(b, i.inviter...)
	b = append(b, i.room...)
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(append(b, seal(key, b)...))
}

// decode reads a token that seal has sealed: its parts are where encode put them.
func decodeInvitation(token string, key []byte) (i invitation, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(token, invitationPrefix))
	if err != nil || len(b) < macSize {
		return i, false
	}
	b, mac := b[:len(b)-macSize], b[len(b)-macSize:]
	if !hmac.Equal(seal(key, b), mac) || len(b) < 1+keyIDSize+9 || b[0] != invitationForm {
		return i, false
	}
	b = b[1:]
	b = b[copy(i.key[:], b):]
	i.expires, i.issued = time.Unix(int64(binary.BigEndian.Uint32(b)), 0), time.Unix(int64(binary.BigEndian.Uint32(b[4:])), 0)
	hands := int(b[8])
	b = b[9:]
	if hands < 1 || hands > maxHands || len(b) < hands*guestIDSize+1 {
		return i, false
	}
	for range hands {
		var id [guestIDSize]byte
		b = b[copy(id[:], b):]
		i.hands = append(i.hands, id)
	}
	name := int(b[0])
	if b = b[1:]; len(b) < name {
		return i, false
	}
	i.inviter, i.room = string(b[:name]), string(b[name:])
	return i, true
}

func seal(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return mac.Sum(nil)[:macSize]
}

// keyID names one of the operator's keys.
func (v *Verifier) keyID(key []byte) (id [keyIDSize]byte) {
	mac := hmac.New(sha256.New, v.invitationKey)
	mac.Write([]byte("operator's key"))
	mac.Write(key)
	copy(id[:], mac.Sum(nil))
	return id
}

// Invite makes an invitation into a room for the bearer of an access token, or of an
// invitation. Beside the errors of Verify there are ErrOtherRoom and ErrTooManyHands.
func (v *Verifier) Invite(token, room string) (Invitation, error) {
	claims, err := v.Check(token)
	if err != nil {
		return Invitation{}, err
	}
	if !claims.AllowsRoom(room) || len(room) < 1 || len(room) > MaxRoomName {
		return Invitation{}, ErrOtherRoom
	}
	now := time.Now()
	i := invitation{issued: now, expires: now.Add(InvitationLife), inviter: claims.User, room: room}
	if claims.Expires.Before(i.expires) {
		i.expires = claims.Expires
	}
	if i.expires.Unix() <= now.Unix() || i.expires.Unix() > math.MaxUint32 {
		return Invitation{}, ErrExpired
	}
	if strings.HasPrefix(token, invitationPrefix) {
		own, ok := decodeInvitation(token, v.invitationKey)
		if !ok {
			return Invitation{}, ErrInvalid // it was valid above
		}
		i.key, i.inviter, i.hands = own.key, own.inviter, own.hands
	} else {
		signer, ok := v.currentKeys().signer(token)
		if !ok {
			return Invitation{}, ErrInvalid // the keys have changed meanwhile
		}
		i.key = v.keyID(signer)
	}
	if len(i.hands) == maxHands {
		return Invitation{}, ErrTooManyHands
	}
	var id [guestIDSize]byte
	_, _ = rand.Read(id[:]) // never fails
	i.hands = append(slices.Clip(i.hands), id)
	return Invitation{Token: i.encode(v.invitationKey), Guest: i.guest(len(i.hands) - 1), Expires: time.Unix(i.expires.Unix(), 0)}, nil
}

// checkInvitation is Check for invitations. There is no leeway: the clock is the one
// that made it.
func (v *Verifier) checkInvitation(token string) (Claims, error) {
	i, ok := decodeInvitation(token, v.invitationKey)
	if !ok {
		return Claims{}, ErrInvalid
	}
	now := time.Now()
	known := slices.ContainsFunc(v.currentKeys().material(), func(key []byte) bool { return v.keyID(key) == i.key })
	switch {
	case !i.expires.After(now):
		return Claims{}, ErrInvitationExpired
	case !known, i.issued.After(now.Add(leeway)), i.expires.Sub(i.issued) > InvitationLife+time.Second:
		return Claims{}, ErrInvalid
	}
	claims := Claims{
		User: i.guest(len(i.hands) - 1), Rooms: []string{i.room}, Expires: i.expires,
		inviters: i.inviters(), issued: jwt.NewNumericDate(i.issued), verifier: v,
	}
	if claims.Revoked() {
		return Claims{}, ErrRevoked
	}
	v.passed(i.issued)
	return claims, nil
}

// Inviters are the users through whose hands the bearer's invitation went.
func (c Claims) Inviters() []string { return c.inviters }

// InvitedBy reports whether user is one of those through whose hands the bearer's
// invitation went: whoever revokes user means the bearer too.
func (c Claims) InvitedBy(user string) bool { return slices.Contains(c.inviters, user) }

// invitationKeyOf reads the key for invitations, and makes it on the first start.
func invitationKeyOf(path string) ([]byte, error) {
	made := make([]byte, keySize)
	_, _ = rand.Read(made) // never fails
	if path == "" {
		return made, nil
	}
	const remedy = "restore it from a backup, or move it away, which voids the invitations of the last day"
	for range 2 {
		text, err := statefile.Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err := statefile.Create(path, []byte(base64.StdEncoding.EncodeToString(made)+"\n"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, fmt.Errorf("write the key for invitations: %w; make state_dir writable for the server", err)
			}
			continue // another process of this server may have been faster
		}
		if err != nil {
			return nil, fmt.Errorf("read the key for invitations: %w", err)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("%s is damaged: it does not hold %d bytes in base64; %s", path, keySize, remedy)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%s comes and goes; let no other program write to state_dir", path)
}
