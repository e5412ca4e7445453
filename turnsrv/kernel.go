package turnsrv

import (
	"fmt"

	"turnhub/turnsrv/internal/kernel"
)

// TryKernel reports why packets cannot pass inside the kernel here, and what to do; nil:
// they can.
func TryKernel() error {
	k, err := kernel.Open(kernel.Config{})
	if err != nil {
		return err
	}
	k.Close()
	return nil
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
		if cfg.Kernel == KernelOn {
			return nil, fmt.Errorf("turnsrv: the kernel's path needs a driver other than %s", cfg.Driver)
		}
		cfg.Logger.Info("relay in the kernel", "on", false, "why", "the driver is portable")
		return nil, nil
	}
	n := cfg.Limits.AllocationsTotal
	if all := (int(cfg.PortMax) - int(cfg.PortMin) + 1) * max(1, len(cfg.Relay)); n == 0 || n > all {
		n = all
	}
	k, err := kernel.Open(kernel.Config{Allocations: n, Inherited: inherited, Logger: cfg.Logger})
	if err != nil && cfg.Kernel == KernelOn {
		return nil, fmt.Errorf("turnsrv: relay inside the kernel: %w", err)
	}
	if err != nil {
		cfg.Logger.Info("relay in the kernel", "on", false, "why", err.Error())
		return nil, nil
	}
	cfg.Logger.Info("relay in the kernel", "on", true, "why", k.Why())
	return k, nil
}

func (s *Server) closeKernel() {
	if s.kernel != nil {
		s.kernel.Close()
	}
}
