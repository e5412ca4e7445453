package media

import "sync"

const (
	// maxControl bounds what waits to be said beside frames, in records: what is left out is
	// said again, or found out by silence.
	maxControl = 4096
	// turnBytes is how much of one pair goes before another has its turn.
	turnBytes = 16 << 10
)

// span is what is to be said to one process of another node. One goroutine says it, and
// nobody else waits for NATS.
type span struct {
	server    *Server
	node, run string
	wake      chan struct{}
	over      chan struct{} // closed at the end

	mu      sync.Mutex
	control [][]byte
	ready   []*far // those for whom something waits, in turn
}

// say has a record said that is no frame.
func (x *span) say(r record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.control) < maxControl {
		x.control = append(x.control, r.append(nil))
	}
	x.kick()
}

func (x *span) kick() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// serve says what waits, until over is closed.
func (x *span) serve() {
	var b []byte
	for last := false; !last; {
		select {
		case <-x.over:
			last = true
		case <-x.wake:
		}
		for {
			if b = x.fill(b[:0], x.server.nodes.Most()); len(b) == 0 {
				break
			}
			x.server.nodes.Send(x.node, x.run, b)
		}
	}
}

// fill appends records to b, up to most bytes.
func (x *span) fill(b []byte, most int) []byte {
	x.mu.Lock()
	for len(x.control) > 0 && len(b)+len(x.control[0]) <= most {
		b = append(b, x.control[0]...)
		x.control = x.control[1:]
	}
	for len(x.ready) > 0 {
		f := x.ready[0]
		x.ready = x.ready[1:]
		x.mu.Unlock()
		var more, full bool
		b, more, full = f.fill(b, most, x.server.hub.Now().UnixNano())
		x.mu.Lock()
		if more {
			x.ready = append(x.ready, f)
		}
		if full {
			break
		}
	}
	x.mu.Unlock()
	return b
}
