package turnsrv

import (
	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/wire"
)

// Transport is how a client reaches this server.
type Transport = wire.Transport

// The transports of clients.
const (
	TransportUDP = wire.UDP
	TransportTCP = wire.TCP
	TransportTLS = wire.TLS
)

// Family is the IP address family of a relayed address.
type Family = wire.Family

// The families.
const (
	IPv4 = wire.IPv4
	IPv6 = wire.IPv6
)

// Waited counts the media that had to wait for clients on slow lines.
type Waited = backlog.Waited

// WaitedBounds are the upper bounds by which waiting is counted in Waited.Within.
var WaitedBounds = backlog.WaitedBounds
