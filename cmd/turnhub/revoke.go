package main

import (
	"fmt"
	"strings"
	"time"

	"turnhub/internal/access"
)

// revokeNote says what the revocation of a user or a session means from now on, and
// whom it does not keep out.
func (n *node) revokeNote(name string) string {
	open, session := n.access.IsOpen(), strings.HasPrefix(name, access.SessionPrefix)
	switch {
	case session && open:
		return "The session has ended and its TURN credentials are void. Whoever it was may come back with a new session: access.mode is open."
	case session:
		return "The session has ended and its TURN credentials are void. The user's access token still opens a new one: revoke the user name too."
	case open:
		until := n.access.BarredUntil(name).UTC().Format(time.RFC1123)
		return fmt.Sprintf("The name and the TURN credentials that were given out for it are refused until %s. Whoever it was may come back under another name or without one: access.mode is open, and only access.mode token keeps people out.", until)
	}
	return "Access tokens and TURN credentials that were issued until now are refused, and so are tokens of the next 30 seconds, since clocks may differ. A token that is issued later lets the user in again. TURN credentials that live longer than credentials.ttl (turnhub credentials --ttl) stay refused until they live no longer than that; only another secret ends them for good."
}
