package wsock

import (
	"time"

	"turnhub/internal/stream"
)

// Pause has nothing read and nothing handled for so long, or until Resume. It is called
// from Frame.
func (l *Line) Pause(d time.Duration) {
	l.paused = true
	l.held.Store(true)
	if l.carrier != nil {
		l.carrier.Deafen()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(d, l.Resume)
}

// Resume ends a Pause early.
func (l *Line) Resume() {
	if !l.held.Swap(false) {
		return
	}
	l.mu.Lock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	if l.carrier != nil {
		l.carrier.Rouse()
		return
	}
	select {
	case l.awake <- struct{}{}:
	default:
	}
}

// resume goes on after a pause that is over.
func (l *Line) resume(now time.Time) error {
	if l.held.Load() {
		return nil
	}
	l.paused = false
	l.user.Resumed(now)
	if l.lame {
		return nil
	}
	return l.frames(now)
}

// goOn ends a pause that is over. One whose connection has ended would be told of that
// again and again.
func (k *carrier) goOn(events stream.Events, now time.Time) {
	l := k.line
	switch {
	case events&stream.Hangup != 0:
		l.paused = false
		k.over(errEnded)
	case !l.held.Load():
		k.Hear()
		k.over(l.resume(now))
	}
}
