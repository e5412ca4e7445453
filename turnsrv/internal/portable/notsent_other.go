//go:build !linux && !darwin

package portable

import "net"

// limitUnsent does with the send buffer what other systems do better: it holds what is
// on its way too, and so it cannot be as small.
func limitUnsent(tcp *net.TCPConn, bytes int) { _ = tcp.SetWriteBuffer(16 * bytes) }
