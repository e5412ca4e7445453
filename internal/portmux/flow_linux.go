package portmux

import (
	"time"

	"golang.org/x/sys/unix"
)

// flow is one direction.
type flow struct {
	pipe    pipe
	piped   int    // bytes in the pipe, which is the flow's own as long as there are any
	unsent  []byte // instead: what is small, or comes where there is no pipe
	lent    bool   // unsent is the loop's memory
	run     bool   // what came last was large
	eof     bool   // nothing comes any more
	done    bool   // and the other end knows
	blocked time.Time
}

// drop forgets what has come and cannot be given.
func (f *flow) drop(l *passLoop) {
	if f.piped > 0 {
		f.pipe.close()
	}
	f.piped, f.unsent, f.lent, f.eof, f.done = 0, nil, false, true, true
	f.blocked = time.Time{}
}

// take reads what has come, which give gets next. again: nothing has. Runs are spliced;
// what is small is copied, which costs less than two splices.
func (f *flow) take(l *passLoop, fd int) (again bool, err error) {
	pipe, ok := pipe{}, false
	if f.run {
		pipe, ok = l.pipe()
	}
	if !ok {
		n, err := read(fd, l.copied[:])
		if err == unix.EAGAIN {
			return true, nil
		}
		if n > 0 {
			f.unsent, f.lent, f.run = l.copied[:n], true, n >= runSize
		}
		f.eof = err == nil && n == 0
		return false, err
	}
	n, err := splice(fd, pipe.in, pipeSize)
	if n > 0 {
		f.pipe, f.piped, f.run = pipe, n, n >= runSize
		return false, nil
	}
	l.keepPipe(pipe)
	if err == unix.EAGAIN {
		return true, nil
	}
	f.eof = err == nil
	return false, err
}

// give writes what has come, as much as the socket takes.
func (f *flow) give(l *passLoop, fd int) error {
	for f.piped > 0 {
		n, err := splice(f.pipe.out, fd, f.piped)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return err
		}
		if f.piped -= n; f.piped == 0 {
			l.keepPipe(f.pipe)
		}
	}
	if len(f.unsent) > 0 {
		n, err := write(fd, f.unsent)
		switch f.unsent = f.unsent[n:]; {
		case len(f.unsent) == 0:
			f.unsent, f.lent = nil, false
		case f.lent:
			f.unsent, f.lent = append([]byte(nil), f.unsent...), false
		}
		return err
	}
	return nil
}
