package config

import (
	"fmt"
	"net/netip"
	neturl "net/url"
	"path/filepath"
	"strings"
)

// The values of push.mode.
const (
	PushOn  = "on"
	PushOff = "off"
)

// Push says whether people are rung while they have no page open.
type Push struct {
	Mode     string   // one of the Push constants
	Contact  string   // mailto: or https: URL; empty: PushContact finds one
	Services []string // hosts of push services
	Allow    []netip.Prefix
}

// usualPushServices are those of the browsers: Chrome, Edge on other systems than Windows,
// Opera, Brave and Samsung use Google's; Firefox Mozilla's; Safari Apple's; Edge on Windows
// Microsoft's.
var usualPushServices = []string{"fcm.googleapis.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com"}

// PushKeyPath is where the key is kept by which push services know this server.
func (c *Config) PushKeyPath() string { return filepath.Join(c.StateDir, "push-key") }

// PushContact is whom a push service writes to. Apple's takes nothing without.
func (c *Config) PushContact(address string) string {
	switch {
	case c.Push.Contact != "":
		return c.Push.Contact
	case c.TLS.ACME.Email != "":
		return "mailto:" + c.TLS.ACME.Email
	case c.PublicHost != "":
		address = c.PublicHost
	}
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return "https://" + address
}

func contact(p *string) value {
	return scalar(p, "mailto: or https: URL", func(s string) (string, error) {
		u, err := neturl.Parse(s)
		if s != "" && (err != nil || u.Scheme == "mailto" && !strings.Contains(u.Opaque, "@") || u.Scheme == "https" && u.Host == "" || u.Scheme != "mailto" && u.Scheme != "https") {
			return "", fmt.Errorf("%q is no address to write to; write one such as mailto:operator@example.org, or an https URL", s)
		}
		return s, nil
	}, same)
}

func pushServices(p *[]string) value {
	return sequence(p, "list of hosts", func(s string) (string, error) {
		host := strings.TrimPrefix(s, "*.")
		u, err := neturl.Parse("https://" + host + "/")
		if err != nil || u.Host != host || u.Hostname() == "" || host != strings.ToLower(host) || strings.ContainsAny(host, "*/@") || strings.HasSuffix(u.Hostname(), ".") {
			return "", fmt.Errorf("%q is not a host; write a name such as push.example.org, or *.example.org for all below one, in small letters, with a port where it is not 443", s)
		}
		return s, nil
	}, same)
}

func (c *Config) doubtsOfPush(doubt func(key, problem, remedy string), written func(key string) bool) {
	if c.Push.Mode == PushOff {
		for _, key := range []string{"push.contact", "push.services", "push.allow"} {
			if written(key) {
				doubt(key, "has no effect with push.mode off", "write push.mode on, or remove it")
			}
		}
	}
}
