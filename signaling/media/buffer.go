package media

import "sync"

// buffers are pools of buffers by size, so that a frame that waits costs no garbage: a
// packet of sound, a piece of a picture, and larger ones.
var buffers = [...]struct {
	size int
	pool *sync.Pool
}{{256, new(sync.Pool)}, {2 << 10, new(sync.Pool)}, {16 << 10, new(sync.Pool)}, {FrameSize, new(sync.Pool)}}

// newBuffer returns a copy of a frame.
func newBuffer(payload []byte) *[]byte {
	for i := range buffers {
		if class := &buffers[i]; len(payload) <= class.size {
			b, ok := class.pool.Get().(*[]byte)
			if !ok {
				fresh := make([]byte, 0, class.size)
				b = &fresh
			}
			*b = append((*b)[:0], payload...)
			return b
		}
	}
	b := append([]byte(nil), payload...) // larger than is ever taken
	return &b
}

// freeBuffer gives one back.
func freeBuffer(b *[]byte) {
	for i := range buffers {
		if cap(*b) == buffers[i].size {
			buffers[i].pool.Put(b)
			return
		}
	}
}
