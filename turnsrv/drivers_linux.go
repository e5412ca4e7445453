//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/epoll"
	"turnhub/turnsrv/internal/portable"
)

// newWorker gives a shard its driver.
func newWorker(sh *core.Shard, cfg *Config) (worker, error) {
	if cfg.Portable {
		return portable.New(sh), nil
	}
	return epoll.New(sh, cfg.Workers)
}

// portableOnly would mean that this system has no driver of its own.
const portableOnly = false
