package turnsrv

import (
	"encoding/binary"
	"errors"
)

// maxFrame is the longest message that a stream client may send: what fits into
// one UDP datagram, and the padding of ChannelData.
const maxFrame = 1<<16 - 1

// errFrame ends a stream: without a valid length there is no next message.
var errFrame = errors.New("neither a STUN message nor ChannelData")

// frame returns the length of the first message in b as the stream carries it,
// padding included, and without it; 0 when b is too short to tell. On a stream
// the two are told apart as over UDP (RFC 8656 section 12), and ChannelData is
// padded to a multiple of four bytes (section 12.5). A length that no message can
// have is an error at once, not a wait for bytes that never come.
func frame(b []byte) (length, message int, err error) {
	if len(b) < channelHeaderSize {
		if len(b) > 0 && b[0] > streamMax {
			return 0, 0, errFrame
		}
		return 0, 0, nil
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0] < 0x40:
		length = headerSize + size
		if size&3 != 0 || length > maxFrame {
			return 0, 0, errFrame
		}
		if len(b) < headerSize {
			return 0, 0, nil
		}
		if binary.BigEndian.Uint32(b[4:]) != magicCookie {
			return 0, 0, errFrame
		}
		return length, length, nil
	case b[0] <= streamMax:
		message = channelHeaderSize + size
		return padded(message), message, nil
	}
	return 0, 0, errFrame
}

// Streams without an allocation, and ones in the middle of a message, are cut off
// after streamPatience seconds without a whole message; ones that do not read,
// after streamStall.
const (
	streamPatience = 30
	streamStall    = 10
	streamQueue    = 256 << 10 // bytes that wait for a client at most
)

// outQueue holds the messages that a stream client has not had time to read. When
// it is full the oldest media goes; answers stay. It never cuts a message.
type outQueue struct {
	messages []queued
	bytes    int
}

type queued struct {
	buf   []byte
	media bool
}

// push copies a message into the queue and returns how many others had to go. ok
// is false when there is no room even so: the client is lost.
func (q *outQueue) push(b []byte, media bool) (dropped int, ok bool) {
	if q.bytes+len(b) > streamQueue {
		keep := q.messages[:0]
		for _, m := range q.messages {
			if m.media && q.bytes+len(b) > streamQueue {
				q.bytes -= len(m.buf)
				dropped++
				continue
			}
			keep = append(keep, m)
		}
		clear(q.messages[len(keep):])
		q.messages = keep
		if q.bytes+len(b) > streamQueue {
			return dropped, false
		}
	}
	q.messages = append(q.messages, queued{append([]byte(nil), b...), media})
	q.bytes += len(b)
	return dropped, true
}

// pop moves whole messages from the queue to the end of b, up to limit bytes in
// b, but one at least.
func (q *outQueue) pop(b []byte, limit int) []byte {
	n := 0
	for _, m := range q.messages {
		if n > 0 && len(b)+len(m.buf) > limit {
			break
		}
		b = append(b, m.buf...)
		q.bytes -= len(m.buf)
		n++
	}
	rest := copy(q.messages, q.messages[n:])
	clear(q.messages[rest:])
	q.messages = q.messages[:rest]
	if rest == 0 {
		q.messages = nil
	}
	return b
}

func (q *outQueue) empty() bool { return len(q.messages) == 0 }
