package main

import (
	"io"
	"log/slog"
	"net/netip"
	"strings"

	"turnhub/internal/config"
	"turnhub/turnsrv"
	"turnhub/web/admin"
)

// logger is the log with its level, which a reload may change, and its last
// errors, which the console shows.
type logger struct {
	*slog.Logger
	level  *slog.LevelVar
	errors *admin.Errors
}

// newLogger returns a log to w. Under systemd the journal has the time already.
func newLogger(cfg config.Log, w io.Writer, environ []string) logger {
	level := new(slog.LevelVar)
	level.Set(logLevel(cfg.Level))
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return wrap(slog.NewJSONHandler(w, options), level)
	}
	for _, entry := range environ {
		if strings.HasPrefix(entry, "JOURNAL_STREAM=") {
			options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 && a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}
		}
	}
	return wrap(slog.NewTextHandler(w, options), level)
}

func wrap(handler slog.Handler, level *slog.LevelVar) logger {
	errors := admin.NewErrors(handler)
	return logger{slog.New(errors), level, errors}
}

func logLevel(name string) (level slog.Level) {
	level.UnmarshalText([]byte(name)) // config has checked it
	return level
}

// logRefused writes a line about wrong TURN credentials, unless the same address
// was just named or the log is busy.
func (n *node) logRefused(client netip.Addr, transport turnsrv.Transport, why turnsrv.AuthResult) {
	if n.recorder != nil {
		n.recorder.wrong(client, transport, why)
	}
	if n.refused.Due(client) {
		n.log.Info("TURN credentials refused", slog.String("client", client.String()),
			slog.String("transport", transport.String()), slog.String("reason", why.String()))
	}
}
