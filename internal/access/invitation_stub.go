package access

import "errors"

// ErrInvitationExpired is ErrExpired of an invitation.
var ErrInvitationExpired = errors.New("the invitation has expired: ask whoever invited you for a new link")
