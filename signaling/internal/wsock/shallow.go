package wsock

// Shallow has little wait in the kernel for a client on a slow line, so that its user can
// leave out what has become too old. It is called before Start, and does nothing where no
// loop carries the line.
func (l *Line) Shallow() {
	if k := l.carrier; k != nil {
		k.shallow = true
		k.KeepWhole()
		k.ahead.Open(k.FD())
	}
}

// Ahead is how many bytes Due may append at once for a line that is Shallow: what is more
// would wait where nothing can be left out. It is for Due alone.
func (l *Line) Ahead() int {
	if l.carrier == nil || !l.carrier.shallow {
		return MaxBatch
	}
	return l.carrier.ahead.Bytes()
}

// look has the kernel asked for the line that has not taken everything. k.pen is held.
func (k *carrier) look() {
	if k.shallow {
		k.ahead.Look(k.FD(), k.loop.of.now().UnixNano())
	}
}
