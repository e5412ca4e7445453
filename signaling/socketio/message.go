package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Socket.IO packet types. Source: socket.io-protocol, revision 5.
const (
	typeConnect      = '0'
	typeDisconnect   = '1'
	typeEvent        = '2'
	typeAck          = '3'
	typeConnectError = '4'
	typeBinaryEvent  = '5'
	typeBinaryAck    = '6'
)

// maxAttachments is the most binary attachments of one message. The client's
// own decoder refuses more, and would take them as a reason to disconnect.
const maxAttachments = 10

// maxDepth is the deepest nesting of a message with attachments. The client
// puts them in place by recursion.
const maxDepth = 128

// maxAckDigits holds every integer that JavaScript represents exactly.
const maxAckDigits = 16

// message is one decoded Socket.IO packet. Its parts are the sender's own
// bytes: what is relayed is never encoded again.
type message struct {
	kind        byte
	attachments int
	namespace   string
	ack         string // digits of the acknowledgement id, or empty
	data        []byte // JSON, or empty
	event       string // first element, of an EVENT or BINARY_EVENT
}

// reserved names have a meaning inside socket.io-client, which refuses them as
// events and disconnects.
func reserved(event string) bool {
	switch event {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// decodeMessage reads one Socket.IO packet:
//
//	<type>[<attachments>-][<namespace>,][<ack id>][JSON]
func decodeMessage(text []byte) (message, error) {
	if len(text) == 0 {
		return message{}, errors.New("empty Socket.IO packet")
	}
	m := message{kind: text[0], namespace: "/"}
	rest := text[1:]
	if m.kind < typeConnect || m.kind > typeBinaryAck {
		return message{}, fmt.Errorf("unknown Socket.IO packet type %q", m.kind)
	}
	if m.kind == typeBinaryEvent || m.kind == typeBinaryAck {
		count, after, found := bytes.Cut(rest, []byte{'-'})
		n, err := strconv.ParseUint(string(count), 10, 16)
		if !found || err != nil || n < 1 {
			return message{}, errors.New("illegal number of attachments")
		}
		if n > maxAttachments {
			return message{}, fmt.Errorf("more than %d attachments", maxAttachments)
		}
		m.attachments, rest = int(n), after
	}
	if len(rest) > 0 && rest[0] == '/' {
		name, after, _ := bytes.Cut(rest, []byte{','})
		m.namespace, rest = string(name), after
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if digits > maxAckDigits {
		return message{}, errors.New("acknowledgement id is too long")
	}
	m.ack, m.data = string(rest[:digits]), rest[digits:]
	if err := m.check(); err != nil {
		return message{}, err
	}
	return m, nil
}

// check verifies that the JSON is what the type asks for.
func (m *message) check() error {
	if len(m.data) > 0 && !json.Valid(m.data) {
		return errors.New("payload is not JSON")
	}
	switch m.kind {
	case typeConnect:
		if len(m.data) > 0 && m.data[0] != '{' {
			return errors.New("payload of CONNECT is not an object")
		}
	case typeDisconnect:
		if len(m.data) > 0 {
			return errors.New("DISCONNECT has a payload")
		}
	case typeConnectError:
		return errors.New("CONNECT_ERROR comes from servers only")
	case typeAck, typeBinaryAck:
		if len(m.data) == 0 || m.data[0] != '[' || m.ack == "" {
			return errors.New("payload of an acknowledgement is not an array with an id")
		}
	case typeEvent, typeBinaryEvent:
		if len(m.data) == 0 || m.data[0] != '[' {
			return errors.New("payload of an event is not an array")
		}
		var err error
		if m.event, err = eventName(m.data); err != nil {
			return err
		}
	}
	if m.attachments > 0 {
		return checkPlaceholders(m.data, m.attachments)
	}
	return nil
}

// eventName reads the first element of an event's array: a string, or a number
// in its decimal form.
func eventName(data []byte) (string, error) {
	first, err := element(data, 0)
	if err != nil {
		return "", err
	}
	switch name := first.(type) {
	case string:
		if reserved(name) {
			return "", fmt.Errorf("event name %q is reserved", name)
		}
		return name, nil
	case float64:
		return strconv.FormatFloat(name, 'f', -1, 64), nil
	default:
		return "", errors.New("an event has no name")
	}
}

// element decodes one element of a JSON array; nil when it is not there.
func element(data []byte, index int) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	for i := 0; decoder.More(); i++ {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		if i == index {
			var value any
			err := json.Unmarshal(raw, &value)
			return value, err
		}
	}
	return nil, nil
}

// checkPlaceholders verifies that every {"_placeholder":true,"num":n} names an
// attachment that is there. A client that finds another disconnects, so a bad
// message must end at its sender.
func checkPlaceholders(data []byte, attachments int) error {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	return walkPlaceholders(value, attachments, maxDepth)
}

func walkPlaceholders(value any, attachments, depth int) error {
	if depth == 0 {
		return fmt.Errorf("a message with attachments is nested deeper than %d", maxDepth)
	}
	switch v := value.(type) {
	case []any:
		for _, inner := range v {
			if err := walkPlaceholders(inner, attachments, depth-1); err != nil {
				return err
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			n, ok := v["num"].(float64)
			if !ok || n < 0 || n >= float64(attachments) || n != float64(int(n)) {
				return errors.New("illegal attachments")
			}
			return nil
		}
		for _, inner := range v {
			if err := walkPlaceholders(inner, attachments, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// relayed is the message as the others get it: the sender's bytes without the
// acknowledgement id, which is between the sender and the server.
func (m *message) relayed() packet {
	data := make([]byte, 0, len(m.data)+4)
	data = append(data, m.kind)
	if m.attachments > 0 {
		data = strconv.AppendInt(data, int64(m.attachments), 10)
		data = append(data, '-')
	}
	return packet{kind: packetMessage, data: append(data, m.data...)}
}

// event makes an EVENT of the server's own.
func event(name string, arguments ...any) packet {
	return packet{kind: packetMessage, data: append([]byte{typeEvent}, mustJSON(append([]any{name}, arguments...))...)}
}

// acknowledge makes an ACK.
func acknowledge(id string, arguments ...any) packet {
	if arguments == nil {
		arguments = []any{}
	}
	data := append([]byte{typeAck}, id...)
	return packet{kind: packetMessage, data: append(data, mustJSON(arguments)...)}
}

// connected answers a CONNECT.
func connected(id string) packet {
	return packet{kind: packetMessage, data: append([]byte{typeConnect}, mustJSON(map[string]string{"sid": id})...)}
}

// connectError answers a CONNECT to a namespace that is not there.
func connectError(namespace, why string) packet {
	data := append([]byte{typeConnectError}, namespace...)
	data = append(data, ',')
	return packet{kind: packetMessage, data: append(data, mustJSON(map[string]string{"message": why})...)}
}

// mustJSON encodes strings and maps of them, which cannot fail.
func mustJSON(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", value, err))
	}
	return data
}
