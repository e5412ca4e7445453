package main

import (
	"log/slog"

	"turnhub/internal/config"
	"turnhub/internal/portmux"
	"turnhub/signaling"
	"turnhub/turnsrv"
	"turnhub/web"
)

// What the configuration means to each room.

func hubLimits(cfg *config.Config) signaling.Limits {
	return signaling.Limits{
		ConnectionsPerIP:  cfg.Limits.ConnectionsPerIP,
		MessageSize:       int(cfg.Limits.MessageSize),
		MessagesPerSecond: int(cfg.Limits.MessagesPerSecond),
	}
}

func turnLimits(cfg *config.Config) turnsrv.Limits {
	return turnsrv.Limits{
		AllocationsPerUser:       cfg.Limits.AllocationsPerUser,
		AllocationsPerIP:         cfg.Limits.AllocationsPerIP,
		AllocationsTotal:         cfg.Limits.AllocationsTotal,
		PermissionsPerAllocation: cfg.Limits.PermissionsPerAllocation,
		BandwidthPerAllocation:   cfg.Limits.BandwidthPerAllocation,
		PacketsPerAllocation:     cfg.Limits.PacketsPerAllocation,
		NewPeersPerAllocation:    cfg.Limits.NewPeersPerAllocation,
		BandwidthPerUser:         cfg.Limits.BandwidthPerUser,
		VolumePerUserDay:         cfg.Limits.VolumePerUserDay,
		UnauthenticatedPerPrefix: cfg.Limits.UnauthenticatedPerPrefix,
	}
}

func forwards(cfg *config.Config) (list []portmux.Forward) {
	for _, f := range cfg.Listen.Forward {
		list = append(list, portmux.Forward(f))
	}
	return list
}

func webSettings(cfg *config.Config) web.Settings {
	return web.Settings{
		TTL:            cfg.Credentials.TTL,
		AllowedOrigins: cfg.Access.AllowedOrigins,
		EmbedOrigins:   cfg.Access.EmbedOrigins,
		RatePerPrefix:  cfg.Limits.UnauthenticatedPerPrefix,
	}
}

// privacyOf is what the configuration has the server keep of its visitors.
func privacyOf(cfg *config.Config) web.Privacy {
	level := logLevel(cfg.Log.Level)
	p := web.Privacy{
		History: cfg.Events.History, File: cfg.Events.File != "",
		LogCalls: level <= slog.LevelInfo, LogAll: level <= slog.LevelDebug,
		Tokens: cfg.Access.Mode == config.AccessToken, Nodes: len(cfg.Cluster.NATS) > 0,
		Push:  cfg.Push.Mode == config.PushOn,
		Media: cfg.Relay.WebSocketMedia == config.WebSocketMediaOn,
	}
	for _, hook := range cfg.Events.Webhooks {
		p.Webhooks = append(p.Webhooks, hook.URL)
	}
	return p
}
