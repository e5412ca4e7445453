package turnsrv

import (
	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/core"
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

// Limits bound what clients can use.
type Limits = core.Limits

// Sockets says which relayed addresses get a socket.
type Sockets = core.Sockets

// Which do.
const (
	SocketsAuto = core.SocketsAuto
	SocketsOn   = core.SocketsOn
	SocketsOff  = core.SocketsOff
)

// Ports are ports of one relay address, to be told to the process that takes over.
type Ports = core.Ports

// Volume is what one user has relayed within the day of Limits.VolumePerUserDay, to be
// told to the process that takes over.
type Volume = core.Volume

// Held is what users and addresses have of a server's limits, to be told to other servers.
type Held = core.Held

// Holding is how many allocations a user has.
type Holding = core.Holding

// Beside is what one end of a path beside the relay uses up.
type Beside = core.Beside

// Stats is a snapshot of the server's counters.
type Stats = core.Stats

// Traffic counts packets and payload bytes.
type Traffic = core.Traffic

// AllocationInfo is one allocation as the console shows it.
type AllocationInfo = core.AllocationInfo

// AuthResult is what came of the credentials of a request.
type AuthResult = core.AuthResult

// What Config.Refused is told.
const (
	AuthBadUsername  = core.AuthBadUsername
	AuthBadIntegrity = core.AuthBadIntegrity
)

// RealmBytes is the longest realm, in bytes, that fits into every answer, see
// Server.ShortRealm.
const RealmBytes = core.RealmBytes
