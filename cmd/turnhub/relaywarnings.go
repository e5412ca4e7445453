package main

import (
	"fmt"

	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/turnsrv"
)

// relayWarnings tells what the relay cannot do as it is configured, and does
// otherwise.
func relayWarnings(cfg *config.Config, relay *turnsrv.Server) (warnings []extaddr.Warning) {
	if realm := cfg.Relay.Realm; len(realm) > turnsrv.RealmBytes {
		warnings = append(warnings, extaddr.Warning{
			Problem: fmt.Sprintf("relay.realm %q is too long for answers of at most 1.5 times the shortest requests; clients that send those are told the realm %q", realm, relay.ShortRealm()),
			Remedy:  fmt.Sprintf("nothing breaks by it; a realm of at most %d bytes is told to everybody alike", turnsrv.RealmBytes),
		})
	}
	return warnings
}
