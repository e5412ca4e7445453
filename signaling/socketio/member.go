package socketio

import (
	"fmt"
	"strconv"

	"turnhub/internal/access"
)

// member is a client in the default namespace, which Socket.IO calls a socket. Its
// session's lock in guards it.
type member struct {
	id      string
	session *session
	key     roomKey
	inRoom  bool // false after a join that found the room full
	warned  bool // has been told that one of its events is not relayed
}

// connect opens the default namespace for a session.
func (s *Server) connect(c *session) *member {
	who := &member{id: newID(), session: c}
	welcome := c.welcome(who.id)
	// A token for certain rooms is none for the channel that everybody shares.
	if c.entrant.Claims.AllowsRoom(c.channel) {
		who.enter(roomKey{channel: c.channel}, func(int, bool) {}, welcome)
	} else {
		c.send(welcome)
	}
	return who
}

// leave takes a member out of everything.
func (s *Server) leave(who *member) { who.exit() }

// enter enters a room. then is called with what came of it, at once, or with other nodes as
// soon as they have answered; until then nothing else is heard of the client.
func (w *member) enter(key roomKey, then func(before int, ok bool), first ...packet) {
	entered := func(before int, ok bool) {
		last, was := w.key, w.inRoom
		if ok {
			w.key, w.inRoom = key, true
			w.session.entrant.Join(key.label())
		}
		if ok && was {
			w.session.entrant.Part(last.label())
			w.session.server.exit(last, w)
		}
		then(before, ok)
	}
	if s := w.session.server; s.topics != nil {
		s.enterAcross(key, w, entered, first...)
	} else {
		entered(s.enter(key, w, first...))
	}
}

func (w *member) exit() {
	if w.inRoom {
		w.inRoom = false
		w.session.entrant.Part(w.key.label())
		w.session.server.exit(w.key, w)
	}
}

// handle takes an event of the client.
func (w *member) handle(m message, attachments []packet) {
	switch m.event {
	case "message":
		w.relay(m, attachments)
		if m.ack != "" {
			w.session.send(acknowledge(m.ack))
		}
	case "join":
		w.join(m, func(result string) {
			if m.ack != "" {
				w.session.send(acknowledge(m.ack, result))
			}
		})
	default:
		w.session.entrant.Count("dropped_event")
		w.warn(fmt.Sprintf("this server relays \"message\" events; %q was dropped", m.event))
	}
}

// relay passes a message on to the others of the room, its bytes unchanged.
func (w *member) relay(m message, attachments []packet) {
	r := w.session.server.find(w.key)
	if !w.inRoom || r == nil {
		w.session.entrant.Count("dropped_outside")
		return
	}
	r.say(w, append([]packet{m.relayed()}, attachments...)...)
	w.session.entrant.Count("relayed")
}

// join moves the member into a room for two: the first is told "created", the
// second nothing, a third "full", and stays outside. done is told what came of it.
func (w *member) join(m message, done func(result string)) {
	name, err := roomName(m.data)
	if err != nil {
		w.session.send(event("error", map[string]string{"message": err.Error()}))
		done("refused")
		return
	}
	if !w.session.entrant.Claims.AllowsRoom(name) {
		w.session.send(event("error", map[string]string{"message": "the access token does not allow this room"}))
		done("refused")
		return
	}
	key := roomKey{channel: w.session.channel, joined: true, name: name}
	if w.inRoom && w.key == key {
		done("joined")
		return
	}
	w.enter(key, func(before int, ok bool) {
		switch {
		case !ok:
			if w.inRoom && !w.key.joined {
				w.exit() // it asked for privacy, so it does not fall back to the lobby
			}
			w.session.send(event("full", name))
			done("full")
		case before == 0:
			w.session.send(event("created", name))
			done("created")
		default:
			done("joined")
		}
	})
}

// roomName reads the argument of join.
func roomName(data []byte) (string, error) {
	argument, err := element(data, 1)
	if err != nil {
		return "", err
	}
	switch name := argument.(type) {
	case string:
		if name == "" || len(name) > access.MaxRoomName {
			return "", fmt.Errorf("join: a room's name has 1 to %d bytes", access.MaxRoomName)
		}
		return name, nil
	case float64:
		return strconv.FormatFloat(name, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("join: write emit(\"join\", room)")
}

// warn tells the client once that something it has said goes nowhere.
func (w *member) warn(text string) {
	if !w.warned {
		w.warned = true
		w.session.send(event("error", map[string]string{"message": text}))
	}
}
