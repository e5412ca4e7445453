// Package kin joins the processes of one server, of which there are several while
// the old ones of an upgrade in place carry their calls to the end.
//
// Each pair of them shares a socket pair that nobody else can open. Either side asks
// and answers, any number of questions at a time:
//
//	4 bytes  length of what follows, big endian, at most MaxMessage
//	JSON     {"id": 7, "ask": "revoke", "body": …}
//	         {"id": 7, "body": …} or {"id": 7, "error": "…"}
//
// A question may carry one open file (SCM_RIGHTS, unix(7)). One that is not known
// is answered with an error, so that versions that know more stay compatible.
// Everything is bounded: the size of a message, how many questions wait, how many are
// being answered, and how long either may take.
package kin

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Version is that of the protocol.
const Version = 1

const (
	// MaxMessage is the longest message in bytes.
	MaxMessage = 4 << 20

	maxAnswering = 64              // questions of the other side at a time; it hears nothing to more
	maxWaiting   = 64              // questions of this side that have no answer yet
	maxFiles     = 4               // that came and were not asked for yet
	writeTime    = 2 * time.Second // in which the other side takes something of a message
)

// Errors of Ask.
var (
	// ErrEnded is a process that is gone.
	ErrEnded = errors.New("the process has ended")
	// ErrSilent is one that is there and does not answer.
	ErrSilent = errors.New("the process does not answer")
)

// Handler answers a question. file is nil where none came; it is the handler's to
// close. The answer is marshalled as JSON.
type Handler func(ask string, body json.RawMessage, file *os.File) (any, error)

// Link is the way to one other process. Safe for concurrent use.
type Link struct {
	conn    *net.UnixConn
	handler Handler
	done    chan struct{}
	slots   chan struct{} // a place for each question that is being answered

	writing sync.Mutex

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan message
	ended   bool
	files   []*os.File
}

type message struct {
	ID    uint64          `json:"id"`
	Ask   string          `json:"ask,omitempty"`
	File  bool            `json:"file,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"`
}

// Pair makes the two ends of a link, as files for two processes.
func Pair() (a, b *os.File, err error) {
	// Not by SOCK_CLOEXEC, which not every system has: no child is forked in between.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a control pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// Conn is an end of Pair as a connection. It closes the file.
func Conn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use a control pipe: %w", err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("use a control pipe: it is not a unix socket")
	}
	return unix, nil
}

// New begins to answer on conn, which it owns, until either side ends.
func New(conn *net.UnixConn, handler Handler) *Link {
	l := &Link{
		conn: conn, handler: handler, done: make(chan struct{}),
		slots: make(chan struct{}, maxAnswering), waiting: make(map[uint64]chan message),
	}
	_ = conn.SetDeadline(time.Time{})
	go l.read()
	return l
}

// Done is closed when the other process, or the link, has ended.
func (l *Link) Done() <-chan struct{} { return l.done }

// Close ends the link.
func (l *Link) Close() { _ = l.conn.Close() }

// Ask sends a question, with a file or without, and stores what is answered in
// answer, where that is not nil. The error is ErrEnded, ErrSilent (ctx has ended
// first), or what the other side says.
func (l *Link) Ask(ctx context.Context, ask string, body any, file *os.File, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	heard := make(chan message, 1)
	l.mu.Lock()
	switch {
	case l.ended:
		l.mu.Unlock()
		return ErrEnded
	case len(l.waiting) >= maxWaiting:
		l.mu.Unlock()
		return ErrSilent
	}
	l.next++
	id := l.next
	l.waiting[id] = heard
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
	}()
	if err := l.write(message{ID: id, Ask: ask, File: file != nil, Body: text}, file); err != nil {
		return err
	}
	select {
	case m := <-heard:
		if m.Error != "" {
			return errors.New(m.Error)
		}
		if answer == nil {
			return nil
		}
		return json.Unmarshal(m.Body, answer)
	case <-l.done:
		return ErrEnded
	case <-ctx.Done():
		return ErrSilent
	}
}

// write sends one message whole. A side that takes nothing for writeTime is given up: half a
// message would be the end of all understanding. One that takes it slowly, on a busy machine,
// is not.
func (l *Link) write(m message, file *os.File) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > MaxMessage {
		return fmt.Errorf("a message of %d bytes is too long for another process, %d are allowed", len(text), MaxMessage)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text)))
	b = append(b, text...)
	var rights []byte
	if file != nil {
		rights = syscall.UnixRights(int(file.Fd()))
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	sent := 0
	for sent < len(b) && err == nil {
		var n int
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeTime))
		n, _, err = l.conn.WriteMsgUnix(b[sent:], rights, nil) // as much as there is room for
		rights = nil
		sent += n
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && sent == 0:
		return ErrSilent // nothing of it was sent
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.Close()
		return ErrSilent
	}
	return ErrEnded
}

// read takes messages until the link ends.
func (l *Link) read() {
	defer func() {
		l.mu.Lock()
		l.ended = true
		for _, f := range l.files {
			f.Close()
		}
		l.files = nil
		l.mu.Unlock()
		l.Close()
		close(l.done)
	}()
	var header [4]byte
	for {
		if l.fill(header[:]) != nil {
			return
		}
		length := binary.BigEndian.Uint32(header[:])
		if length > MaxMessage {
			return
		}
		text := make([]byte, length)
		if l.fill(text) != nil {
			return
		}
		var m message
		if json.Unmarshal(text, &m) != nil {
			return
		}
		if m.Ask == "" {
			l.mu.Lock()
			heard := l.waiting[m.ID]
			delete(l.waiting, m.ID)
			l.mu.Unlock()
			if heard != nil {
				heard <- m
			}
			continue
		}
		var file *os.File
		if m.File {
			if len(l.files) == 0 {
				return
			}
			file, l.files = l.files[0], l.files[1:]
		}
		// The reader waits for nothing: two that wait for each other's would be silent.
		select {
		case l.slots <- struct{}{}:
		default:
			if file != nil {
				file.Close()
			}
			continue
		}
		go func() {
			defer func() { <-l.slots }()
			l.reply(m, file)
		}()
	}
}

// reply answers a question.
func (l *Link) reply(m message, file *os.File) {
	answer := message{ID: m.ID}
	value, err := l.handler(m.Ask, m.Body, file)
	if err == nil {
		answer.Body, err = json.Marshal(value)
	}
	if err != nil {
		answer.Body, answer.Error = nil, err.Error()
	}
	_ = l.write(answer, nil)
}

// fill reads as many bytes as b has room for, and the files that come with them.
func (l *Link) fill(b []byte) error {
	rights := make([]byte, syscall.CmsgSpace(4*maxFiles))
	for len(b) > 0 {
		n, oob, _, _, err := l.conn.ReadMsgUnix(b, rights)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrEnded
		}
		b = b[n:]
		if oob > 0 {
			l.keep(rights[:oob])
		}
	}
	return nil
}

// keep takes the files out of a control message.
func (l *Link) keep(rights []byte) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			f := os.NewFile(uintptr(fd), "handed over")
			if len(l.files) >= maxFiles {
				f.Close()
				continue
			}
			l.files = append(l.files, f)
		}
	}
}
