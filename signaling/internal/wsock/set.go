package wsock

import (
	"context"
	"sync"
)

// Set holds the open sockets of a server and counts the requests that it is
// answering, so that its Close can end both. The zero value is empty.
type Set struct {
	mu      sync.Mutex
	sockets map[*Conn]struct{}
	closed  bool
	running sync.WaitGroup
}

// Begin counts a request, unless the set is closed. Done ends it.
func (s *Set) Begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// Done ends what Begin has begun.
func (s *Set) Done() { s.running.Done() }

// Add takes a socket in until it has ended, see Start. False: the set is closed, and the
// socket has to be closed by the caller.
func (s *Set) Add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sockets == nil {
		s.sockets = make(map[*Conn]struct{})
	}
	s.sockets[c] = struct{}{}
	return !s.closed
}

// Start is c.Start for a socket of the set, whose request Begin has counted. After ended,
// which may be nil, the socket is taken out.
func (s *Set) Start(c *Conn, handle func(kind int, payload []byte) error, ended func(cause error)) {
	c.Start(handle, func(cause error) {
		if ended != nil {
			ended(cause)
		}
		s.mu.Lock()
		delete(s.sockets, c)
		s.mu.Unlock()
		s.Done()
	})
}

// Len is how many sockets are in the set.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// Close closes every socket with a code and a reason, and waits until all
// requests are answered or the context ends.
func (s *Set) Close(ctx context.Context, code int, reason string) error {
	s.mu.Lock()
	s.closed = true
	for c := range s.sockets {
		c.Close(code, reason)
	}
	s.mu.Unlock()
	return Wait(ctx, &s.running)
}

// Wait waits for a group until the context ends.
func Wait(ctx context.Context, running *sync.WaitGroup) error {
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
