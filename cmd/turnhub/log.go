package main

import (
	"io"
	"log/slog"
	"strings"

	"turnhub/internal/config"
)

// newLogger returns the logger and its level, which a reload may change. Under
// systemd the journal has the time already.
func newLogger(cfg config.Log, w io.Writer, environ []string) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(logLevel(cfg.Level))
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
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
	return slog.New(slog.NewTextHandler(w, options)), level
}

func logLevel(name string) (level slog.Level) {
	level.UnmarshalText([]byte(name)) // config has checked it
	return level
}
