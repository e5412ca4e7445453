package peerjs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"turnhub/signaling/internal/wsock"
)

// Types of message. Source: peer (the reference server), src/enums.ts.
const (
	typeOpen      = "OPEN"
	typeLeave     = "LEAVE"
	typeCandidate = "CANDIDATE"
	typeOffer     = "OFFER"
	typeAnswer    = "ANSWER"
	typeExpire    = "EXPIRE"
	typeHeartbeat = "HEARTBEAT"
	typeIDTaken   = "ID-TAKEN"
	typeError     = "ERROR"
)

// Texts of ERROR that clients know. Source: peer, src/enums.ts.
const (
	textInvalidKey        = "Invalid key provided"
	textInvalidParameters = "No id, token, or key supplied to websocket server"
	textLimit             = "Server has reached its concurrent user limit"
	textTaken             = "ID is taken"
)

// message is one message of a client. Its payload is the sender's own bytes.
type message struct {
	kind    string
	dst     string
	payload json.RawMessage // nil: there is none
}

// decode reads a message of a client. Unknown members are ignored, src is
// whatever the server says it is.
func decode(text []byte) (message, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return message{}, errors.New("message is not a JSON object")
	}
	var m message
	if err := member(members, "type", &m.kind); err != nil {
		return message{}, err
	}
	if err := member(members, "dst", &m.dst); err != nil {
		return message{}, err
	}
	m.payload = members["payload"]
	switch m.kind {
	case typeHeartbeat, typeLeave:
	case typeOffer, typeAnswer, typeCandidate, typeExpire:
		if m.dst == "" {
			return message{}, fmt.Errorf("%s has no dst", m.kind)
		}
	case "":
		return message{}, errors.New("message has no type")
	default:
		return message{}, fmt.Errorf("unknown message type %.32q", m.kind)
	}
	if len(m.dst) > maxID {
		return message{}, fmt.Errorf("dst is longer than %d bytes", maxID)
	}
	return m, nil
}

// member reads a string that may be absent or null.
func member(members map[string]json.RawMessage, name string, into *string) error {
	raw, ok := members[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s is not a string", name)
	}
	return nil
}

// forwarded is the message as dst gets it: exactly type, src, dst and payload.
func (m message) forwarded(src string) wsock.Frame {
	text := make([]byte, 0, len(m.payload)+len(src)+len(m.dst)+64)
	text = append(text, `{"type":`...)
	text = append(text, quote(m.kind)...)
	text = append(text, `,"src":`...)
	text = append(text, quote(src)...)
	if m.dst != "" {
		text = append(text, `,"dst":`...)
		text = append(text, quote(m.dst)...)
	}
	if m.payload != nil {
		text = append(text, `,"payload":`...)
		text = append(text, m.payload...)
	}
	return wsock.Text(append(text, '}'))
}

// notice is a message of the server's own: OPEN, or ID-TAKEN and ERROR with a
// text.
func notice(kind, text string) wsock.Frame {
	if text == "" {
		return wsock.Text([]byte(`{"type":"` + kind + `"}`))
	}
	return wsock.Text([]byte(`{"type":"` + kind + `","payload":{"msg":` + string(quote(text)) + `}}`))
}

// quote encodes a string as JSON, without the escapes that only HTML needs.
func quote(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
