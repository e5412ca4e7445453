// Package kernel forwards the packets of running calls inside the Linux kernel: a program
// at the ingress of the network's interfaces (tcx) rewrites them and sends them on, so
// that they wake nobody. It is fed by the relay's core, of which it is an Offload; what
// it does to a packet is in program/relay.c.
package kernel

import (
	"log/slog"

	"turnhub/turnsrv/internal/core"
)

// Config is what a Kernel is made of.
type Config struct {
	Allocations int // that have counters there at a time
	Logger      *slog.Logger
}

// Relay is the part of the server that the kernel works for.
type Relay interface {
	// Clock is nanoseconds of the server's clock, which runs as CLOCK_MONOTONIC does.
	Clock() int64
	// FlushOffload takes all flows out.
	FlushOffload()
}

var _ Relay = (*core.Shared)(nil)
