package main

import (
	"context"
	"net/http"

	"turnhub/signaling/peerjs"
	"turnhub/signaling/rawrelay"
	"turnhub/signaling/socketio"
	"turnhub/signaling/yjs"
	"turnhub/web"
)

// dialect is another signaling protocol on the same hub.
type dialect interface {
	http.Handler
	Close(ctx context.Context) error
}

// mounts are the hub's sockets and those of the dialects.
func (n *node) mounts() []web.Mount {
	topics := n.topics()
	relay := web.Mount{Patterns: []string{"/relay/{channel...}"}, Handler: rawrelay.New(rawrelay.Config{Hub: n.hub, Topics: topics, Logger: n.log})}
	if n.cfg.Signaling.RelayAtRoot {
		relay.Ahead = web.WebSocketAtRoot
	}
	mounts := []web.Mount{
		{Patterns: []string{"GET /ws", "GET /ws/{try}"}, Handler: n.hub},
		{Patterns: []string{"GET /media", "GET /media/{try}"}, Handler: n.media},
		{Patterns: []string{"/peerjs", "/peerjs/"}, Handler: peerjs.New(peerjs.Config{Hub: n.hub, Discovery: n.cfg.Signaling.PeerJSDiscovery, Topics: topics, Logger: n.log}), Else: peerjs.Route},
		{Patterns: []string{"/socket.io/"}, Handler: socketio.New(socketio.Config{Hub: n.hub, Topics: topics, Logger: n.log})},
		{Patterns: []string{"GET " + yjs.Path}, Handler: yjs.New(yjs.Config{Hub: n.hub, Topics: topics, Logger: n.log})},
		relay,
	}
	if n.pusher != nil {
		mounts = append(mounts, web.Mount{Patterns: []string{"POST /push/decline"}, Handler: http.HandlerFunc(n.declines)})
	}
	for _, m := range mounts {
		if d, ok := m.Handler.(dialect); ok {
			n.dialects = append(n.dialects, d)
		}
	}
	return mounts
}
