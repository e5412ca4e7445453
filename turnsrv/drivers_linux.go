//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/epoll"
	"turnhub/turnsrv/internal/portable"
	"turnhub/turnsrv/internal/uring"
)

// ChooseDriver returns the driver that a server gets here, and why. Auto is epoll. Of
// io_uring every operation is tried; where one is refused that is an error, which says why
// and what to do.
func ChooseDriver(wanted Driver) (d Driver, why string, err error) {
	switch wanted {
	case DriverRing:
		if err := uring.Probe(); err != nil {
			return "", "", err
		}
	case DriverAuto, "":
		return DriverEpoll, "io_uring is for whoever names it", nil
	}
	return wanted, "configured", nil
}

// newWorker gives a shard its driver.
func newWorker(sh *core.Shard, cfg *Config) (worker, error) {
	switch cfg.Driver {
	case DriverPortable:
		return portable.New(sh), nil
	case DriverRing:
		return epoll.New(sh, cfg.Workers, true)
	}
	return epoll.New(sh, cfg.Workers, false)
}
