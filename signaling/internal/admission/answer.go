package admission

import (
	"errors"
	"fmt"
	"net/http"

	"turnhub/internal/access"
	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Refuse answers a request with a JSON error in the form of package access.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"error\":%q,\"message\":%q}\n", code, message)
}

// CloseFor is the Close for a client that the hub did not let in, by Enter's error.
func CloseFor(err error) *wsock.CloseError {
	code := wire.CloseFull
	switch {
	case errors.Is(err, signaling.ErrDrain):
		code = wire.CloseRestart
	case errors.Is(err, access.ErrRevoked):
		code = wire.CloseRevoked
	}
	return &wsock.CloseError{Code: int(code), Reason: err.Error()}
}

// StatusFor is the HTTP status for a client that the hub did not let in.
func StatusFor(err error) int {
	switch {
	case errors.Is(err, signaling.ErrDrain):
		return http.StatusServiceUnavailable
	case errors.Is(err, access.ErrRevoked):
		return http.StatusUnauthorized
	}
	return http.StatusTooManyRequests
}
