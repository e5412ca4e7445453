package socketio

import (
	"errors"
	"io"
	"net/http"
	"time"

	"turnhub/internal/body"
)

// probeHold is how long a poll is held while an upgrade is probed: the client
// wants it back at once, but must not be made to spin.
const probeHold = 100 * time.Millisecond

// servePoll answers a long-polling GET with what is queued, or waits for it.
func (c *session) servePoll(w http.ResponseWriter, r *http.Request) {
	wake := make(chan struct{}, 1)
	c.out.Lock()
	switch {
	case c.closed:
		c.out.Unlock()
		fail(w, codeUnknownSID, "")
		return
	case c.ws != nil:
		c.out.Unlock()
		fail(w, codeBadRequest, "the session has moved to WebSocket")
		return
	case c.poll != nil:
		c.out.Unlock()
		c.close("overlapping polls")
		fail(w, codeBadRequest, "overlapping polls")
		return
	}
	c.poll = wake
	c.out.Unlock()
	packets := c.await(r, wake)
	if packets == nil {
		c.close("poll was given up by the client")
		return
	}
	contentType, text := c.payload(r, packets)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // a broken connection shows as a missing pong
}

// await returns the packets for a poll; nil when the client has gone away.
func (c *session) await(r *http.Request, wake <-chan struct{}) []packet {
	hold := time.NewTimer(time.Hour)
	defer hold.Stop()
	for {
		c.out.Lock()
		if packets := c.takeLocked(); packets != nil {
			c.poll = nil
			c.out.Unlock()
			return packets
		}
		if c.probed {
			hold.Reset(probeHold)
		}
		c.out.Unlock()
		select {
		case <-wake:
		case <-c.done:
		case <-hold.C:
			c.out.Lock()
			c.poll = nil
			c.out.Unlock()
			return []packet{{kind: packetNoop}}
		case <-r.Context().Done():
			c.out.Lock()
			c.poll = nil
			moved := c.ws != nil
			c.out.Unlock()
			if moved {
				return []packet{{kind: packetNoop}} // to nobody
			}
			return nil
		}
	}
}

// takeLocked empties the queue for one answer; nil: there is nothing to say.
func (c *session) takeLocked() []packet {
	packets := c.queue
	c.queue, c.queued = nil, 0
	switch {
	case c.closed:
		return append(packets, packet{kind: packetClose})
	case c.ws != nil && len(packets) == 0:
		return []packet{{kind: packetNoop}}
	}
	return packets
}

// serveData takes a long-polling POST.
func (c *session) serveData(w http.ResponseWriter, r *http.Request) {
	c.out.Lock()
	overlap := c.posting
	moved := c.ws != nil
	c.posting = true
	c.out.Unlock()
	switch {
	case overlap:
		c.close("overlapping posts")
		fail(w, codeBadRequest, "overlapping posts")
		return
	case moved:
		c.donePosting()
		fail(w, codeBadRequest, "the session has moved to WebSocket")
		return
	}
	defer c.donePosting()
	if !c.era && r.Header.Get("Content-Type") == "application/octet-stream" {
		c.fail(parseError("binary payload"))
		fail(w, codeBadRequest, "a payload is text; binary packets are base64")
		return
	}
	_, form := jsonp(r.URL.Query())
	most := c.server.maxPayload()
	if c.era {
		most = c.server.maxPayload3(form)
	}
	text, err := body.Read(w, r, int64(most), c.server.timing.Body)
	if err != nil {
		status := body.Status(err)
		if status == http.StatusRequestEntityTooLarge {
			c.entrant.Count("dropped_too_big")
		} else {
			c.close("post was given up by the client")
		}
		failWith(w, status, codeBadRequest, err.Error())
		return
	}
	packets, err := c.parse(r, form, text)
	if err != nil {
		c.fail(errPayload{err})
		fail(w, codeBadRequest, err.Error())
		return
	}
	for _, p := range packets {
		err := c.entrant.Wait(len(p.data))
		if err == nil {
			err = c.receive(p)
		}
		if errors.Is(err, errClosedByClient) {
			c.close("closed by the client")
			break
		}
		if err != nil {
			c.fail(err)
			fail(w, codeBadRequest, err.Error())
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html") // text/plain makes old browsers offer a download
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok")
}

func (c *session) donePosting() {
	c.out.Lock()
	defer c.out.Unlock()
	c.posting = false
}
