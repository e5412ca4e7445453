//go:build !linux

package delivery

import (
	"errors"
	"time"
)

// poller is there on Linux only. Elsewhere every WebSocket has a goroutine.
type poller struct{}

func pollerCount() int { return 0 }

func newPoller(*Node) (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) newLink(*conn) bool { return false }
func (*poller) close()             {}

type link struct{}

func (*link) start()                    {}
func (*link) deaf()                     {}
func (*link) release() bool             { return false }
func (*link) try([]byte) (int, error)   { return 0, errors.ErrUnsupported }
func (*link) await(bool, time.Duration) {}
