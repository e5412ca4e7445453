//go:build !linux || !(amd64 || arm64)

package turnsrv

import (
	"errors"
	"net/netip"
	"os"
)

var errHandover = errors.New("sockets are handed over on Linux only; restart instead")

// ListenerFiles is for Linux only.
func (s *Server) ListenerFiles() ([]*os.File, error) { return nil, errHandover }

// AdoptUDP is for Linux only.
func (s *Server) AdoptUDP([]*os.File) ([]netip.AddrPort, error) { return nil, errHandover }

// Resume is for Linux only.
func (s *Server) Resume([]*os.File) error { return errHandover }

// Yield is for Linux only.
func (s *Server) Yield() (lost int) { return 0 }
