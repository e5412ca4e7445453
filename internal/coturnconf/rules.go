package coturnconf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// rule says what becomes of one option of coturn.
type rule struct {
	becomes string // for the table in the documentation, and the notes
	lost    bool   // has no counterpart, so that something is lost
	many    bool   // each line adds to the others; else the last one counts
	apply   func(*conversion, setting) (complaint string)
}

// carried is an option that is read.
func carried(becomes string, apply func(*conversion, setting) string) rule {
	return rule{becomes: becomes, apply: apply}
}

// added is one that is read as often as it stands.
func added(becomes string, apply func(*conversion, setting) string) rule {
	return rule{becomes: becomes, apply: apply, many: true}
}

// done is an option that needs nothing here.
func done(why string) rule { return rule{becomes: why} }

// lost is an option without counterpart.
func lost(why string) rule { return rule{becomes: why, lost: true} }

func port(into func(*conversion) *string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		n, err := strconv.ParseUint(s.value, 10, 16)
		if err != nil || n == 0 {
			return fmt.Sprintf("%q is not a port", s.value)
		}
		*into(c) = strconv.FormatUint(n, 10)
		return ""
	}
}

// minPort is the lowest relay.port_min.
const minPort = 1024

func relayPort(into func(*conversion) *string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		n, err := strconv.ParseUint(s.value, 10, 16)
		switch {
		case err != nil || n == 0:
			return fmt.Sprintf("%q is not a port", s.value)
		case n < minPort:
			*into(c) = strconv.Itoa(minPort)
			return fmt.Sprintf("ports below %d are not relayed from; it becomes %[1]d", minPort)
		}
		*into(c) = strconv.FormatUint(n, 10)
		return ""
	}
}

func path(into func(*conversion) *string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		*into(c) = s.value
		if s.value == "" {
			return "names no file"
		}
		return ""
	}
}

func realm(c *conversion, s setting) string {
	if s.value == "" || len(s.value) > 127 || strings.ContainsAny(s.value, "\"\\:") {
		return "a realm has 1 to 127 characters here, without quotes, backslashes and colons; it stays turnhub, and programs that sign credentials do not notice"
	}
	c.realm = s.value
	return ""
}

func flagged(into func(*conversion) *bool) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		if *into(c) = s.on(); !s.on() {
			c.nothing(s, "it is off")
		}
		return ""
	}
}

func level(c *conversion, s setting) string {
	if s.on() {
		c.level = "debug"
	} else {
		c.nothing(s, "it is off")
	}
	return ""
}

func leastLevel(c *conversion, s setting) string {
	if levels := map[string]string{"debug": "debug", "info": "info", "warning": "warn", "error": "error"}; levels[s.value] != "" {
		c.level = levels[s.value]
		return ""
	}
	return fmt.Sprintf("%q is not a level; write log.level", s.value)
}

// parseAddr reads an address that a host can have.
func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err == nil && addr.Zone() != "" || addr.IsMulticast() {
		err = errors.New("it has a zone or is multicast")
	}
	return addr.Unmap(), err
}

func addresses(into func(*conversion) *[]setting) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		addr, err := parseAddr(s.value)
		if err != nil {
			return fmt.Sprintf("%q is not an address of a host", s.value)
		}
		*into(c) = append(*into(c), setting{s.line, s.name, addr.String()})
		return ""
	}
}

func spans(into func(*conversion) *[]span) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		r, err := parseSpan(s.value)
		if err != nil {
			return err.Error()
		}
		*into(c) = append(*into(c), r)
		return ""
	}
}

// count reads a quota; 0 is coturn's word for none.
func count(into func(*conversion) *string, none string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		n, err := strconv.ParseUint(s.value, 10, 20)
		switch {
		case err != nil:
			return fmt.Sprintf("%q is not a number up to 1048575", s.value)
		case n == 0 && none == "":
			*into(c) = ""
			return "0 means no limit, which does not exist here; the default stays"
		case n == 0:
			*into(c) = none
		default:
			*into(c) = strconv.FormatUint(n, 10)
		}
		return ""
	}
}

func externalIP(c *conversion, s setting) string {
	public, private, pair := strings.Cut(s.value, "/")
	e := external{setting: s}
	var err error
	if e.public, err = parseAddr(public); err != nil || e.public.IsUnspecified() {
		return fmt.Sprintf("%q is not an address that clients can reach; write relay.external_ip by hand", public)
	}
	if pair {
		if e.private, err = parseAddr(private); err != nil || e.private.IsUnspecified() {
			return fmt.Sprintf("%q is not an address of a host; write relay.external_ip by hand", private)
		}
		if e.private.Is4() != e.public.Is4() {
			return "joins IPv4 and IPv6; write relay.external_ip by hand"
		}
	}
	c.external = append(c.external, e)
	return ""
}

func auxServer(c *conversion, s setting) string {
	address, err := netip.ParseAddrPort(s.value)
	if err != nil || address.Port() == 0 || address.Addr().Zone() != "" {
		return fmt.Sprintf("%q is not address:port", s.value)
	}
	address = netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
	c.more = append(c.more, setting{s.line, s.name, address.String()})
	return ""
}

func secret(c *conversion, s setting) string {
	if len(s.value) < minSecret {
		return fmt.Sprintf("a secret of fewer than %d characters is guessed: make a new one with `openssl rand -hex 32` and write it in every program that uses it", minSecret)
	}
	c.secrets = append(c.secrets, s.value)
	return ""
}

func bandwidth(c *conversion, s setting) string {
	n, err := strconv.ParseUint(s.value, 10, 40)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is not a number of bytes per second", s.value)
	case n == 0:
		c.bandwidth = "0"
	case n < 1000:
		c.bandwidth = "1kB/s"
		return "the least is 1000 bytes per second; it becomes that"
	default:
		c.bandwidth = fmt.Sprintf("%dB/s", n)
	}
	return ""
}

func separator(c *conversion, s setting) string {
	c.nothing(s, "every separator is understood")
	return ""
}

// alwaysOn is an option whose line matters for what others say.
func alwaysOn(*conversion, setting) string { return "" }

// minSecret is the shortest secret that turnhub takes, in characters.
const minSecret = 8

// Words that several options share.
const (
	toJournal  = "the log goes to standard error, which systemd keeps; `log.format`, `log.level`"
	toUnit     = "the systemd unit does it"
	database   = "users in a database do not exist: credentials are signed with a shared secret (`credentials.secrets`)"
	goTLS      = "TLS 1.2 and 1.3 with Go's own choice of ciphers and curves"
	batches    = "the relay batches its system calls by itself"
	rfc3489    = "RFC 3489 is not spoken"
	oldTLS     = "TLS 1.0 and 1.1 are not offered"
	elsewhere  = "clients are not sent elsewhere; give them the other server's URLs"
	ownPort    = "each allocation has a port of its own"
	console    = "metrics and console are on `listen.admin`"
	rfc5780    = "NAT behaviour discovery (RFC 5780) is not offered"
	lifetime   = "RFC 8656's lifetimes are fixed"
	staticUser = "long-lived users and passwords do not exist: programs sign credentials with the shared secret (`credentials.secrets`), or fetch them from `/config` or `/turn`"
)

// rules are the options of coturn 4.6.1 and 4.17.1, from their
// examples/etc/turnserver.conf and their command lines.
var rules = map[string]rule{
	"listening-port":     carried("`listen.tcp` and `listen.udp`", port(func(c *conversion) *string { return &c.port })),
	"tls-listening-port": carried("`listen.tcp`: every TCP port takes TLS too", port(func(c *conversion) *string { return &c.tlsPort })),
	"listening-ip":       added("`listen.tcp` and `listen.udp`", addresses(func(c *conversion) *[]setting { return &c.addresses })),
	"aux-server":         added("one more of `listen.tcp` and `listen.udp`", auxServer),
	"no-udp":             carried("`listen.udp: []`", flagged(func(c *conversion) *bool { return &c.noUDP })),
	"no-tcp":             carried("the port is left out of `listen.tcp`", flagged(func(c *conversion) *bool { return &c.noTCP })),
	"no-tls":             carried("`tls.mode: off`", flagged(func(c *conversion) *bool { return &c.noTLS })),
	"cert":               carried("`tls.mode: files`, `tls.cert_file`; read again when it changes. Where it cannot be read, TLS stays off", path(func(c *conversion) *string { return &c.cert })),
	"pkey":               carried("`tls.key_file`", path(func(c *conversion) *string { return &c.key })),
	"realm":              carried("`relay.realm`", realm),
	"external-ip":        added("`relay.external_ip`; public/private becomes private=public", externalIP),
	"relay-ip":           added("`relay.bind_ip`, one of each family", addresses(func(c *conversion) *[]setting { return &c.relay })),
	"min-port":           carried("`relay.port_min`, at least 1024", relayPort(func(c *conversion) *string { return &c.portMin })),
	"max-port":           carried("`relay.port_max`", relayPort(func(c *conversion) *string { return &c.portMax })),
	"denied-peer-ip":     added("`relay.deny_peers`, as CIDRs; private and special ranges are denied anyway", spans(func(c *conversion) *[]span { return &c.deny })),
	"allowed-peer-ip":    added("`relay.allow_peers`, and cut out of `relay.deny_peers`", spans(func(c *conversion) *[]span { return &c.allow })),
	"static-auth-secret": added("`credentials.secrets`; the first one signs, all verify", secret),
	"user-quota":         carried("`limits.allocations_per_user`", count(func(c *conversion) *string { return &c.perUser }, "")),
	"total-quota":        carried("`limits.allocations_total`", count(func(c *conversion) *string { return &c.total }, "0")),
	"max-bps":            carried("`limits.bandwidth_per_allocation`, at least 1 kB/s", bandwidth),
	"verbose":            carried("`log.level: debug`", level),
	"Verbose":            carried("`log.level: debug`", level),
	"rest-api-separator": carried("nothing: every separator is understood", separator),
	"log-min-level":      carried("`log.level`", leastLevel),
	"use-auth-secret":    carried("always on; without `static-auth-secret` turnhub makes a secret of its own", alwaysOn),

	"fingerprint":                       done("sent where the client sends it"),
	"stale-nonce":                       done("always on"),
	"no-multicast-peers":                done("always on"),
	"no-loopback-peers":                 done("always on"),
	"no-tcp-relay":                      done("TCP relaying (RFC 6062) is not offered; WebRTC does not use it"),
	"no-cli":                            done(console),
	"no-auth-pings":                     done("there is no database"),
	"no-dynamic-ip-list":                done("there is no database"),
	"no-dynamic-realms":                 done("there is no database"),
	"no-stdout-log":                     done(toJournal),
	"simple-log":                        done(toJournal),
	"syslog":                            done(toJournal),
	"syslog-facility":                   done(toJournal),
	"log-file":                          done(toJournal),
	"new-log-timestamp":                 done(toJournal),
	"new-log-timestamp-format":          done(toJournal),
	"log-binding":                       done(toJournal),
	"pidfile":                           done(toUnit),
	"proc-user":                         done(toUnit),
	"proc-group":                        done(toUnit),
	"daemon":                            done(toUnit),
	"prometheus":                        done(console),
	"prometheus-port":                   done(console),
	"relay-threads":                     done("one worker per core"),
	"udp-self-balance":                  done("one worker per core, each with a socket of its own on every port"),
	"ne":                                done("one worker per core"),
	"no-rfc5780":                        done(rfc5780),
	"response-origin-only-with-rfc5780": done(rfc5780),
	"no-stun-backward-compatibility":    done(rfc3489),
	"no-software-attribute":             done("SOFTWARE names no version"),
	"cli-max-output-sessions":           done(console),
	"cli-ip":                            done(console),
	"cli-port":                          done(console),
	"cli-password":                      done(console),
	"no-tlsv1":                          done(goTLS),
	"no-tlsv1_1":                        done(goTLS),
	"no-dtls":                           done("TURN over DTLS is not offered; browsers do not use it"),
	"cipher-list":                       done(goTLS),
	"ec-curve-name":                     done(goTLS),
	"dh566":                             done(goTLS),
	"dh1066":                            done(goTLS),
	"dh2066":                            done(goTLS),
	"dh-file":                           done(goTLS),
	"keep-address-family":               done("an allocation has the family that REQUESTED-ADDRESS-FAMILY asks for, IPv4 without it (RFC 8656 section 7.2)"),
	"no-web-admin":                      done(console),
	"cli":                               done(console),
	"cpus":                              done("one worker per core"),
	"sock-buf-size":                     done("4 MB, as far as the kernel allows; the package raises its limits"),
	"drop-invalid-packets":              done("always on"),
	"drop-invalid-packets-log":          done("counted in the metrics"),
	"include-reason-string":             done("always on"),
	"prometheus-address":                done(console),
	"prometheus-path":                   done(console),
	"prometheus-tls":                    done(console),
	"prometheus-cert":                   done(console),
	"prometheus-key":                    done(console),
	"prometheus-username-labels":        done("metrics never name users"),
	"respond-http-unsupported":          done("the ports speak HTTP"),
	"software-attribute":                done("SOFTWARE names no version"),
	"stateless-nonce":                   done("always on"),
	"stateless-nonce-secret":            done("made anew at each start"),
	"udp-gso":                           done(batches),
	"udp-recvmmsg":                      done(batches),
	"udp-recvmmsg-log":                  done(batches),
	"udp-sendmmsg-log":                  done(batches),
	"unauthorized-ratelimit":            done("always on: `limits.unauthenticated_per_prefix`"),
	"version":                           done("a switch of the command line"),
	"help":                              done("a switch of the command line"),

	"lt-cred-mech":                      done("always on, with signed credentials"),
	"user":                              lost(staticUser),
	"no-auth":                           lost("a relay without credentials does not exist"),
	"oauth":                             lost("OAuth (RFC 7635) is not offered; `access.mode: token` guards `/config`"),
	"server-name":                       lost("belongs to OAuth, which is not offered"),
	"userdb":                            lost(database),
	"psql-userdb":                       lost(database),
	"mysql-userdb":                      lost(database),
	"mongo-userdb":                      lost(database),
	"redis-userdb":                      lost(database),
	"secret-key-file":                   lost(database),
	"db":                                lost(database),
	"sql-userdb":                        lost(database),
	"CA-file":                           lost("clients are not asked for certificates"),
	"dtls":                              lost("TURN over DTLS is not offered; browsers do not use it"),
	"drain-min-allocations":             lost("SIGTERM waits for the last allocation, at most `drain_timeout`"),
	"multiplex-peer":                    lost(ownPort),
	"multiplex-peer-port":               lost(ownPort),
	"multiplex-peer-max-peers":          lost(ownPort),
	"raw-public-keys":                   lost("TLS is with certificates"),
	"rfc3489-compatibility":             lost(rfc3489),
	"stun-backward-compatibility":       lost(rfc3489),
	"rfc5766-channel-numbers":           lost("channel numbers are those of RFC 8656 section 12"),
	"rfc5780":                           lost(rfc5780),
	"tcp-alternate-server":              lost(elsewhere),
	"udp-alternate-server":              lost(elsewhere),
	"tlsv1":                             lost(oldTLS),
	"tlsv1_1":                           lost(oldTLS),
	"unauthorized-ratelimit-rps":        lost("`limits.unauthenticated_per_prefix` counts a /24 or /48 together: write it there when its default is wrong"),
	"redis-statsdb":                     lost("statistics are Prometheus metrics on `listen.admin`"),
	"pkey-pwd":                          lost("a key with a password cannot be read: write it without, readable for the server alone"),
	"no-tlsv1_2":                        lost("TLS 1.2 cannot be turned off"),
	"alt-listening-port":                lost(rfc5780),
	"alt-tls-listening-port":            lost(rfc5780),
	"tcp-proxy-port":                    lost("not needed: every TCP port takes the PROXY protocol from the addresses in `listen.trusted_proxies`"),
	"listening-device":                  lost("name the addresses in `listen.tcp` and `listen.udp`"),
	"relay-device":                      lost("name the address in `relay.bind_ip`"),
	"bps-capacity":                      lost("there is no limit over all allocations; `limits.bandwidth_per_allocation` and `limits.allocations_total` bound it"),
	"no-udp-relay":                      lost("the relay is a UDP relay"),
	"max-allocate-lifetime":             lost(lifetime),
	"max-allocate-timeout":              lost(lifetime),
	"channel-lifetime":                  lost(lifetime),
	"permission-lifetime":               lost(lifetime),
	"check-origin-consistency":          lost("ORIGIN is not looked at"),
	"alternate-server":                  lost(elsewhere),
	"tls-alternate-server":              lost(elsewhere),
	"stun-only":                         lost("the relay cannot be turned off"),
	"no-stun":                           lost("STUN Binding cannot be turned off"),
	"secure-stun":                       lost("STUN Binding needs no credentials"),
	"allow-loopback-peers":              lost("loopback can be reached with `relay.peers: any` only, which is for tests"),
	"mobility":                          lost("mobility (RFC 8016) is not offered; browsers restart ICE instead"),
	"allocation-default-address-family": lost("an allocation without REQUESTED-ADDRESS-FAMILY is IPv4 (RFC 8656 section 7.2)"),
	"web-admin":                         lost("the console is on `listen.admin`"),
	"web-admin-ip":                      lost("the console is on `listen.admin`"),
	"web-admin-port":                    lost("the console is on `listen.admin`"),
	"web-admin-listen-on-workers":       lost("the console is on `listen.admin`"),
	"acme-redirect":                     lost("`tls.mode: acme` gets the certificate itself"),
	"server-relay":                      lost("peers are always checked by `relay.peers`"),
}
