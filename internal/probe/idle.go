package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// idles sees for how long connections may be quiet, which takes cfg.Idle. Whatever ends them
// before the server's next ping breaks calls; what would end them within a minute without
// pings leaves those no room.
func (c *checker) idles(ctx context.Context, s site) []Row {
	silent := make(chan Row, 1)
	proxy := c.proxy // of the two at work, one may learn it anew
	go func() {
		defer close(silent)
		if row, ok := c.silent(ctx, s, proxy); ok {
			silent <- row
		}
	}()
	rows := []Row{c.idle(ctx, s)}
	for row := range silent {
		if rows[0].Verdict != Failed { // which says it already
			rows = append(rows, row)
		}
	}
	return rows
}

// idle holds a signaling socket open on which only the pings of the session pass, as of
// somebody who is alone on a page.
func (c *checker) idle(ctx context.Context, at site) Row {
	row := Row{Verdict: Failed, Subject: fmt.Sprintf("a quiet socket for %s", c.cfg.Idle)}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Idle+eachTimeout)
	defer cancel()
	s, failure := c.hello(ctx, at, at.socket("/ws"))
	if failure != nil {
		return failureRow(row.Subject, failure)
	}
	defer s.close()
	begin := time.Now()
	s.conn.SetReadDeadline(begin.Add(c.cfg.Idle))
	s.conn.SetWriteDeadline(begin.Add(c.cfg.Idle))
	defer s.beats()()
	for {
		if _, _, err := s.conn.ReadMessage(); err == nil {
			continue
		} else if isTimeout(err) && time.Since(begin) >= c.cfg.Idle {
			row.Verdict, row.Detail = OK, "it stays open"
			return row
		}
		row.Detail = fmt.Sprintf("closed after %s", round(time.Since(begin)))
		row.Remedy = "something in front ends quiet connections: " + line(quietEnds, c.proxy)
		return row
	}
}

// beats sends a ping each heartbeat until its result is called, or the socket has ended.
func (s *session) beats() (stop func()) {
	stopped, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		beat := time.NewTicker(s.heartbeat)
		defer beat.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-beat.C:
				if s.conn.WriteJSON(map[string]any{"type": "ping"}) != nil {
					return
				}
			}
		}
	}()
	return func() { close(stopped); <-over }
}

// silent holds a socket open on which nothing passes at all (/check/quiet), until the server
// closes it. ok is false for a server that has no such socket left.
func (c *checker) silent(ctx context.Context, at site, proxy string) (row Row, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Idle+eachTimeout)
	defer cancel()
	dialer := c.dialer()
	conn, _, err := dialer.DialContext(ctx, at.socket("/check/quiet"), nil)
	if err != nil {
		return Row{}, false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	begin := time.Now()
	_, _, err = conn.ReadMessage()
	took := time.Since(begin)
	if ctx.Err() != nil {
		return Row{}, false
	}
	row = Row{Verdict: OK, Subject: "a socket without pings", Detail: fmt.Sprintf("stays open for %s", took.Round(time.Second))}
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		row.Verdict, row.Detail = Warned, fmt.Sprintf("closed after %s", round(took))
		row.Remedy = "calls work, since a ping passes every 15 s; an idle time-out under 60 s leaves little room for one that is late: " + line(quietEnds, proxy)
	}
	return row, true
}
