package main

import (
	"net/netip"
	"time"

	"turnhub/internal/config"
	"turnhub/signaling/media"
)

// makeMedia makes what passes media through a WebSocket, held to the limits of the relay.
func (n *node) makeMedia() {
	n.media = media.New(media.Config{
		Hub:     n.hub,
		Account: func(session string, client netip.Addr) media.Account { return n.turn.Beside(session, client) },
		Logger:  n.log,
	})
	n.media.SetOn(n.cfg.Relay.WebSocketMedia == config.WebSocketMediaOn)
}

// sendAway tells the clients to come back, spread evenly over smear.
func (n *node) sendAway(smear time.Duration) {
	n.hub.Restart(smear)
	n.media.Restart(smear)
}
