package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"turnhub/internal/kin"
)

// succession is the new process's side of an upgrade; without predecessor it does
// nothing.
type succession struct {
	conn        *net.UnixConn
	version     int // of the link; 0: none
	predecessor int // pid
	generation  int // of the predecessor
	parent      *relative
}

func (in *inherited) succession(environ []string) (succession, error) {
	if in.control == nil {
		return succession{}, nil
	}
	conn, err := kin.Conn(in.control)
	if err != nil {
		return succession{}, fmt.Errorf("take over from the running server: %w", err)
	}
	s := succession{conn: conn, predecessor: os.Getppid()}
	if version, generation, pid, ok := parseKin(environ); ok {
		s.version, s.generation, s.predecessor = min(version, kin.Version), generation, pid
	}
	return s, nil
}

// loaded tells the predecessor to yield and returns when it has, or has died: then this
// process is to serve.
func (s *succession) loaded(n *node) error {
	if s.conn == nil {
		return nil
	}
	word := "loaded"
	if s.version > 0 {
		word = fmt.Sprintf("loaded %d", s.version)
	}
	_, err := io.WriteString(s.conn, word+"\n")
	if s.version == 0 {
		s.parent = n.family.add(s.predecessor, s.generation, nil, nil)
		n.elders.know(nil)
		if err == nil {
			word, err = hear(s.conn, readyPatience)
		}
		if err == nil && word != "go" {
			err = fmt.Errorf("it said %q instead of go", word)
		}
		if err != nil && !errors.Is(err, kin.ErrEnded) {
			return fmt.Errorf("take over from the running server: %w", err)
		}
	} else {
		s.parent = n.family.add(s.predecessor, s.generation, func(h kin.Handler) *kin.Link { return kin.New(s.conn, h) }, nil)
		late := time.NewTimer(readyPatience)
		defer late.Stop()
		select {
		case h := <-n.family.going:
			n.inherit(h)
		case <-s.parent.link.Done():
			err = kin.ErrEnded
			select {
			case h := <-n.family.going: // that was its last word
				n.inherit(h)
			default:
			}
		case <-late.C:
			return errors.New("take over from the running server: it did not yield; restart it instead")
		}
	}
	if err != nil {
		n.log.Warn("the process that was to be replaced has died; this one takes its place", "pid", s.predecessor)
		supervisor{n}.notify(fmt.Sprintf("MAINPID=%d", os.Getpid()))
		n.askElders() // it may not have come to tell their ports
	}
	if err := n.access.LoadRevoked(); err != nil {
		return err
	}
	return nil
}

// inherit takes over what the predecessor knows.
func (n *node) inherit(h handover) {
	n.family.inherit(h.Past)
	n.access.Add(h.Revoked)
	n.turn.AddVolumes(h.Volumes)
	for family, ago := range h.Reached {
		n.turn.AddReached(family, ago)
	}
	if h.Left {
		n.turn.SetLeft()
	}
	n.elders.know(h.Ports)
}

// ready tells the predecessor that the clients may come.
func (s *succession) ready(n *node) {
	switch {
	case s.conn == nil:
	case s.version == 0:
		_, _ = io.WriteString(s.conn, "ready\n")
		s.conn.Close()
		if alive(s.predecessor) {
			n.log.Warn("the old process is of a version that cannot be told anything: revocations, reloads and ended calls do not reach the calls that it still carries; end them with kill if they must", "pid", s.predecessor)
		}
	default:
		ctx, cancel := context.WithTimeout(context.Background(), goPatience)
		defer cancel()
		_ = s.parent.link.Ask(ctx, askReady, readiness{n.unused}, nil, nil)
	}
}
