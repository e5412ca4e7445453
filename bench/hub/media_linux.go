package hub

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// kindMessage is a kind of turnhub.media.v1: a message is never too old, so that as many stay in flight.
const kindMessage = 4

// beside is turnhub.media.v1: a socket beside the session of each client of a hub's crowd, for it and its partner.
type beside struct {
	native
	sessions []*client
}

func (beside) request(string) (string, string) { return "/media", "turnhub.media.v1" }

func (m beside) opened(c *client) []byte {
	i, _ := strconv.Atoi(strings.TrimPrefix(c.id, "load"))
	session := m.sessions[i]
	return fmt.Appendf(nil, `{"type":"hello","session":"%s","token":"%s","peer":"%s"}`, session.name, session.token, session.partner.name)
}

func (beside) ready(_ *client, m []byte) bool {
	return bytes.Contains(m, []byte(`"type":"ready"`))
}
func (beside) join(*client, string) []byte { return nil }
func (beside) beat(*client) []byte         { return []byte(`{"type":"ping"}`) }
func (beside) signal(c, _ *client, body []byte) []byte {
	c.scratch = append(append(c.scratch[:0], kindMessage, 0, 0, 0, 0, 0, 0, 0, 0), body...)
	return c.scratch
}

// Media lets pairs send each other frames of media of the same size as Relay's messages, so many in flight over all.
func Media(ctx context.Context, o Options) (r Result, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hub, err := o.crowd()
	if err != nil {
		return r, err
	}
	defer hub.close()
	sessions, err := hub.gather(o.Clients&^1, 64, func(i int) string { return fmt.Sprintf("pair%d", i/2) }, 90*time.Second)
	if err != nil {
		return r, err
	}
	pair(sessions)
	w, err := newCrowd(&o, beside{sessions: sessions})
	if err != nil {
		return r, err
	}
	defer w.close()
	clients, err := r.open(&o, w, len(sessions), func(int) string { return "" })
	if err != nil {
		return r, err
	}
	pair(clients)
	send := func(c *client, body []byte) { w.write(c, opBinary, w.dialect.signal(c, c.partner, body)) }
	return r, r.exchange(ctx, &o, w, clients, send, func() error { return hub.step(0) })
}
