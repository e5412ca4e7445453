package load

import (
	"crypto/hmac"
	"crypto/sha1" // the TURN REST scheme fixes HMAC-SHA1
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/pion/stun/v2"
)

const (
	headerSize  = 20         // RFC 8489 section 5
	magicCookie = 0x2112A442 // RFC 8489 section 5

	dataIndication = 0x0017 // RFC 8656 section 11.4: method 0x007, class indication
	sendIndication = 0x0016 // RFC 8656 section 11.3
	attrPeer       = 0x0012 // XOR-PEER-ADDRESS, RFC 8656 section 18.3
	attrData       = 0x0013 // DATA, RFC 8656 section 18.4

	firstChannel = 0x4000 // RFC 8656 section 12

	// minPayload holds flow, number and time.
	minPayload = 20
)

// Mint returns time-limited credentials (TURN REST) for user, good for a day.
func Mint(secret, user string) (username, password string) {
	username = strconv.FormatInt(time.Now().Add(24*time.Hour).Unix(), 10) + ":" + user
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func requestedUDP() stun.Setter {
	return stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
}

func lifetime(d time.Duration) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))}
}

func channelNumber(n uint16) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(n >> 8), byte(n), 0, 0}}
}

type peerAddress netip.AddrPort

// AddTo adds XOR-PEER-ADDRESS.
func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: net.IP(a.Addr().AsSlice()), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

func relayedAddress(m *stun.Message) (netip.AddrPort, error) {
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		return netip.AddrPort{}, fmt.Errorf("answer without XOR-RELAYED-ADDRESS: %w", err)
	}
	addr, _ := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(addr.Unmap(), uint16(x.Port)), nil
}

// An frame is what one packet looks like on the wire where it is sent: the
// payload begins at offset.
type frame struct {
	bytes  []byte
	offset int
}

func rawFrame(size int) frame { return frame{bytes: make([]byte, size)} }

// channelFrame is a ChannelData message (RFC 8656 section 12.4), padded to
// four bytes over streams (section 12.5).
func channelFrame(channel uint16, size int, stream bool) frame {
	padded := size
	if stream {
		padded = (size + 3) &^ 3
	}
	b := make([]byte, 4+padded)
	binary.BigEndian.PutUint16(b, channel)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	return frame{b, 4}
}

// sendFrame is a Send indication to peer.
func sendFrame(peer netip.AddrPort, size int) (frame, error) {
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(peer), stun.RawAttribute{Type: stun.AttrData, Value: make([]byte, size)})
	if err != nil {
		return frame{}, fmt.Errorf("build a Send indication: %w", err)
	}
	padded := (size + 3) &^ 3
	return frame{m.Raw, len(m.Raw) - padded}, nil
}

// payload takes ChannelData and Data indications apart. It returns nil for
// anything else, as an answer to a request.
func payload(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	if b[0]&0xC0 == 0x40 {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if 4+n > len(b) {
			return nil
		}
		return b[4 : 4+n]
	}
	if len(b) < headerSize || binary.BigEndian.Uint16(b) != dataIndication {
		return nil
	}
	for rest := b[headerSize:]; len(rest) >= 4; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if 4+n > len(rest) {
			return nil
		}
		if binary.BigEndian.Uint16(rest) == attrData {
			return rest[4 : 4+n]
		}
		next := 4 + (n+3)&^3
		if next > len(rest) {
			return nil
		}
		rest = rest[next:]
	}
	return nil
}

// messageSize tells how many bytes the message at the head of a stream has,
// or 0 when the head is not complete yet.
func messageSize(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if b[0]&0xC0 == 0x40 {
		return 4 + (n+3)&^3
	}
	return headerSize + n
}
