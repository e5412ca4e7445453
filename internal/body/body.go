// Package body reads the bodies of HTTP requests, all of which come here, so that
// no connection outlives what is said on it.
package body

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Timeout is how long a body may take by default: 256 KiB over a slow radio link.
const Timeout = 30 * time.Second

// Error says why a body was not had: Status is what the client is to be answered.
type Error struct {
	Status int // 408 or 413
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Read returns the whole body, of at most limit bytes, if it comes within the
// timeout. Every error is an *Error, which the caller has to answer.
//
// The deadline stays where Read has put it. After the handler net/http reads what
// is left of a body, so that the connection can be used again, and does so for as
// long as the deadline lets it: a deadline that is cleared here, or set anew, keeps
// a silent connection for ever. For the next request net/http sets its own. After an
// error the answer carries Connection: close, since where the next request would
// begin is not known.
func Read(w http.ResponseWriter, r *http.Request, limit int64, timeout time.Duration) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	// The error is that of a ResponseWriter without a connection, as in tests.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return text, nil
	}
	w.Header().Set("Connection", "close")
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &Error{http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", limit)}
	}
	return nil, &Error{http.StatusRequestTimeout, fmt.Errorf("the body did not come whole within %v", timeout)}
}

// Status is what an error of Read is answered with.
func Status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return http.StatusBadRequest
}
