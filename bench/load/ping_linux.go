package load

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// Ping waits until the server answers a Binding request.
func Ping(ctx context.Context, s Server) error {
	b := newBatch(false)
	var last error
	for ctx.Err() == nil {
		conn, err := dial(s, netip.Addr{})
		if err == nil {
			c := &client{conn: conn}
			if err = c.ask(stun.MethodBinding); err == nil {
				_, err = c.answer(b)
			}
			c.close()
			if err == nil {
				return nil
			}
		}
		last = err
		_ = pause(ctx, 50*time.Millisecond)
	}
	return fmt.Errorf("%s://%s does not answer: %w", s.Transport, s.Address, last)
}
