package wire

import (
	"encoding/binary"
	"errors"
)

// MaxFrame is the longest message that a stream client may send: what fits into
// one UDP datagram, and the padding of ChannelData.
const MaxFrame = 1<<16 - 1

// errFrame ends a stream: without a valid length there is no next message.
var errFrame = errors.New("neither a STUN message nor ChannelData")

// Frame returns the length of the first message in b as the stream carries it,
// padding included, and without it; 0 when b is too short to tell. On a stream
// the two are told apart as over UDP (RFC 8656 section 12), and ChannelData is
// padded to a multiple of four bytes (section 12.5). A length that no message can
// have is an error at once, not a wait for bytes that never come.
func Frame(b []byte) (length, message int, err error) {
	if len(b) < ChannelHeaderSize {
		if len(b) > 0 && b[0] > streamMax {
			return 0, 0, errFrame
		}
		return 0, 0, nil
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0] < 0x40:
		length = HeaderSize + size
		if size&3 != 0 || length > MaxFrame {
			return 0, 0, errFrame
		}
		if len(b) < HeaderSize {
			return 0, 0, nil
		}
		if binary.BigEndian.Uint32(b[4:]) != MagicCookie {
			return 0, 0, errFrame
		}
		return length, length, nil
	case b[0] <= streamMax:
		message = ChannelHeaderSize + size
		return Padded(message), message, nil
	}
	return 0, 0, errFrame
}
