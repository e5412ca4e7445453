package turnsrv

import "log/slog"

// logRefused writes a line about wrong credentials. Who brings such has answered
// a nonce, so the address is real and a program like fail2ban may act on it.
func (s *shard) logRefused(c *client, result AuthResult) {
	if addr := c.addr.addr(); s.refused.Due(addr, s.second) {
		s.log.Info("TURN credentials refused", slog.String("client", addr.String()),
			slog.String("transport", c.transport.String()), slog.String("reason", result.String()))
	}
}
