//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/epoll"
	"turnhub/turnsrv/internal/portable"
	"turnhub/turnsrv/internal/uring"
)

// ChooseDriver returns the driver that a server gets here, and why. Auto tries every
// operation of io_uring, and is epoll where one is refused. One that was asked for and
// is refused is an error, which says why and what to do.
func ChooseDriver(wanted Driver) (d Driver, why string, err error) {
	switch wanted {
	case DriverRing, DriverAuto, "":
		err := uring.Probe()
		switch {
		case err == nil && wanted == DriverRing:
			return DriverRing, "configured", nil
		case err == nil:
			return DriverRing, "the fastest, and all of it works here", nil
		case wanted == DriverRing:
			return "", "", err
		}
		return DriverEpoll, err.Error(), nil
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
