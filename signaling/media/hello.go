package media

import (
	"bytes"
	"encoding/json"

	"turnhub/signaling/internal/wire"
)

// hello is the first frame of a client.
type hello struct {
	Type    string `json:"type"`
	Session string `json:"session"`
	Token   string `json:"token"` // by which the session is resumed
	Peer    string `json:"peer"`
}

// hello makes the socket the end of a pair, or refuses it.
func (k *socket) hello(isText bool, text []byte) {
	h, f := parseHello(isText, text)
	if f != nil {
		k.shut(wire.CloseBadHello, f)
		return
	}
	s := k.server
	switch {
	case !s.hub.Owns(h.Session, h.Token) && s.invite(k, h):
		return
	case !s.hub.Owns(h.Session, h.Token):
		k.shut(wire.CloseRefused, wire.Faultf(wire.CodeForbidden, "the session is not here, or the token is not the one by which it is resumed"))
		return
	case h.Session == h.Peer || !s.hub.Share(h.Session, h.Peer):
		k.shut(wire.CloseRefused, apart(h.Peer))
		return
	}
	if code, f := s.enter(k, h.Session, h.Peer); code != 0 {
		k.shut(code, f)
		return
	}
	s.log.Debug("media socket opened", "session", h.Session, "peer", h.Peer, "request", k.request)
	// What they share may have ended since it was asked; from here on Recheck sees k.
	if !s.hub.Owns(h.Session, h.Token) || !s.hub.Share(h.Session, h.Peer) {
		k.shut(wire.CloseRefused, apart(h.Peer))
	}
}

func parseHello(isText bool, text []byte) (h hello, f *wire.Fault) {
	if !isText {
		return h, wire.Faultf(wire.CodeBadMessage, "the first frame is a text, hello, not binary")
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&h); err != nil || h.Type != "hello" {
		return h, wire.Faultf(wire.CodeBadMessage, "the first frame must be of type hello, with session, token and peer")
	}
	for name, value := range map[string]string{"session": h.Session, "token": h.Token, "peer": h.Peer} {
		if value == "" {
			return h, wire.Faultf(wire.CodeBadMessage, "%s is missing", name)
		}
	}
	return h, nil
}
