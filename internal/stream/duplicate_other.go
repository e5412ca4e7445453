//go:build !unix

package stream

import "errors"

// DuplicateFD is there on Unix only.
func DuplicateFD(int) (fd int, err error) { return -1, errors.ErrUnsupported }
