package coturnconf

import (
	"fmt"
	"net/netip"
	"strconv"
)

// rule says what becomes of one option of coturn.
type rule struct {
	becomes string // for the table in the documentation, and the note of a lost one
	lost    bool   // has no counterpart and something to say about it
	apply   func(*conversion, setting) (complaint string)
}

// carried is an option that is read.
func carried(becomes string, apply func(*conversion, setting) string) rule {
	return rule{becomes: becomes, apply: apply}
}

// done is an option that needs nothing here.
func done(why string) rule { return rule{becomes: why} }

// lost is an option without counterpart.
func lost(why string) rule { return rule{becomes: why, lost: true} }

func port(into func(*conversion) *string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		if n, err := strconv.ParseUint(s.value, 10, 16); err != nil || n == 0 {
			return fmt.Sprintf("%q is no port", s.value)
		}
		*into(c) = s.value
		return ""
	}
}

func text(into func(*conversion) *string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		*into(c) = s.value
		return ""
	}
}

func flagged(into func(*conversion) *bool) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		*into(c) = s.on()
		return ""
	}
}

func addresses(into func(*conversion) *[]string) func(*conversion, setting) string {
	return func(c *conversion, s setting) string {
		addr, err := netip.ParseAddr(s.value)
		if err != nil {
			return fmt.Sprintf("%q is no address", s.value)
		}
		*into(c) = append(*into(c), addr.String())
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
			return fmt.Sprintf("%q is no number up to 1048575", s.value)
		case n == 0 && none == "":
			return "0 means no limit, which does not exist here; the default stays"
		case n == 0:
			*into(c) = none
		default:
			*into(c) = s.value
		}
		return ""
	}
}

func externalIP(c *conversion, s setting) string {
	public, private := s.value, ""
	for i := range len(s.value) {
		if s.value[i] == '/' {
			public, private = s.value[:i], s.value[i+1:]
			break
		}
	}
	out, err := netip.ParseAddr(public)
	if err != nil {
		return fmt.Sprintf("%q is no address; write relay.external_ip by hand", public)
	}
	if private == "" {
		c.external = append(c.external, out.String())
		return ""
	}
	in, err := netip.ParseAddr(private)
	if err != nil {
		return fmt.Sprintf("%q is no address; write relay.external_ip by hand", private)
	}
	c.external = append(c.external, in.String()+"="+out.String())
	return ""
}

func auxServer(c *conversion, s setting) string {
	address, err := netip.ParseAddrPort(s.value)
	if err != nil {
		return fmt.Sprintf("%q is no address:port", s.value)
	}
	c.more = append(c.more, address.String())
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
	if err != nil {
		return fmt.Sprintf("%q is no number of bytes per second", s.value)
	}
	if n == 0 {
		c.bandwidth = "0"
		return ""
	}
	c.bandwidth = fmt.Sprintf("%dB/s", n)
	return ""
}

func separator(_ *conversion, s setting) string {
	if s.value == ":" || s.value == "" {
		return ""
	}
	return "only : separates expiry and user here"
}

// minSecret is the shortest secret that turnhub takes, in characters.
const minSecret = 8

// Words that several options share.
const (
	toJournal  = "the log goes to standard error, which systemd keeps; `log.format`, `log.level`"
	toUnit     = "the systemd unit does it"
	database   = "users in a database do not exist: credentials are signed with a shared secret (`credentials.secrets`)"
	goTLS      = "TLS 1.2 and 1.3 with Go's own choice of ciphers and curves"
	console    = "metrics and console are on `listen.admin`"
	rfc5780    = "NAT behaviour discovery (RFC 5780) is not offered"
	lifetime   = "RFC 8656's lifetimes are fixed"
	staticUser = "long-lived users and passwords do not exist: programs sign credentials with the shared secret (`credentials.secrets`), or fetch them from `/config` or `/turn`"
)

// rules are the options of coturn 4.6.1, examples/etc/turnserver.conf and the
// command line.
var rules = map[string]rule{
	"listening-port":     carried("`listen.tcp` and `listen.udp`", port(func(c *conversion) *string { return &c.port })),
	"tls-listening-port": carried("`listen.tcp`: every TCP port takes TLS too", port(func(c *conversion) *string { return &c.tlsPort })),
	"listening-ip":       carried("`listen.tcp` and `listen.udp`", addresses(func(c *conversion) *[]string { return &c.addresses })),
	"aux-server":         carried("one more of `listen.tcp` and `listen.udp`", auxServer),
	"no-udp":             carried("`listen.udp: []`", flagged(func(c *conversion) *bool { return &c.noUDP })),
	"no-tcp":             carried("the port is left out of `listen.tcp`", flagged(func(c *conversion) *bool { return &c.noTCP })),
	"no-tls":             carried("`tls.mode: off`", flagged(func(c *conversion) *bool { return &c.noTLS })),
	"cert":               carried("`tls.mode: files`, `tls.cert_file`; read again when it changes", text(func(c *conversion) *string { return &c.cert })),
	"pkey":               carried("`tls.key_file`", text(func(c *conversion) *string { return &c.key })),
	"realm":              carried("`relay.realm`", text(func(c *conversion) *string { return &c.realm })),
	"external-ip":        carried("`relay.external_ip`; public/private becomes private=public", externalIP),
	"relay-ip":           carried("`relay.bind_ip`", addresses(func(c *conversion) *[]string { return &c.relay })),
	"min-port":           carried("`relay.port_min`", port(func(c *conversion) *string { return &c.portMin })),
	"max-port":           carried("`relay.port_max`", port(func(c *conversion) *string { return &c.portMax })),
	"denied-peer-ip":     carried("`relay.deny_peers`, as CIDRs; private and special ranges are denied anyway", spans(func(c *conversion) *[]span { return &c.deny })),
	"allowed-peer-ip":    carried("`relay.allow_peers`, and cut out of `relay.deny_peers`", spans(func(c *conversion) *[]span { return &c.allow })),
	"static-auth-secret": carried("`credentials.secrets`; the first one signs, all verify", secret),
	"user-quota":         carried("`limits.allocations_per_user`", count(func(c *conversion) *string { return &c.perUser }, "")),
	"total-quota":        carried("`limits.allocations_total`", count(func(c *conversion) *string { return &c.total }, "0")),
	"max-bps":            carried("`limits.bandwidth_per_allocation`", bandwidth),
	"verbose":            carried("`log.level: debug`", flagged(func(c *conversion) *bool { return &c.debug })),
	"Verbose":            carried("`log.level: debug`", flagged(func(c *conversion) *bool { return &c.debug })),
	"rest-api-separator": carried("always `:`", separator),

	"use-auth-secret":                   done("always on"),
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
	"no-stun-backward-compatibility":    done("RFC 3489 is not spoken"),
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
	"redis-statsdb":                     lost("statistics are Prometheus metrics on `listen.admin`"),
	"pkey-pwd":                          lost("a key with a password cannot be read: write it without, readable for the server alone"),
	"no-tlsv1_2":                        lost("TLS 1.2 cannot be turned off"),
	"alt-listening-port":                lost(rfc5780),
	"alt-tls-listening-port":            lost(rfc5780),
	"tcp-proxy-port":                    lost("the PROXY protocol is not spoken"),
	"listening-device":                  lost("name the addresses in `listen.tcp` and `listen.udp`"),
	"relay-device":                      lost("name the address in `relay.bind_ip`"),
	"bps-capacity":                      lost("there is no limit over all allocations; `limits.bandwidth_per_allocation` and `limits.allocations_total` bound it"),
	"no-udp-relay":                      lost("the relay is a UDP relay"),
	"max-allocate-lifetime":             lost(lifetime),
	"max-allocate-timeout":              lost(lifetime),
	"channel-lifetime":                  lost(lifetime),
	"permission-lifetime":               lost(lifetime),
	"check-origin-consistency":          lost("ORIGIN is not looked at"),
	"alternate-server":                  lost("clients are not sent elsewhere; give them the other server's URLs"),
	"tls-alternate-server":              lost("clients are not sent elsewhere; give them the other server's URLs"),
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
