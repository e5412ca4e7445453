//go:build !(linux && (amd64 || arm64))

package turnsrv

// portableOnly: this system has no driver of its own.
const portableOnly = true

func newWorker(s *shard) (worker, error) { return newPortable(s), nil }
