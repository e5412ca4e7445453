package config

import (
	"strings"
	"testing"
)

// TestMistakes: what people write wrong is refused, with the word that helps, and
// what looks alike and is right is not.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct {
		yaml string
		want string // in the complaint, or in the warning after "warning: "; empty: neither
	}{
		// A certificate that cannot come.
		{`{tls: {mode: acme}, public_host: a.example.org, listen: {tcp: [":8443"]}}`, "listen.tcp: has neither port 443 nor 80"},
		{`{tls: {mode: acme}, public_host: a.example.org}`, "listen.tcp: has neither port 443 nor 80"},
		{`{tls: {mode: acme}, public_host: a.example.org, listen: {tcp: []}}`, "listen.tcp: is empty, but tls.mode acme"},
		{`{tls: {mode: acme}, public_host: a.example.org, listen: {tcp: [":443"]}}`, ""},
		{`{tls: {mode: acme}, public_host: a.example.org, listen: {tcp: ["203.0.113.5:80", ":8443"]}}`, ""},
		{`{tls: {mode: acme}, public_host: a.example.org, listen: {tcp: [":8443"], trusted_proxies: [10.0.0.1]}}`, "warning: listen.tcp: has neither port 443 nor 80"},
		{`{tls: {mode: acme}, public_host: a.example.org, listen: {tcp: [":8443"]}, relay: {external_ip: 10.0.0.1=203.0.113.5}}`, "warning: listen.tcp: has neither"},
		{`{tls: {mode: acme, acme: {directory: "https://ca.corp.example/dir"}}, public_host: turn, listen: {tcp: [":8443"]}}`, "warning: listen.tcp: has neither"},
		{`{tls: {mode: acme}, public_host: localhost, listen: {tcp: [":443"]}}`, "public_host: no public authority can reach \"localhost\""},
		{`{tls: {mode: acme}, public_host: turn.corp.internal, listen: {tcp: [":443"]}}`, "public_host: no public authority"},
		{`{tls: {mode: acme}, public_host: 192.168.1.5, listen: {tcp: [":443"]}}`, "public_host: no public authority"},
		{`{tls: {mode: acme}, public_host: 203.0.113.5, listen: {tcp: [":443"]}}`, ""},
		// A console for everybody.
		{`listen: {admin: "0.0.0.0:9478"}`, "listen.admin: \"0.0.0.0:9478\" can be reached from outside"},
		{`listen: {admin: ":9478"}`, "listen.admin: \":9478\" can be reached from outside"},
		{`listen: {admin: "[::]:9478"}`, "can be reached from outside"},
		{`listen: {admin: "203.0.113.5:9478"}`, "can be reached from outside"},
		{`listen: {admin: "[2001:db8::1]:9478"}`, "can be reached from outside"},
		{`listen: {admin: "[::ffff:203.0.113.5]:9478"}`, "can be reached from outside"},
		{`listen: {admin: "10.0.0.5:9478"}`, ""},
		{`listen: {admin: "100.100.3.4:9478"}`, ""},
		{`listen: {admin: "[fd00::1]:9478"}`, ""},
		{`listen: {admin: "[::1]:9478"}`, ""},
		{`listen: {admin: "localhost:9478"}`, ""},
		{`listen: {admin: ""}`, ""},
		// Listeners that are in each other's way.
		{`listen: {tcp: [":443", ":443"]}`, "are the same port"},
		{`listen: {tcp: ["0.0.0.0:443", "10.0.0.1:443"]}`, "are the same port"},
		{`listen: {tcp: ["[::]:443", "[::1]:443"]}`, "are the same port"},
		{`listen: {tcp: ["localhost:443", "127.0.0.1:443"]}`, "are the same port"},
		{`listen: {tcp: ["0.0.0.0:443", "[::]:443"], udp: ["10.0.0.1:53", "[::]:53"]}`, ""},
		{`listen: {tcp: ["0.0.0.0:9478"]}`, "listen.admin: \"127.0.0.1:9478\" is the port of \"0.0.0.0:9478\""},
		{`listen: {tcp: 8080}`, `"8080" is not an address to listen on`},
		{`listen: {tcp: ["example.org:443"]}`, "is not an address to listen on"},
		{`listen: {tcp: [":99999"]}`, "is not an address to listen on"},
		{`listen: {tcp: {port: 443}}`, "one value belongs here"},
		{`listen: {trusted_proxies: [0.0.0.0/0]}`, "listen.trusted_proxies: 0.0.0.0/0 is half the internet"},
		{`listen: {trusted_proxies: ["::/0"]}`, "is half the internet"},
		{`listen: {trusted_proxies: [0.0.0.0/1, 128.0.0.0/1]}`, "is half the internet"},
		{`listen: {trusted_proxies: [10.0.0.0/8, 172.16.0.0/12, "fd00::/8"]}`, "half the internet"},
		{`listen: {trusted_proxies: [10.0.0.0/8, "2400:cb00::/32"]}`, ""},
		{`listen: {trusted_proxies: [nginx]}`, `"nginx" is not a CIDR`},
		// Push.
		{`push: {mode: maybe}`, `push.mode: "maybe" does not exist`},
		{`push: {contact: "operator@example.org"}`, "is no address to write to"},
		{`push: {contact: "mailto:nobody"}`, "is no address to write to"},
		{`push: {contact: "http://example.org"}`, "is no address to write to"},
		{`push: {contact: "mailto:operator@example.org"}`, ""},
		{`push: {contact: "https://example.org/contact"}`, ""},
		{`push: {services: ["*"]}`, `push.services: "*" is not a host`},
		{`push: {services: ["https://push.example.org"]}`, "is not a host"},
		{`push: {services: ["push.example.org/x"]}`, "is not a host"},
		{`push: {services: ["Push.example.org"]}`, "is not a host"},
		{`push: {services: ["p*.example.org"]}`, "is not a host"},
		{`push: {services: ["*.example.org", "push.example.org:8443", "127.0.0.1:8443"]}`, ""},
		{`push: {mode: "off", services: ["push.example.org"]}`, "warning: push.services: has no effect with push.mode off"},
		{`push: {mode: "off"}`, ""},
		// A path.
		{`public_path: /calls`, ""},
		{`public_path: team/calls/`, ""},
		{`public_path: /`, ""},
		{`public_path: /calls/../x`, `public_path: "/calls/../x" is not a path`},
		{`public_path: "/a b"`, "is not a path"},
		{`public_path: https://example.org/calls`, "is not a path"},
		{`public_path: /a//b`, "is not a path"},
		{`public_path: "/calls?x"`, "is not a path"},
		// Names of other servers.
		{`listen: {forward: [{host: "*.example.org", to: "127.0.0.1:8443", http: "127.0.0.1:8081", proxy_protocol: v2}]}`, ""},
		{"listen:\n  forward:\n    - host: *.example.org\n      to: 127.0.0.1:8443\n    - {host: WWW.example.net, to: web:443}", ""},
		{`{public_host: calls.example.org, listen: {forward: [{host: "*.example.org", to: "127.0.0.1:8443"}]}}`, ""},
		{`listen: {forward: "host=www.example.org to=127.0.0.1:8443, host=*.example.net to=[::1]:8443 proxy_protocol=v1"}`, ""},
		{`{public_host: calls.example.org, listen: {forward: [{host: calls.example.org, to: "127.0.0.1:8443"}]}}`, `listen.forward: "calls.example.org" is public_host`},
		{`listen: {forward: [{to: "127.0.0.1:8443"}]}`, "listen.forward: host is missing"},
		{`listen: {forward: [{host: www.example.org}]}`, "listen.forward: to is missing for www.example.org"},
		{`listen: {forward: [{host: "*", to: "127.0.0.1:8443"}]}`, `host "*" is not a name`},
		{`listen: {forward: [{host: "www.*.org", to: "127.0.0.1:8443"}]}`, "is not a name that a client can ask for"},
		{`listen: {forward: [{host: 192.0.2.1, to: "127.0.0.1:8443"}]}`, "is not a name that a client can ask for"},
		{`listen: {forward: [{host: "https://www.example.org", to: "127.0.0.1:8443"}]}`, "is not a name that a client can ask for"},
		{`listen: {forward: [{host: www.example.org, to: 8443}]}`, `to "8443" is not an address to connect to`},
		{`listen: {forward: [{host: www.example.org, to: ":8443"}]}`, `to ":8443" is not an address to connect to`},
		{`listen: {forward: [{host: www.example.org, to: "127.0.0.1:8443", http: "127.0.0.1:0"}]}`, `http "127.0.0.1:0" is not an address`},
		{`listen: {forward: [{host: www.example.org, to: "127.0.0.1:8443", proxy_protocol: v3}]}`, `proxy_protocol "v3" does not exist; write v1 or v2`},
		{`listen: {forward: [{host: www.example.org, to: "127.0.0.1:8443", proxy-protocol: v2}]}`, `"proxy-protocol" is not a member of it; write proxy_protocol`},
		{`listen: {forward: [{host: www.example.org, to: ["127.0.0.1:8443"]}]}`, "to has one value"},
		{`listen: {forward: [{host: www.example.org, to: "127.0.0.1:8443"}, {host: WWW.example.org, to: "127.0.0.1:8444"}]}`, "stands twice"},
		{`listen: {forward: [www.example.org]}`, `"www.example.org" is not a member of it`},
		{`listen: {forward: {host: www.example.org, to: "127.0.0.1:8443"}}`, "one value belongs here"},
		{`listen: {forward: [{host: www.example.org, to: "127.0.0.1:8080"}]}`, "this server's own listen.tcp"},
		{`listen: {tcp: ["10.0.0.1:443"], forward: [{host: www.example.org, to: "127.0.0.1:443"}]}`, ""},
		// Several nodes.
		{`{cluster: {nats: ["nats://10.0.0.5:4222"], node: a, url: "https://a.example.org"}, credentials: {secrets: [01234567]}}`, ""},
		{`{cluster: {nats: [nats://10.0.0.5:4222, "tls://turnhub:pw@10.0.0.6"], node: fra-1, url: "https://a.example.org:8443/calls/", region: fra}, credentials: {secrets_file: /x}}`, ""},
		{`{cluster: {nats: ["nats://10.0.0.5:4222"], node: a}, credentials: {secrets: [01234567]}}`, "cluster.url: cluster.nats needs it"},
		{`{cluster: {nats: ["nats://10.0.0.5:4222"], url: "https://a.example.org"}, credentials: {secrets: [01234567]}}`, "cluster.node: cluster.nats needs it"},
		{`cluster: {nats: ["nats://10.0.0.5:4222"], node: a, url: "https://a.example.org"}`, "credentials.secrets: cluster.nats needs the same secret on every node"},
		{`{cluster: {nats: ["nats://10.0.0.5:4222"], node: a, url: "https://a.example.org", tls: {cert_file: a.pem}}, credentials: {secrets: [01234567]}}`, "cert_file and key_file go together"},
		{`cluster: {nats: ["10.0.0.5:4222"]}`, "is not the URL of a NATS server"},
		{`cluster: {nats: ["https://10.0.0.5"]}`, "does not begin with nats:// or tls://"},
		{`cluster: {nats: ["nats://10.0.0.5:4222/x"]}`, "has something behind the port"},
		{`cluster: {node: a.example.org}`, "is no name here"},
		{`cluster: {node: 0123456789012345678901234567890123}`, "is no name here"},
		{`cluster: {url: a.example.org}`, "is not the URL of a node's pages"},
		{`cluster: {url: "https://a.example.org/?x"}`, "holds more than a scheme"},
		{`cluster: {node: a}`, "warning: cluster.node: has no effect"},
		// Names at every level.
		{"realy: {port_min: 5000}", "realy: this section does not exist; write relay, or remove it"},
		{"tsl: {mode: off}", "write tls, or remove it"},
		{"Relay: {port_min: 5000}", "write relay, or remove it"},
		{"signalling: {relay_at_root: true}", "write signaling"},
		{"limit: {message_size: 1KiB}", "write limits"},
		{"tls: {acem: {email: a@b.example}}", "write tls.acme (acme in the section tls)"},
		{"acme: {email: a@b.example}", "this section does not exist here; write it as tls.acme"},
		{"tls: {acme: {emial: a@b.example}}", "write tls.acme.email"},
		{"relay: {min_port: 5000}", "write relay.port_min"},
		{"tls: {cert: /a.pem}", "write tls.cert_file"},
		{"public_hots: a", "write public_host"},
		{"relay.port_min: 5000\nrelay: {port_min: 6000}", "stands on line 1 already"},
		// Names and addresses.
		{"public_host: https://a.example.org", "is neither a DNS name nor an IP address"},
		{"public_host: a.example.org:443", "is neither a DNS name"},
		{"public_host: a.example.org/calls", "is neither a DNS name"},
		{"public_host: '*.example.org'", "is neither a DNS name"},
		{"public_host: a_b.example.org", "is neither a DNS name"},
		{"public_host: '[2001:db8::1]'", "is neither a DNS name"},
		{"public_host: 300.1.1.1", "is neither a DNS name"},
		{"public_host: 203.0.113", "is neither a DNS name"},
		{"public_host: 0.0.0.0", "is not an address that a client can reach"},
		{"public_host: '2001:db8::1'", ""},
		{"relay: {external_ip: turn.example.org}", "is not an IP address"},
		{"relay: {external_ip: 0.0.0.0}", "is not an address that a client can reach"},
		{"relay: {external_ip: 10.0.0.1/203.0.113.5}", "is not an IP address"},
		{"relay: {external_ip: [10.0.0.1=203.0.113.5, 10.0.0.1=203.0.113.6]}", "10.0.0.1 stands before two ="},
		{"relay: {external_ip: [10.0.0.1=203.0.113.5, 10.0.0.2=203.0.113.6]}", ""},
		{"relay: {bind_ip: 224.0.0.1}", "is a multicast address"},
		{"relay: {stun_servers: ['stun:stun.example.org:3478']}", "is not a server"},
		{"relay: {port_min: 1000}", "is not a port from 1024"},
		{"relay: {port_min: 50000, port_max: 50000}", "warning: relay.port_min: the range has one port"},
		{"relay: {allow_peers: [0.0.0.0/0]}", "warning: relay.allow_peers: opens every address"},
		{"relay: {deny_peers: ['::/0']}", "warning: relay.deny_peers: denies every address"},
		// Origins as no browser writes them.
		{"access: {allowed_origins: ['https://example.org/']}", "is more than an origin; write https://example.org"},
		{"access: {allowed_origins: ['https://example.org:443']}", "write https://example.org"},
		{"access: {allowed_origins: ['http://Example.org:80/a?b']}", "write http://example.org"},
		{"access: {allowed_origins: ['https://*.example.org']}", "has a wildcard"},
		{"access: {allowed_origins: ['https://example.org:8443', 'null', 'same']}", ""},
		{"access: {allowed_origins: ['*', 'https://example.org']}", "warning: access.allowed_origins: \"*\" lets every page in"},
		// What has no effect.
		{"tls: {cert_file: /a.pem, key_file: /b.pem}", "warning: tls.cert_file: has no effect with tls.mode off"},
		{"{tls: {mode: self-signed, acme: {email: a@b.example}}}", "warning: tls.acme.email: has no effect with tls.mode self-signed"},
		{"{tls: {mode: self-signed}, listen: {tcp: []}}", "warning: tls.mode: self-signed has no effect: listen.tcp is empty"},
		{"access: {token_secret_file: /s}", "warning: access.token_secret_file: nobody is asked for a token"},
		// Webhooks.
		{`events: {webhooks: [{url: "https://example.org/hook?key=1", secret_file: /s, types: call.ended+call.missed}]}`, ""},
		{"events:\n  webhooks:\n    - url: http://localhost:3000/\n", ""},
		{`events: {webhooks: "url=https://a.example/, url=https://b.example/ types=call.left"}`, ""},
		{`events: {webhooks: [{url: "http://a.example/"}]}`, "warning: events.webhooks: a.example is told over plain HTTP"},
		{`events: {webhooks: [{secret_file: /s}]}`, "events.webhooks: url is missing"},
		{`events: {webhooks: [{url: "example.org/hook"}]}`, "is not one of a web server"},
		{`events: {webhooks: [{url: "ftp://example.org/hook"}]}`, "is not one of a web server"},
		{`events: {webhooks: [{url: "https://u:p@example.org/"}]}`, "url holds a user's name"},
		{`events: {webhooks: [{url: "https://example.org/#a"}]}`, "url holds a #"},
		{`events: {webhooks: [{url: "https://example.org/", types: call.end}]}`, `"call.end" is not a type of event`},
		{`events: {webhooks: [{url: "https://example.org/", type: call.ended}]}`, `"type" is not a member of it; write types`},
		{`events: {webhooks: [{url: "https://example.org/"}, {url: "https://example.org/", types: call.left}]}`, "the same url stands twice"},
		{`events: {history: 721h}`, "is out of range"},
		{`events: {allow: [10.0.0.0/8]}`, "warning: events.allow: has no effect"},
		// YAML.
		{"limits: {message_size: -1}", "is not a size"},
		{"limits: {connections_per_ip: 0}", "is not a whole number"},
		{"credentials: {ttl: 12}", "is not a duration"},
		{"signaling: {relay_at_root: yes}", "is neither true nor false"},
		{"tls: {mode: on}", "does not exist; write one of"},
		{"relay: [a]", "a section of options belongs here"},
		{"realm: \xe9", "this is not text in UTF-8"},
	} {
		c, err := parse("c.yaml", []byte(tc.yaml), nil)
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			for _, w := range c.Warnings() {
				text += "warning: " + strings.TrimPrefix(w.Error(), "c.yaml:1: ") + "\n"
			}
		}
		if tc.want == "" && text != "" || !strings.Contains(text, tc.want) {
			t.Errorf("%s\n\tsays %q\n\twant %q", tc.yaml, text, tc.want)
		}
	}
}
