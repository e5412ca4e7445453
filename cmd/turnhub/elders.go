package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"turnhub/internal/config"
	"turnhub/internal/statefile"
	"turnhub/turnsrv"
)

// eldersInterval is how often the older processes are asked which relay ports they still
// have: they only give ports back.
const eldersInterval = 30 * time.Second

// elders is what this process knows of the relay ports that the older processes of its
// server have given out. The kernel keeps one with a socket from being given out twice;
// one without a socket only the processes themselves can.
type elders struct {
	turn *turnsrv.Server
	log  *slog.Logger
	file string // is there once a relayed packet has left the server

	noted bool // that one has, or that this cannot be written down

	mu    sync.Mutex
	mode  turnsrv.Sockets // of relay.sockets
	blind bool            // one cannot say which ports it has
	any   bool            // there are some
}

// leftFile is in the state directory once a relayed packet has left the server: it holds
// nothing that is read.
const leftFile = "relay-left"

func newElders(turn *turnsrv.Server, cfg *config.Config, log *slog.Logger) *elders {
	e := &elders{turn: turn, log: log, file: filepath.Join(cfg.StateDir, leftFile), mode: turnSockets(cfg)}
	if _, err := os.Lstat(e.file); err == nil {
		e.noted = true
		turn.SetLeft()
	}
	return e
}

// note writes down that a relayed packet has left the server, for the time after a restart.
func (e *elders) note() {
	if e.noted || !e.turn.Left() {
		return
	}
	e.noted = true
	const text = "A relayed packet has left this server, so that relay.sockets: auto gives every relayed address a socket. Remove this file and restart to have that forgotten.\n"
	if err := statefile.Write(e.file, []byte(text), 0o600); err != nil {
		e.log.Warn("cannot write down that a relayed packet has left the server; after a restart relay.sockets: auto knows nothing of it until the next one does", "error", err)
	}
}

// turnSockets is relay.sockets.
func turnSockets(cfg *config.Config) turnsrv.Sockets {
	switch cfg.Relay.Sockets {
	case config.SocketsOn:
		return turnsrv.SocketsOn
	case config.SocketsOff:
		return turnsrv.SocketsOff
	}
	return turnsrv.SocketsAuto
}

// setMode takes relay.sockets over from a reload.
func (e *elders) setMode(mode turnsrv.Sockets) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mode = mode
	e.apply()
}

// know takes over what a predecessor says; nil: it is of a version that says nothing, and
// the kernel alone can tell its ports, all of which have sockets.
func (e *elders) know(ports []turnsrv.Ports) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.any, e.blind = true, ports == nil
	e.turn.SetElders(ports)
	e.apply()
}

// forget says that there are no older processes any more.
func (e *elders) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.any {
		e.any, e.blind = false, false
		e.turn.SetElders(nil)
		e.apply()
	}
}

// apply has every relayed address bound as long as only that shows whose it is.
func (e *elders) apply() {
	if e.blind {
		e.turn.SetSockets(turnsrv.SocketsOn)
		return
	}
	e.turn.SetSockets(e.mode)
}

// watchElders asks the older processes from time to time, and keeps what must outlast this
// one.
func (n *node) watchElders(ctx context.Context) {
	tick := time.NewTicker(eldersInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			n.elders.note()
			return
		case <-tick.C:
			n.elders.note()
			n.askElders()
		}
	}
}

// askElders learns which ports the older processes have given back, and tells them whether
// a relayed packet has left this one: should it die, the youngest of them serves again.
// Where one does not answer, what was known before holds.
func (n *node) askElders() {
	older := 0
	for _, r := range n.family.all() {
		if r.generation < n.family.generation {
			older++
		}
	}
	if older == 0 {
		n.elders.forget()
		return
	}
	all, failed := []turnsrv.Ports{}, false
	ask(n.family, scrapePatience, askPorts, n.turn.Left(), func(r *relative, ports []turnsrv.Ports, err error) {
		if r.generation < n.family.generation {
			all, failed = append(all, ports...), failed || err != nil
		}
	})
	if !failed {
		n.elders.know(all)
	}
}
