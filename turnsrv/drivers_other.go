//go:build !(linux && (amd64 || arm64))

package turnsrv

import (
	"fmt"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/portable"
)

// ChooseDriver returns the driver that a server gets here, and why: this system has none
// of its own.
func ChooseDriver(wanted Driver) (d Driver, why string, err error) {
	switch wanted {
	case DriverRing, DriverEpoll:
		return "", "", fmt.Errorf("the relay's driver %s is for Linux on amd64 and arm64", wanted)
	}
	return DriverPortable, "this system has no other", nil
}

// newWorker gives a shard its driver.
func newWorker(sh *core.Shard, _ *Config) (worker, error) { return portable.New(sh), nil }
