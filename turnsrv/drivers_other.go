//go:build !(linux && (amd64 || arm64))

package turnsrv

import "turnhub/turnsrv/internal/core"

// newWorker gives a shard its driver.
func newWorker(sh *core.Shard, _ int, _ bool) (worker, error) { return newPortable(sh), nil }

// portableOnly: this system has no driver of its own.
const portableOnly = true
