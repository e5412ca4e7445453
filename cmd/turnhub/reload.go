package main

import (
	"errors"
	"log/slog"
	"slices"

	"turnhub/internal/config"
)

// reload reads configuration, secrets, keys and certificates again. What can be
// changed without ending a call is changed; of the rest the log says that it
// needs a restart. A bad configuration changes nothing. The error is logged already;
// it is what was not read.
func (n *node) reload(environ []string) error {
	n.reloads.Lock()
	defer n.reloads.Unlock()
	cfg, err := config.Load(n.live.File(), environ)
	if err != nil {
		n.log.Error("reload: the configuration has errors; the old one stays", "errors", err)
		return err
	}
	secrets, warnings, err := cfg.Secrets(false)
	if err != nil {
		n.log.Error("reload: the TURN secrets cannot be read; the old configuration stays", "error", err)
		return err
	}
	for _, w := range append(cfg.Warnings(), warnings...) {
		n.log.Warn(w.Problem, "remedy", w.Remedy)
	}
	var failed error
	if err := n.access.Reload(); err != nil {
		n.log.Error("reload: the keys of the access tokens cannot be read; the old ones stay", "error", err)
		failed = errors.Join(failed, err)
	}
	if n.certs != nil {
		if err := n.certs.Reload(); err != nil {
			n.log.Error("reload: the certificate cannot be used; the old one stays", "error", err)
			failed = errors.Join(failed, err)
		}
	}
	n.hub.SetSecrets(secrets)
	if err := n.credentials.Set(secrets); err != nil {
		n.log.Error("reload: the TURN secrets cannot be used; the old ones stay", "error", err)
		failed = errors.Join(failed, err)
	}
	may := liveKeys
	if n.recorder != nil {
		if _, err := eventsConfig(cfg, true); err != nil {
			n.log.Error("reload: the secret of a webhook cannot be used; section events stays as it was", "error", err)
			failed = errors.Join(failed, err)
		} else {
			may = append(slices.Clone(liveKeys), eventKeys...)
		}
	}
	changed := n.live.Differences(cfg)
	live, restart := []string{}, []string{}
	for _, key := range changed {
		if slices.Contains(may, key) {
			live = append(live, key)
		} else {
			restart = append(restart, key)
		}
	}
	n.digests.Store(digestsOf(cfg, secrets))
	if n.cluster != nil {
		n.cluster.SetSecrets(secrets)
	}
	n.level.Set(logLevel(cfg.Log.Level))
	n.ttl.Store(max(n.ttl.Load(), int64(cfg.Credentials.TTL)))
	n.rangeSaid.Store(&cfg.Relay.Range)
	n.elders.setMode(turnSockets(cfg))
	n.turn.SetLimits(turnLimits(cfg))
	n.turn.SetPolicy(n.policy(cfg))
	n.hub.SetLimits(hubLimits(cfg))
	n.hub.SetAllowedOrigins(cfg.Access.AllowedOrigins)
	n.media.SetOn(cfg.Relay.WebSocketMedia == config.WebSocketMediaOn)
	n.web.SetSettings(webSettings(cfg))
	n.mux.SetForwards(n.cfg.PublicHost, forwards(cfg))
	n.live = n.live.With(cfg, may)
	n.web.SetPrivacy(privacyOf(n.live))
	n.recorder.reopen()
	n.prober.Trigger()
	n.log.Info("reloaded", slog.Any("changed", live), slog.Any("needs_restart", restart))
	return failed
}

// eventKeys are options that a reload changes where anything was made of events before.
var eventKeys = []string{"events.history", "events.file", "events.webhooks", "events.allow"}

// liveKeys are the options that a reload changes.
var liveKeys = []string{
	"listen.forward",
	"relay.range", "relay.sockets", "relay.websocket_media", "relay.peers", "relay.allow_peers", "relay.deny_peers",
	"credentials.secrets", "credentials.secrets_file", "credentials.ttl",
	"access.allowed_origins", "access.embed_origins",
	"limits.allocations_per_user", "limits.allocations_per_ip", "limits.allocations_total",
	"limits.permissions_per_allocation", "limits.bandwidth_per_allocation", "limits.packets_per_allocation",
	"limits.new_peers_per_allocation", "limits.bandwidth_per_user", "limits.volume_per_user_day", "limits.unauthenticated_per_prefix",
	"limits.message_size", "limits.messages_per_second",
	"log.level", "drain_timeout", "upgrade_timeout",
}
