//go:build !(linux && (amd64 || arm64))

package turnsrv

import (
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/portable"
)

// newWorker gives a shard its driver.
func newWorker(sh *core.Shard, _ *Config) (worker, error) { return portable.New(sh), nil }

// portableOnly: this system has no driver of its own.
const portableOnly = true
