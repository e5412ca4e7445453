package main

import (
	"fmt"
	"strings"

	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/internal/netaddr"
	"turnhub/turnsrv"
)

// relayWarnings tells what the relay cannot do as it is configured, and does
// otherwise.
func relayWarnings(cfg *config.Config, relay *turnsrv.Server, relays []netaddr.RelayAddress) (warnings []extaddr.Warning) {
	if realm := cfg.Relay.Realm; len(realm) > turnsrv.RealmBytes {
		warnings = append(warnings, extaddr.Warning{
			Problem: fmt.Sprintf("relay.realm %q is too long for answers of at most 1.5 times the shortest requests; clients that send those are told the realm %q", realm, relay.ShortRealm()),
			Remedy:  fmt.Sprintf("nothing breaks by it; a realm of at most %d bytes is told to everybody alike", turnsrv.RealmBytes),
		})
	}
	for _, four := range []bool{true, false} {
		var pairs []string
		for _, r := range relays {
			if r.Advertise.Is4() == four {
				pairs = append(pairs, r.Advertise.String())
			}
		}
		if len(pairs) > 1 {
			warnings = append(warnings, extaddr.Warning{
				Problem: fmt.Sprintf("there are several relay addresses of one family (%s): who comes to one of them is relayed from it, but /config names the first alone", strings.Join(pairs, ", ")),
				Remedy:  "write public_host as a name that resolves to all of them, or name the others in your own configuration of clients",
			})
		}
	}
	return warnings
}
