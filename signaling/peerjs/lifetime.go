package peerjs

import (
	"context"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
)

// enter returns the realm of a mount path for one request, which leaves it.
func (s *Server) enter(name string) *realm {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.realms[name]
	if r == nil {
		r = &realm{
			server:  s,
			name:    name,
			clients: make(map[string]*client),
			absent:  make(map[string]*absence),
			early:   make(map[earlyKey]*early),
			places:  make(map[string]*place),
		}
		s.realms[name] = r
	}
	r.users++
	return r
}

func (s *Server) leave(r *realm) {
	s.mu.Lock()
	r.users--
	s.mu.Unlock()
	s.sweep(r)
}

// sweep forgets a realm in which there is nobody and nothing.
func (s *Server) sweep(r *realm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == 0 && len(r.clients) == 0 && len(r.absent) == 0 && len(r.early) == 0 && len(r.places) == 0 {
		delete(s.realms, r.name)
	}
}

// Close ends every socket with the code for a restart, and waits until they
// have ended or the context has. What waits for absent peers is dropped.
func (s *Server) Close(ctx context.Context) error {
	return s.sockets.Close(ctx, int(wire.CloseRestart), signaling.ErrDrain.Error())
}
