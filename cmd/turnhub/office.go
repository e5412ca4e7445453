package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// office is what only one process of a server does at a time: the admin listener,
// the probes, the certificate, the supervision. It goes to a successor, and comes back
// when that ends before its time.
type office struct {
	mu     sync.Mutex
	ctx    context.Context
	begin  func(ctx context.Context, admin net.Listener) (ended <-chan struct{})
	leave  context.CancelFunc
	ended  <-chan struct{}
	closed bool
}

// open says how the office is held, and takes it.
func (o *office) open(ctx context.Context, admin net.Listener, begin func(context.Context, net.Listener) <-chan struct{}) {
	o.mu.Lock()
	o.ctx, o.begin = ctx, begin
	o.mu.Unlock()
	o.take(admin)
}

// take begins to hold the office.
func (o *office) take(admin net.Listener) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		if admin != nil {
			admin.Close()
		}
		return
	}
	ctx, leave := context.WithCancel(o.ctx)
	o.leave, o.ended = leave, o.begin(ctx, admin)
}

// retire leaves the office, and returns when everything of it has ended, or patience
// is over: nothing that was begun here may change what the successor has read.
func (o *office) retire(patience time.Duration) {
	o.mu.Lock()
	leave, ended := o.leave, o.ended
	o.mu.Unlock()
	if leave == nil {
		return
	}
	leave()
	select {
	case <-ended:
	case <-time.After(patience):
	}
}

// close lets nobody take it any more.
func (o *office) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.leave != nil {
		o.leave()
	}
}
