// Package kernel forwards the packets of running calls inside the Linux kernel: a program
// at the ingress of the network's interfaces (tcx, or a filter where the kernel has none)
// rewrites them and sends them on, so that they wake nobody. It is fed by the relay's core, of which it is an Offload; what
// it does to a packet is in program/relay.c.
package kernel

import (
	"log/slog"
	"os"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// Config is what a Kernel is made of.
type Config struct {
	Allocations int          // that have counters there at a time
	Attachment  Attachment   // empty: TCX where the kernel has it, else Clsact
	Inherited   *Inheritance // of the process that this one replaces; nil: none. Open closes it.
	Logger      *slog.Logger

	trial bool // nothing is to be changed
}

// Attachment says how the program is brought to an interface.
type Attachment string

// The ways there are.
const (
	TCX    Attachment = "tcx"    // a link that ends with the process; since Linux 6.6
	Clsact Attachment = "clsact" // a filter that stays until it is taken away, see Sweep
)

// Inheritance is what a process hands to the one that replaces it: the program, its
// tables, and the links or the life by which it is attached, as file descriptors. Both share them from
// then on, each with its own calls, so that a packet meets one program, and a process that
// may not load one has it nevertheless.
type Inheritance struct {
	Identity string     // of the program
	Files    []*os.File // by what they are
}

// Close closes the files.
func (i *Inheritance) Close() {
	if i == nil {
		return
	}
	for _, f := range i.Files {
		f.Close()
	}
}

// Relay is the part of the server that the kernel works for.
type Relay interface {
	// Clock is nanoseconds of the server's clock, which runs as CLOCK_MONOTONIC does.
	Clock() int64
	// FlushOffload takes all flows out.
	FlushOffload()
	// FlushOffloadOf takes out those of the calls that have an address at one end.
	FlushOffloadOf(addresses []wire.Endpoint)
}

var _ Relay = (*core.Shared)(nil)
