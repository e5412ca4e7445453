package core

import (
	"net/netip"

	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/wire"
)

// Drop is why a packet was not relayed or answered.
type Drop uint8

const (
	DropMalformed        Drop = iota // neither STUN nor ChannelData, or cut short
	DropFingerprint                  // FINGERPRINT does not match
	DropUnexpected                   // a STUN class or method that no client sends to a server
	DropAmplification                // an answer would exceed 1.5 times its unauthenticated request
	DropControl                      // a client's requests cost more than it may use up
	DropRateLimited                  // unauthenticated answers to this prefix used up
	DropNoAllocation                 // ChannelData or Send without allocation
	DropNoChannel                    // ChannelData for a channel that is not bound
	DropNoPermission                 // no permission for the peer, either way
	DropPolicy                       // the peer policy forbids what a permission once allowed
	DropFamily                       // the peer's address family has no relayed address
	DropBandwidth                    // bandwidth_per_allocation used up
	DropPackets                      // packets_per_allocation used up
	DropUserBandwidth                // bandwidth_per_user used up
	DropUserVolume                   // volume_per_user_day used up
	DropQueueFull                    // the client's stream does not keep up
	DropLate                         // it waited too long for the client's stream: late is worse than lost
	DropWorkerBusy                   // the other worker's ring is full
	DropNoSocket                     // it would have to leave the process, and its relayed address has no socket
	DropSend                         // the kernel refused to send
	DropRelayGone                    // the relayed address of this server that was the peer has ended
	DropUnknownAttribute             // an indication with an unknown mandatory attribute
	drops
)

var dropNames = [drops]string{
	"malformed", "fingerprint", "unexpected", "amplification", "control_cost", "rate_limited", "no_allocation", "no_channel",
	"no_permission", "policy", "family", "bandwidth", "packets", "user_bandwidth", "user_volume", "queue_full", "late", "worker_busy", "no_socket", "send",
	"relay_gone", "unknown_attribute",
}

func (d Drop) String() string { return dropNames[d] }

// AuthResult is what came of the credentials of a request.
type AuthResult uint8

const (
	AuthOK           AuthResult = iota
	AuthChallenged              // no credentials yet: 401
	AuthIncomplete              // MESSAGE-INTEGRITY without USERNAME, REALM or NONCE: 400
	AuthStaleNonce              // 438
	AuthBadUsername             // 401
	AuthExpired                 // 401
	AuthBadIntegrity            // 401
	AuthWrongUser               // 441
	AuthRevoked                 // 401
	authResults
)

var authNames = [authResults]string{
	"ok", "challenged", "incomplete", "stale_nonce", "bad_username", "expired", "bad_integrity", "wrong_user", "revoked",
}

func (a AuthResult) String() string { return authNames[a] }

// Traffic counts packets and payload bytes.
type Traffic struct{ Packets, Bytes uint64 }

func (t *Traffic) add(n int) {
	t.Packets++
	t.Bytes += uint64(n)
}

// counters are one shard's, written by it alone.
type counters struct {
	drops     [drops]uint64
	auth      [authResults]uint64
	toPeer    [wire.Transports][wire.Families]Traffic
	toClient  [wire.Transports][wire.Families]Traffic
	inProcess Traffic
	kernel    Traffic
	waited    [wire.Transports]backlog.Waited
	requests  [16]uint64 // by method
	errors    map[int]uint64
	denied    map[string]uint64
	quota     map[string]uint64
	created   uint64
	ended     uint64
	revoked   uint64
	expired   uint64
	replaced  uint64
	streams   int64
}

// Stats is a snapshot of the server's counters. All but Allocations, Streams and
// Permissions only grow.
type Stats struct {
	Workers     int
	Allocations [wire.Transports][wire.Families]int // now, by client transport and relayed family
	Bare        int                                 // of them without a socket
	Created     uint64                              // allocations
	Ended       uint64                              // allocations, for whatever reason
	Expired     uint64                              // of them by time
	Revoked     uint64                              // of them by Revoke
	Replaced    uint64                              // of them, silent, by their user's next one
	Streams     int                                 // TCP and TLS clients now

	// Payload that was relayed, by client transport and relayed family.
	ToPeer, ToClient [wire.Transports][wire.Families]Traffic
	// InProcess is the part of ToPeer whose peer is a client of this server.
	InProcess Traffic
	// Kernel is what of both has passed inside the kernel (see Offload), where there are
	// so many flows now, and how often one could not be entered, by reason.
	Kernel        Traffic
	KernelFlows   int
	KernelRefused map[string]uint64
	// Waited is what waited for TCP and TLS clients on slow lines.
	Waited [wire.Transports]backlog.Waited

	Drops    map[string]uint64 // packets by reason
	Auth     map[string]uint64 // requests by result
	Requests map[string]uint64 // by method
	Errors   map[int]uint64    // error responses by code
	Denied   map[string]uint64 // peers refused, by the policy's reason
	Quota    map[string]uint64 // allocations refused, by quota
}

func newStats() Stats {
	return Stats{
		Drops: make(map[string]uint64), Auth: make(map[string]uint64), Requests: make(map[string]uint64),
		Errors: make(map[int]uint64), Denied: make(map[string]uint64), Quota: make(map[string]uint64),
	}
}

var methodNames = [16]string{1: "binding", 3: "allocate", 4: "refresh", 6: "send", 8: "create_permission", 9: "channel_bind"}

// merge adds one shard's counters.
func (s *Stats) merge(c *counters) {
	for i, n := range c.drops {
		s.Drops[Drop(i).String()] += n
	}
	for t := range c.waited {
		s.Waited[t].Add(&c.waited[t])
		s.Drops[DropLate.String()] += c.waited[t].Late
	}
	for i, n := range c.auth {
		s.Auth[AuthResult(i).String()] += n
	}
	for i, n := range c.requests {
		name := methodNames[i]
		if name == "" {
			if n == 0 {
				continue
			}
			name = "other"
		}
		s.Requests[name] += n
	}
	for t := range c.toPeer {
		for f := range c.toPeer[t] {
			s.ToPeer[t][f].Packets += c.toPeer[t][f].Packets
			s.ToPeer[t][f].Bytes += c.toPeer[t][f].Bytes
			s.ToClient[t][f].Packets += c.toClient[t][f].Packets
			s.ToClient[t][f].Bytes += c.toClient[t][f].Bytes
		}
	}
	s.InProcess.Packets += c.inProcess.Packets
	s.InProcess.Bytes += c.inProcess.Bytes
	s.Kernel.sum(c.kernel)
	mergeInto(s.Errors, c.errors)
	mergeInto(s.Denied, c.denied)
	mergeInto(s.Quota, c.quota)
	s.Created += c.created
	s.Ended += c.ended
	s.Expired += c.expired
	s.Revoked += c.revoked
	s.Replaced += c.replaced
	s.Streams += int(c.streams)
}

func mergeInto[K comparable](to, from map[K]uint64) {
	for k, n := range from {
		to[k] += n
	}
}

// AllocationInfo is one allocation as the console shows it.
type AllocationInfo struct {
	User             string
	Transport        wire.Transport
	Client           netip.AddrPort
	Relayed          []netip.AddrPort
	AgeSeconds       int64
	ExpiresInSeconds int64
	Permissions      int
	Channels         int
	ToPeer, ToClient Traffic
	InKernel         bool // packets of it have passed inside the kernel in the last seconds
}
