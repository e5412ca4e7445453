package wsock

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/stream"
)

const (
	loopInput  = 64 << 10 // bytes handled at once, of all of a loop's lines in turn
	loopEvents = 256      // lines in a round
	maxLoops   = 16
)

// Loops carry lines over TCP and over TLS: one goroutine for each processor and thousands
// of lines, so that an idle one costs neither a stack nor a buffer. What a round has caused
// is written at its end. They are there on Linux only; elsewhere every line has a
// goroutine.
type Loops struct {
	now    func() time.Time
	failed func(error)

	mu     sync.Mutex
	shared bool // see Share
	loops  []*loop
	last   int // which took the newest line
	closed bool
}

// NewLoops returns loops that are started when they are needed. now is the time that
// their lines' users are told, those of a goroutine too; failed is told why there is no loop.
func NewLoops(now func() time.Time, failed func(error)) *Loops {
	return &Loops{now: now, failed: failed}
}

// Share is called before the first line where other goroutines have as much to do as loops.
func (s *Loops) Share() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared = true
}

// loop is one of them.
type loop struct {
	of      *Loops
	events  *stream.Loop
	carries int // lines; under Loops.mu
	ended   atomic.Bool
	done    chan struct{}

	// The loop's goroutine's.
	out   flusher
	now   time.Time // at the start of the round
	input [loopInput]byte
}

// carry has the next loop carry a line, if it can be carried.
func (s *Loops) carry(l *Line) {
	p := s.next()
	if p == nil {
		return
	}
	taken, err := stream.Take(l.nc)
	if err != nil { // as it was
		p.left()
		return
	}
	l.carrier = &carrier{Conn: taken, loop: p, line: l, reading: true}
	l.nc, l.out = taken.NetConn(), &p.out
}

// next returns the next line's loop; nil: there is none on this system, or they are
// closed.
func (s *Loops) next() *loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && len(s.loops) < min(runtime.NumCPU(), maxLoops) {
		events, err := stream.NewLoop(loopEvents)
		if err != nil {
			if !errors.Is(err, errors.ErrUnsupported) {
				s.failed(err)
			}
			break
		}
		if s.shared && runtime.NumCPU() == 1 {
			events.Share()
		}
		p := &loop{of: s, events: events, done: make(chan struct{})}
		s.loops = append(s.loops, p)
		go p.run()
	}
	if s.closed || len(s.loops) == 0 {
		return nil
	}
	s.last++
	p := s.loops[s.last%len(s.loops)]
	p.carries++
	return p
}

// Close ends the loops, each as soon as it carries nothing, and waits for those that do
// not. What is opened from now on has a goroutine.
func (s *Loops) Close() {
	s.mu.Lock()
	s.closed = true
	var idle []*loop
	for _, p := range s.loops {
		if p.carries == 0 {
			p.end()
			idle = append(idle, p)
		}
	}
	s.mu.Unlock()
	for _, p := range idle {
		<-p.done
	}
}

// left is told that the loop carries one line less.
func (p *loop) left() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.carries--; p.carries == 0 && p.of.closed {
		p.end()
	}
}

func (p *loop) end() {
	p.ended.Store(true)
	p.events.Wake()
}

func (p *loop) run() {
	defer close(p.done)
	defer p.events.Close()
	p.events.Run(p.begin, p.out.flush)
}

// begin begins a round, unless the loop has ended.
func (p *loop) begin() (ended bool) {
	p.now = p.of.now()
	return p.ended.Load()
}
