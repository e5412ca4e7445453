package wsock

const (
	// earlyPiece is how much is written at a time of the first earlyBytes of a line. TLS makes
	// up to 16 kB that are written together one record, of which nothing can be read before all
	// of it has come: on networks where a connection freezes after some 20 kB, its handshake
	// included, whoever comes back with much waiting for it would not even get the first word.
	earlyPiece = 4 << 10
	earlyBytes = 64 << 10
)

// piece is how many of so many bytes are written next. Whoever writes asks, and writes them.
func (l *Line) piece(n int) int {
	if l.wrote < earlyBytes {
		n = min(n, earlyPiece)
		l.wrote += n
	}
	return n
}

// put sends a batch. k.pen is held.
func (k *carrier) put(batch []byte) error {
	for len(batch) > 0 {
		n := k.line.piece(len(batch))
		if err := k.Send(batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}
