package turnsrv

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/policy"
)

// Config is what a Server is made of.
type Config struct {
	Realm       string
	Software    string // the SOFTWARE attribute; empty: none
	Credentials *credentials.Secrets
	// Revoked reports whether a user's credentials that expire then open no
	// allocation any more, because they are older than the user's revocation. It
	// must be quick and safe for concurrent use. It is asked when an allocation is
	// made, when that is done, and at each later request for it. Nil: none are.
	Revoked func(user string, expires time.Time) bool
	// Refused is told of each request whose credentials are wrong, and why. The
	// client's address is genuine. It is called on the relay's workers, so it must
	// be quick and safe for concurrent use. Nil: nobody is told.
	Refused func(client netip.Addr, transport Transport, why AuthResult)
	// Ended is told of each allocation that ends, and NoRoom of each request for one that
	// a quota refuses, by the name of that quota. Both are called on the relay's workers,
	// as Refused is. Nil: nobody is told.
	Ended  func(AllocationInfo)
	NoRoom func(user string, client netip.Addr, transport Transport, quota string)
	// Unproved reports whether anybody may have credentials for that user name: then
	// what a household has allocated under it counts against the quota of nobody else
	// who uses it. Nil: each name is one person's.
	Unproved func(user string) bool
	// Consumer returns under which name what a user relays is counted, for
	// Limits.BandwidthPerUser and VolumePerUserDay: a person may have many user names.
	// Where it is not proved, the household is counted. Nil: every user name by itself.
	Consumer func(user string) (name string, proved bool)
	// Gateway is the address in whose place everybody may come, for which the limits by
	// address are netaddr.GatewayShare times as wide; nil: there is none.
	Gateway *netaddr.Gateway
	Relay   []netaddr.RelayAddress
	PortMin uint16 // of relayed addresses
	PortMax uint16
	Sockets Sockets // of relayed addresses
	Policy  *policy.Policy
	Limits  Limits
	Workers int // 0: one per CPU
	// Driver does the I/O. One that the system refuses is an error of New, which says
	// why.
	Driver Driver
	auto   bool // it was DriverAuto
	// Kernel says whether packets of running calls pass inside the kernel, beside the
	// driver. Where it is KernelOn or KernelClsact and cannot be, New returns an error.
	Kernel Kernel
	// Inherited is what the process before has bequeathed of the kernel's path. New
	// closes it. Nil: nothing.
	Inherited *KernelInheritance
	Logger    *slog.Logger
}

// Driver is how a server receives and sends.
type Driver string

// The drivers.
const (
	DriverAuto     Driver = "auto"     // io_uring, or epoll where that is refused; the empty one too
	DriverRing     Driver = "io_uring" // Linux 6.1 and later, where it is allowed
	DriverEpoll    Driver = "epoll"    // Linux
	DriverPortable Driver = "portable" // every system
)

// Kernel says whether packets of running calls pass inside the kernel.
type Kernel string

// Whether they do.
const (
	KernelOff  Kernel = "off"  // the empty one too
	KernelOn   Kernel = "on"   // or the server does not start
	KernelAuto Kernel = "auto" // where the system allows it
	// KernelClsact is KernelOn by a filter also where the kernel has the better tcx, to try
	// here what older ones do.
	KernelClsact Kernel = "clsact"
)

// complete refuses what cannot be, and fills in what was left out.
func (cfg *Config) complete() error {
	switch {
	case cfg.Credentials == nil:
		return errors.New("turnsrv: no credentials")
	case cfg.Realm == "" || len(cfg.Realm) > 127:
		return errors.New("turnsrv: the realm must have 1 to 127 bytes")
	case cfg.PortMin == 0 || cfg.PortMin > cfg.PortMax:
		return fmt.Errorf("turnsrv: relay ports %d to %d are not a range", cfg.PortMin, cfg.PortMax)
	case len(cfg.Software) > 127:
		return errors.New("turnsrv: the software name is longer than 127 bytes")
	}
	if cfg.Policy == nil {
		cfg.Policy = policy.New(policy.Config{})
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.NumCPU()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch cfg.Driver {
	case "", DriverAuto, DriverRing, DriverEpoll, DriverPortable:
	default:
		return fmt.Errorf("turnsrv: the driver %q is none of auto, io_uring, epoll and portable", cfg.Driver)
	}
	switch cfg.Kernel {
	case "", KernelOff, KernelOn, KernelAuto, KernelClsact:
	default:
		return fmt.Errorf("turnsrv: %q is none of off, on, auto and clsact", cfg.Kernel)
	}
	driver, why, err := ChooseDriver(cfg.Driver)
	if err != nil {
		return fmt.Errorf("turnsrv: the driver %s: %w", cfg.Driver, err)
	}
	cfg.auto = cfg.Driver == "" || cfg.Driver == DriverAuto
	cfg.Driver = driver
	cfg.Logger.Info("relay driver", "driver", string(driver), "why", why)
	return nil
}
