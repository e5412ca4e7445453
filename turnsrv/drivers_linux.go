//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/epoll"
	"turnhub/turnsrv/internal/portable"
	"turnhub/turnsrv/internal/uring"
)

// ChooseDriver returns the driver that a server gets here, and why. Of io_uring every
// operation is tried: auto is epoll where one is refused, and io_uring that was asked for
// an error, which says why and what to do.
func ChooseDriver(wanted Driver) (d Driver, why string, err error) {
	switch wanted {
	case DriverRing:
		if err := uring.Probe(); err != nil {
			return "", "", err
		}
	case DriverAuto, "":
		if err := uring.Probe(); err != nil {
			return DriverEpoll, err.Error(), nil
		}
		return DriverRing, "all of it works here", nil
	}
	return wanted, "configured", nil
}

// newWorker gives a shard its driver. Where auto has chosen io_uring and there is no
// room for one ring more, the worker does with epoll.
func newWorker(sh *core.Shard, cfg *Config) (worker, error) {
	switch cfg.Driver {
	case DriverPortable:
		return portable.New(sh), nil
	case DriverRing:
		w, err := epoll.New(sh, cfg.Workers, true)
		if err == nil || !cfg.auto {
			return w, err
		}
		cfg.Logger.Warn("a worker of the relay does with epoll", "worker", sh.ID(), "error", err)
	}
	return epoll.New(sh, cfg.Workers, false)
}
