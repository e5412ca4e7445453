package wire

import "unicode/utf8"

// Message is one client message: its members as raw JSON, parts of the buffer it
// was read into and valid as long as that. nil: absent.
type Message struct {
	Type, ID, Seq, Ack             []byte
	Name, User, UserSecret, Resume []byte
	Room, To, Data, First          []byte
	Users, Call, Reason, Token     []byte
	Peer, Path, RTT, Loss          []byte
	Bitrate, FirstFrame            []byte
}

func (m *Message) set(key, value []byte) {
	switch string(key) {
	case "type":
		m.Type = value
	case "id":
		m.ID = value
	case "seq":
		m.Seq = value
	case "ack":
		m.Ack = value
	case "to":
		m.To = value
	case "data":
		m.Data = value
	case "room":
		m.Room = value
	case "first":
		m.First = value
	case "call":
		m.Call = value
	case "name":
		m.Name = value
	case "user":
		m.User = value
	case "userSecret":
		m.UserSecret = value
	case "resume":
		m.Resume = value
	case "users":
		m.Users = value
	case "reason":
		m.Reason = value
	case "token":
		m.Token = value
	case "peer":
		m.Peer = value
	case "path":
		m.Path = value
	case "rtt":
		m.RTT = value
	case "loss":
		m.Loss = value
	case "bitrate":
		m.Bitrate = value
	case "firstFrame":
		m.FirstFrame = value
	}
}

// Parse reads a frame. The fault names the member that is wrong.
func (m *Message) Parse(b []byte) *Fault {
	if !scanObject(b, m) {
		if !utf8.Valid(b) {
			return Faultf(CodeBadMessage, "the message is not UTF-8")
		}
		return Faultf(CodeBadMessage, "the message is not one JSON object (nested at most %d deep)", maxDepth)
	}
	if m.ID != nil {
		if n, ok := Integer(m.ID); !ok || n == 0 {
			m.ID = nil
			return Faultf(CodeBadMessage, "id must be a positive integer")
		}
	}
	return nil
}
