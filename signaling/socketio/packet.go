package socketio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"turnhub/signaling/internal/wsock"
)

// Engine.IO 4 packet types. Source: engine.io-protocol, "Packet encoding".
const (
	packetOpen    = '0'
	packetClose   = '1'
	packetPing    = '2'
	packetPong    = '3'
	packetMessage = '4'
	packetUpgrade = '5'
	packetNoop    = '6'
)

// separator stands between the packets of a long-polling payload.
const separator = 0x1e

// maxPayloadPackets is the most packets in one long-polling payload.
const maxPayloadPackets = 1024

// packet is one Engine.IO packet. A binary packet is always a message.
type packet struct {
	kind   byte
	binary bool
	data   []byte // without the type
}

// decodePacket reads one text packet. "b" and base64 is a binary message, the
// form that long-polling gives it.
func decodePacket(text []byte) (packet, error) {
	if len(text) == 0 {
		return packet{}, errors.New("empty packet")
	}
	switch kind := text[0]; {
	case kind == 'b':
		data, err := decodeBase64(text[1:])
		if err != nil {
			return packet{}, fmt.Errorf("binary packet: %w", err)
		}
		return packet{kind: packetMessage, binary: true, data: data}, nil
	case kind >= packetOpen && kind <= packetNoop:
		return packet{kind: kind, data: text[1:]}, nil
	default:
		return packet{}, fmt.Errorf("unknown packet type %q", kind)
	}
}

// decodeBase64 takes both ways of ending, as Node's own decoder does.
func decodeBase64(text []byte) ([]byte, error) {
	text = bytes.TrimRight(text, "=")
	data := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(data, text)
	return data[:n], err
}

// decodePayload reads the body of a long-polling POST.
func decodePayload(body []byte) ([]packet, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("payload is not UTF-8")
	}
	if n := bytes.Count(body, []byte{separator}); n >= maxPayloadPackets {
		return nil, fmt.Errorf("more than %d packets in one payload", maxPayloadPackets)
	}
	var packets []packet
	for text := range bytes.SplitSeq(body, []byte{separator}) {
		p, err := decodePacket(text)
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// appendPayload writes packets as the body of an answer to a long-polling GET.
func appendPayload(body []byte, packets []packet) []byte {
	for i, p := range packets {
		if i > 0 {
			body = append(body, separator)
		}
		if p.binary {
			body = append(body, 'b')
			body = base64.StdEncoding.AppendEncode(body, p.data)
			continue
		}
		body = append(body, p.kind)
		body = append(body, p.data...)
	}
	return body
}

// frame is the packet as one WebSocket message.
func (p packet) frame() wsock.Frame {
	if p.binary {
		return wsock.Binary(p.data)
	}
	return wsock.Text(append([]byte{p.kind}, p.data...))
}
