//go:build linux && (amd64 || arm64)

package turnsrv

import "turnhub/turnsrv/internal/core"

// newWorker gives a shard its driver.
func newWorker(sh *core.Shard, workers int, portable bool) (worker, error) {
	if portable {
		return newPortable(sh), nil
	}
	return newEpoll(sh, workers)
}

// portableOnly would mean that this system has no driver of its own.
const portableOnly = false
