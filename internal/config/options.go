package config

import "time"

// option is one key of the configuration: what it is called, what it means, and
// how its value is read and written.
type option struct {
	key    string // dotted path
	doc    string
	secret bool // masked when printed
	value  value
}

// options lists every option of c in the order of config.yaml.
func (c *Config) options() []option {
	return []option{
		{key: "public_host", value: host(&c.PublicHost),
			doc: "DNS name or IP address that clients use. Empty: the external IP."},

		{key: "public_path", value: publicPath(&c.PublicPath),
			doc: "Where a reverse proxy serves pages, /config and signaling below a path, such as /calls, whether or not it takes the path off. Empty: at the root."},

		{key: "listen.tcp", value: listenAddresses(&c.Listen.TCP),
			doc: "TCP addresses. Each port is universal: TLS, HTTP, WebSocket, STUN and TURN are told apart by the first bytes. A public server wants \":80\" and \":443\" here too. \":P\" and \"[::]:P\" are all addresses of both families; beside an IPv4 address on its port \"[::]:P\" is IPv6 alone, here and in listen.udp."},
		{key: "listen.udp", value: listenAuto(&c.Listen.UDP),
			doc: "UDP addresses for STUN and TURN. auto: port 3478, and 443 beside it where listen.tcp has 443, this user may have it, and no other program does: some networks let nothing of UDP out but to 443 (QUIC), others everything but that."},
		{key: "listen.admin", value: listenAddress(&c.Listen.Admin),
			doc: "Metrics, health, console and pprof; never public: loopback, or a private address of this host. Empty: none."},
		{key: "listen.trusted_proxies", value: prefixes(&c.Listen.TrustedProxies),
			doc: "Addresses or CIDRs of proxies: what they say in X-Forwarded-For, -Proto, -Host and -Port, in Forwarded, or by the PROXY protocol (versions 1 and 2, before TLS; each connection may begin with it or not) is believed, nobody else's, and their own connections are not limited per IP. A proxy on this host must be named too: [127.0.0.1/32, ::1/128]."},
		{key: "listen.forward", value: forwards(&c.Listen.Forward),
			doc: "TLS connections for the names of other servers on this host or near it, passed on as they are: {host: \"*.example.org\", to: \"127.0.0.1:8443\", http: \"127.0.0.1:8081\", proxy_protocol: v2}. host is a name, or a pattern for all names below one; public_host and who asks for no name stay here. http is where plain HTTP for these names goes (left out: it is sent to https); proxy_protocol, v1 or v2, tells the server at to who came."},

		{key: "tls.mode", value: choice(&c.TLS.Mode, TLSOff, TLSSelfSigned, TLSFiles, TLSACME),
			doc: "Where the certificate comes from. off: no TLS; self-signed: from an authority of this server's own, whose certificate is <state_dir>/tls/ca.pem; files: cert_file and key_file; acme: Let's Encrypt or another ACME directory, which comes to TCP port 443 or 80 of public_host."},
		{key: "tls.cert_file", value: text(&c.TLS.CertFile),
			doc: "Certificate chain in PEM, the server's own first. Read again when it changes on disk."},
		{key: "tls.key_file", value: text(&c.TLS.KeyFile),
			doc: "Private key of cert_file in PEM."},
		{key: "tls.acme.email", value: text(&c.TLS.ACME.Email),
			doc: "Address for the certificate authority's warnings. May be empty."},
		{key: "tls.acme.directory", value: url(&c.TLS.ACME.Directory),
			doc: "URL of the ACME directory. Empty: Let's Encrypt."},
		{key: "tls.acme.ca_file", value: text(&c.TLS.ACME.CAFile),
			doc: "PEM file with the authority that signs the ACME directory's own certificate. Empty: the system's."},
		{key: "tls.acme.cache_dir", value: text(&c.TLS.ACME.CacheDir),
			doc: "Where account and certificates are kept. Empty: <state_dir>/acme."},

		{key: "relay.realm", value: realm(&c.Relay.Realm),
			doc: "Realm of the TURN credentials. Of one longer than 8 bytes, clients whose first request is very short are told the beginning, so that no answer is more than 1.5 times as long."},
		{key: "relay.external_ip", value: externalIPs(&c.Relay.ExternalIP),
			doc: "The addresses at which clients reach this server. auto: found by itself; one IPv4 and/or one IPv6 address; or local=external pairs where a 1:1 NAT stands between."},
		{key: "relay.stun_servers", value: hostPorts(&c.Relay.STUNServers),
			doc: "STUN servers that are asked for the external address, host or host:port. Empty: none is asked."},
		{key: "relay.bind_ip", value: addresses(&c.Relay.BindIP),
			doc: "Local addresses of the relay's sockets. Empty: all."},
		{key: "relay.port_min", value: port(&c.Relay.PortMin),
			doc: "First UDP port for relayed addresses."},
		{key: "relay.port_max", value: port(&c.Relay.PortMax),
			doc: "Last UDP port for relayed addresses. Two are needed for each call with both sides relayed."},
		{key: "relay.range", value: choice(&c.Relay.Range, RangeAuto, RangeOpen, RangeClosed),
			doc: "Whether the firewall lets UDP port_min to port_max in. Calls do not need it: two relayed people meet inside the server. Peers of relay.peers: public do. auto: closed until a packet from outside has reached one from an address to which that had sent nothing, and again after an hour without such a packet, each address family for itself. /config tells the clients and `turnhub check`."},
		{key: "relay.sockets", value: choice(&c.Relay.Sockets, SocketsAuto, SocketsOn, SocketsOff),
			doc: "Whether relayed addresses have a UDP socket of their own. Without one they work relay to relay inside this server only, take no descriptor, and share the port's number with whatever else of the host has it. on: all have one; off: none, so that 60,000 fit one IPv4 address from port_min: 1024 up; auto: those that the host has no descriptors or free ports for go without, but none once a relayed packet has left this server."},
		{key: "relay.driver", value: choice(&c.Relay.Driver, DriverAuto, DriverRing, DriverEpoll, DriverPortable),
			doc: "How the relay sends and receives. io_uring: Linux 6.1 and later, where kernel.io_uring_disabled and the container's seccomp filter allow it: one system call for all sockets; epoll: Linux; portable: every system, slower; auto: io_uring where every operation of it works, else epoll. The log, /metrics and `turnhub check` say which, and why. One that is named here and refused by the system ends the start."},
		{key: "relay.websocket_media", value: choice(&c.Relay.WebSocketMedia, WebSocketMediaOn, WebSocketMediaOff),
			doc: "Whether two people who both use the JavaScript client may send each other picture, sound and chat through a WebSocket of this server (/media), where their network lets nothing but inspected HTTPS through. The browsers seal it: the server cannot read it. The limits of one allocation hold for each, and those of the user. off: nobody new from the reload on."},
		{key: "relay.peers", value: choice(&c.Relay.Peers, "calls", "public", "any"),
			doc: "Whom clients may reach through the relay. calls: only people in the same call, at addresses where this server itself has seen them; public: any public address, for TURN with somebody else's signaling; any: everything (tests only)."},
		{key: "relay.allow_peers", value: prefixes(&c.Relay.AllowPeers),
			doc: "Addresses or CIDRs that are opened although they are on the default deny list."},
		{key: "relay.deny_peers", value: prefixes(&c.Relay.DenyPeers),
			doc: "Addresses or CIDRs that are denied on top of it; stronger than allow_peers."},

		{key: "credentials.secrets", value: secrets(&c.Credentials.Secrets), secret: true,
			doc: "Shared secrets, as coturn's static-auth-secret: the first signs, all verify, so that one can be replaced without ending a call."},
		{key: "credentials.secrets_file", value: text(&c.Credentials.SecretsFile),
			doc: "File with one secret per line. Empty and no secrets given: <state_dir>/turn-secrets, created on first start with mode 0600."},
		{key: "credentials.ttl", value: duration(&c.Credentials.TTL, time.Minute, 365*24*time.Hour),
			doc: "How long new credentials open allocations. A call that outlives them goes on."},

		{key: "access.mode", value: choice(&c.Access.Mode, AccessOpen, AccessToken),
			doc: "open: anyone may call (rate-limited); token: every request and socket carries a signed token."},
		{key: "access.token_secret_file", value: text(&c.Access.TokenSecretFile),
			doc: "File with the HS256 secret of the tokens, at least 32 bytes."},
		{key: "access.token_jwks_file", value: text(&c.Access.TokenJWKSFile),
			doc: "File with the public keys (JWK Set) of whoever signs the tokens, instead of a shared secret."},
		{key: "access.allowed_origins", value: origins(&c.Access.AllowedOrigins),
			doc: "Origins whose pages may use /config and the sockets: \"*\", \"same\" (the page's own), or origins such as https://example.org."},

		{key: "signaling.relay_at_root", value: boolean(&c.Signaling.RelayAtRoot),
			doc: "Also serve a raw relay at the path /, for pages that hard-code ws://host:port. Strangers meet there."},
		{key: "signaling.peerjs_discovery", value: boolean(&c.Signaling.PeerJSDiscovery),
			doc: "Let PeerJS clients list the ids of everybody connected (listAllPeers)."},

		{key: "limits.allocations_per_user", value: integer(&c.Limits.AllocationsPerUser, 1, 1<<20),
			doc: "Allocations that one user may hold. One more ends the one of them that has been silent longest, if that is 30 s at least, else it is refused."},
		{key: "limits.allocations_per_ip", value: integer(&c.Limits.AllocationsPerIP, 1, 1<<20),
			doc: "Allocations that one household (an IPv4 address or an IPv6 /64) may hold, and make in a second (100 at least); 16 times as many its wider network (an IPv4 /24 or an IPv6 /48) may hold."},
		{key: "limits.allocations_total", value: integer(&c.Limits.AllocationsTotal, 0, 1<<20),
			doc: "Allocations of everybody together. 0: what the port range holds."},
		{key: "limits.permissions_per_allocation", value: integer(&c.Limits.PermissionsPerAllocation, 1, 1<<16),
			doc: "Peers that one allocation may have at a time."},
		{key: "limits.bandwidth_per_allocation", value: byteRate(&c.Limits.BandwidthPerAllocation),
			doc: "Bytes per second in each direction of one allocation. 0: no limit."},
		{key: "limits.packets_per_allocation", value: perSecondOrNone(&c.Limits.PacketsPerAllocation, 1e9),
			doc: "Packets per second in each direction of one allocation; as many can come at once. 0: no limit."},
		{key: "limits.new_peers_per_allocation", value: perSecondOrNone(&c.Limits.NewPeersPerAllocation, 1e6),
			doc: "Peers per second for which one allocation may ask that it has no permission for, after a burst of 32. A call has a few; a tunnel has many. 0: no limit."},
		{key: "limits.bandwidth_per_user", value: byteRate(&c.Limits.BandwidthPerUser),
			doc: "Bytes per second of one person over all sessions and allocations and both directions, guests with who has invited them; in access.mode open, where anybody may take any name, of one household. 0: no limit."},
		{key: "limits.volume_per_user_day", value: sizeOrNone(&c.Limits.VolumePerUserDay, 1<<20, 1<<60),
			doc: "Bytes that one person, or as above one household, may have relayed within 24 hours from the first of them, such as 20GB. An upgrade keeps the count. 0: no limit."},
		{key: "limits.unauthenticated_per_prefix", value: perSecond(&c.Limits.UnauthenticatedPerPrefix, 1e6),
			doc: "Answers of the relay to requests without valid credentials, per IPv4 /24 and IPv6 /48. As many requests for credentials (/config, /turn) are answered to one household, 16 times as many to its wider network."},
		{key: "limits.connections_per_ip", value: integer(&c.Limits.ConnectionsPerIP, 1, 1<<20),
			doc: "TCP connections of one household (an IPv4 address or an IPv6 /64), and signaling sockets; 16 times as many of its wider network (an IPv4 /24 or an IPv6 /48)."},
		{key: "limits.message_size", value: size(&c.Limits.MessageSize, 1<<10, 64<<20),
			doc: "Largest signaling message."},
		{key: "limits.messages_per_second", value: plainRate(&c.Limits.MessagesPerSecond, 1, 1e6),
			doc: "Signaling messages per socket. In the dialects (raw relay, Socket.IO, PeerJS, Yjs), where none may be lost, who sends more is held up, and by bytes too: four times limits.message_size (1 MiB at least) a second for each 100."},

		{key: "log.level", value: choice(&c.Log.Level, "debug", "info", "warn", "error"),
			doc: "The least that is logged."},
		{key: "log.format", value: choice(&c.Log.Format, "text", "json"),
			doc: "Form of the log lines."},

		{key: "drain_timeout", value: duration(&c.DrainTimeout, 0, 24*time.Hour),
			doc: "After SIGTERM, how long allocations in use may go on while no new ones are made. On a single server 0s is best: clients come back within two seconds of a restart and their calls go on."},
		{key: "upgrade_timeout", value: duration(&c.UpgradeTimeout, 0, 7*24*time.Hour),
			doc: "After SIGUSR2, which has the binary on disk take over, how long the old process may carry its calls on."},
		{key: "state_dir", value: text(&c.StateDir),
			doc: "Where secrets and certificates are kept. Empty: $STATE_DIRECTORY (set by systemd), else ./state."},
	}
}
