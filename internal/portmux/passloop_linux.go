package portmux

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// What is passed on runs in event loops, one for each processor: a connection costs
// neither a goroutine nor a stack, and a piece that passes three system calls.

const (
	passEvents = 256
	pipeSize   = 1 << 20 // asked for; the kernel may give less
	maxPipes   = 64      // that a loop keeps while nothing is in them
	maxCopied  = 64 << 10
	runSize    = 16 << 10 // from which on what comes is spliced

	// Where something passes, a loop waits in a raw system call and keeps its P, so that it
	// needs no scheduler on the way back; the others get one P more for each loop. After
	// passIdle without anything it waits as everybody does.
	maxPassLoops = 4
	passWait     = 10 // ms
	passIdle     = 100 * time.Millisecond
)

// passLoops are the loops; they are begun when the first connection is passed on.
type passLoops struct {
	mu     sync.Mutex
	loops  []*passLoop
	last   int
	closed bool
}

type passLoop struct {
	events *stream.Loop
	ended  atomic.Bool
	done   chan struct{}

	// The loop's goroutine's.
	now    time.Time // at the start of the round
	pipes  []pipe    // with nothing in them
	copied [maxCopied]byte
}

var procs sync.Once

// moreProcs gives the scheduler so many Ps more, once in a process.
func moreProcs(n int) { procs.Do(func() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n) }) }

// next returns the loop of the next connection; nil: there is none.
func (s *passLoops) next() *passLoop {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := min(runtime.NumCPU(), maxPassLoops)
	for !s.closed && len(s.loops) < most {
		events, err := stream.NewLoop(passEvents)
		if err != nil {
			break
		}
		if len(s.loops) == 0 {
			moreProcs(most)
		}
		l := &passLoop{events: events, done: make(chan struct{}), now: time.Now()}
		s.loops = append(s.loops, l)
		go l.run()
	}
	if s.closed || len(s.loops) == 0 {
		return nil
	}
	s.last++
	return s.loops[s.last%len(s.loops)]
}

// close ends the loops and waits for them. Nothing is passed on any more.
func (s *passLoops) close() {
	s.mu.Lock()
	s.closed = true
	loops := s.loops
	s.mu.Unlock()
	for _, l := range loops {
		l.ended.Store(true)
		l.events.Wake()
		<-l.done
	}
}

func (l *passLoop) run() {
	defer close(l.done)
	defer l.events.Close()
	for last := time.Now(); !l.ended.Load(); {
		n := 0
		if time.Since(last) < passIdle {
			n = l.events.Poll(passWait)
		} else {
			n = l.events.Sleep(-1)
		}
		l.now = time.Now()
		if n > 0 {
			last = l.now
			l.events.Dispatch()
		}
	}
	for _, p := range l.pipes {
		p.close()
	}
}

// pipe is what splice(2) needs between two sockets.
type pipe struct{ in, out int }

func (p pipe) close() {
	unix.Close(p.in)
	unix.Close(p.out)
}

// pipe returns an empty pipe, unless there are no descriptors.
func (l *passLoop) pipe() (p pipe, ok bool) {
	if n := len(l.pipes); n > 0 {
		p, l.pipes = l.pipes[n-1], l.pipes[:n-1]
		return p, true
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return p, false
	}
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	return pipe{in: fds[1], out: fds[0]}, true
}

// keepPipe takes back an empty one.
func (l *passLoop) keepPipe(p pipe) {
	if len(l.pipes) == maxPipes {
		p.close()
		return
	}
	l.pipes = append(l.pipes, p)
}
