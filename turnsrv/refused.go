package turnsrv

// logRefused tells about wrong credentials. The client has echoed our nonce, so
// its address is genuine and a program like fail2ban may act on it.
func (s *shard) logRefused(c *client, result AuthResult) {
	if tell := s.srv.cfg.Refused; tell != nil {
		tell(c.addr.addr(), c.transport, result)
	}
}
