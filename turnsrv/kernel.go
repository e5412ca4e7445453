package turnsrv

import (
	"fmt"

	"turnhub/turnsrv/internal/kernel"
)

// TryKernel says how packets would pass inside the kernel here, or why they cannot, and
// what to do.
func TryKernel(wanted Kernel) (how string, err error) {
	return kernel.Try(wanted.attachment())
}

// SweepKernel takes away what ended processes have left at interfaces of this network
// namespace, and returns from how many. It needs CAP_NET_ADMIN.
func SweepKernel() (interfaces int, err error) { return kernel.Sweep() }

// must reports whether the server does not start without.
func (k Kernel) must() bool { return k == KernelOn || k == KernelClsact }

func (k Kernel) attachment() kernel.Attachment {
	if k == KernelClsact {
		return kernel.Clsact
	}
	return ""
}

// KernelAttachment says how the program that forwards packets inside the kernel comes to
// interfaces, tcx or clsact; empty: they do not pass there.
func (s *Server) KernelAttachment() string {
	if s.kernel == nil {
		return ""
	}
	return string(s.kernel.Attachment())
}

// KernelInheritance is the program that forwards packets inside the kernel, with all that
// belongs to it, for the process that takes over: see Config.Inherited.
type KernelInheritance = kernel.Inheritance

// BequeathKernel returns it, and nil where packets do not pass inside the kernel. The
// caller closes it.
func (s *Server) BequeathKernel() (*KernelInheritance, error) {
	if s.kernel == nil {
		return nil, nil
	}
	return s.kernel.Bequeath()
}

// openKernel returns nil where packets do not pass inside the kernel.
func (cfg *Config) openKernel() (*kernel.Kernel, error) {
	inherited := cfg.Inherited
	cfg.Inherited = nil
	defer inherited.Close()
	if cfg.Kernel == "" || cfg.Kernel == KernelOff {
		return nil, nil
	}
	if cfg.Driver == DriverPortable {
		if cfg.Kernel.must() {
			return nil, fmt.Errorf("turnsrv: the kernel's path needs a driver other than %s", cfg.Driver)
		}
		cfg.Logger.Info("relay in the kernel", "on", false, "why", "the driver is portable")
		return nil, nil
	}
	n := cfg.Limits.AllocationsTotal
	if all := (int(cfg.PortMax) - int(cfg.PortMin) + 1) * max(1, len(cfg.Relay)); n == 0 || n > all {
		n = all
	}
	k, err := kernel.Open(kernel.Config{Allocations: n, Attachment: cfg.Kernel.attachment(), Inherited: inherited, Logger: cfg.Logger})
	if err != nil && cfg.Kernel.must() {
		return nil, fmt.Errorf("turnsrv: relay inside the kernel: %w", err)
	}
	if err != nil {
		cfg.Logger.Info("relay in the kernel", "on", false, "why", err.Error())
		return nil, nil
	}
	cfg.Logger.Info("relay in the kernel", "on", true, "attachment", k.Attachment(), "why", k.Why())
	return k, nil
}

func (s *Server) closeKernel() {
	if s.kernel != nil {
		s.kernel.Close()
	}
}
