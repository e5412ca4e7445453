//go:build !(linux && (amd64 || arm64))

package kernel

import (
	"errors"

	"turnhub/turnsrv/internal/core"
)

// Kernel is for Linux.
type Kernel struct{ core.Offload }

// Open says that there is none here.
func Open(cfg Config) (*Kernel, error) {
	cfg.Inherited.Close()
	return nil, errors.New("it is for Linux on amd64 and arm64")
}

// Start is never called.
func (k *Kernel) Start(Relay) {}

// Close is never called.
func (k *Kernel) Close() {}

// Why is never called.
func (k *Kernel) Why() string { return "" }

// Bequeath is never called.
func (k *Kernel) Bequeath() (*Inheritance, error) { return nil, nil }

// Try says that there is none here.
func Try(Attachment) (how string, err error) {
	_, err = Open(Config{})
	return "", err
}

// Attachment is never called.
func (k *Kernel) Attachment() Attachment { return "" }

// Sweep finds nothing here.
func Sweep() (interfaces int, err error) { return 0, nil }
