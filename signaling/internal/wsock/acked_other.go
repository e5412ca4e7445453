//go:build !linux

package wsock

import "net"

// acknowledged is known on Linux only.
func acknowledged(net.Conn) (all, ok bool) { return false, false }
