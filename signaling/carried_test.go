package signaling

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// carried is a socket without a network, on a hub whose inside a test looks at.
type carried struct {
	*delivery.Carried
	hub *Hub
}

// carry opens a socket of somebody without an access token, from nowhere.
func carry(h *Hub) *carried { return carryFrom(h, "", "", access.Claims{}) }

// carryFrom opens a socket from remote that has been seen at seen.
func carryFrom(h *Hub, remote, seen string, claims access.Claims) *carried {
	address := func(s string) (a netip.Addr) {
		if s != "" {
			a = netip.MustParseAddr(s)
		}
		return a
	}
	return &carried{h.node.Carry(address(remote), address(seen), claims), h}
}

func (c *carried) id() string { id, _ := c.Session(); return id }

// token is the secret with which the session is resumed.
func (c *carried) token() string { _, token := c.Session(); return token }

// open reports whether the hello has opened or resumed a session.
func (c *carried) open() bool { return c.id() != "" }

// end ends the socket's session.
func (c *carried) end() {
	if s := c.hub.directory.members.Get(c.id()); s != nil {
		c.hub.node.End(s.ref, "lost", wire.CloseRevoked)
	}
}

// pullFrames takes what a socket without a network would send now.
func pullFrames(t testing.TB, c *carried) (frames []frame) {
	for buf := c.Take(); len(buf) > 0; {
		opcode, length, head := buf[0]&0xf, int(buf[1]), 2
		switch length {
		case 126:
			length, head = int(binary.BigEndian.Uint16(buf[2:])), 4
		case 127:
			length, head = int(binary.BigEndian.Uint64(buf[2:])), 10
		}
		if opcode == websocket.TextMessage {
			var f frame
			if err := json.Unmarshal(buf[head:head+length], &f); err != nil {
				t.Fatalf("%s: %v", buf[head:head+length], err)
			}
			frames = append(frames, f)
		}
		buf = buf[head+length:]
	}
	return frames
}

// still is a hub whose clock is moved by hand, and sockets without a network.
type still struct {
	t   *testing.T
	hub *Hub
	at  time.Time
}

func newStill(t *testing.T, cfg Config) *still {
	s := &still{t: t, hub: NewHub(cfg), at: time.Unix(1e9, 0)}
	s.hub.now = func() time.Time { return s.at }
	s.hub.day = s.hub.now
	return s
}
